//! `ChallengeService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use sallyport_chassis::IdempotencyKey;
use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::challenge_service_server::ChallengeService;
use tonic::{Request, Response, Status};

use super::binding::{bound_to, optional, required};
use crate::app::Otp;
use crate::app::create_challenge::{CreateChallenge, counting};
use crate::app::resend_challenge::ResendChallenge;
use crate::app::verify_challenge::VerifyChallenge;
use crate::domain::challenge::{ChallengeView, Verdict};
use crate::domain::message::MessageState;

pub(super) struct Challenges(pub(super) Arc<Otp>);

type Watching = Pin<Box<dyn Stream<Item = Result<pb::WatchChallengeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ChallengeService for Challenges {
    type WatchChallengeStream = Watching;

    async fn create_challenge(
        &self,
        request: Request<pb::CreateChallengeRequest>,
    ) -> Result<Response<pb::CreateChallengeResponse>, Status> {
        let request = request.into_inner();
        let view = self
            .0
            .create_challenge(CreateChallenge {
                bound_to: bound_to(request.binding)?,
                idempotency_key: IdempotencyKey::parse(request.idempotency_key)?,
                locale: optional("locale", request.locale)?,
                organisation_id: optional("organisation_id", request.organisation_id)?,
                counting: counting(request.trusted, &request.client_ip)?,
            })
            .await?;
        Ok(Response::new(pb::CreateChallengeResponse {
            challenge: Some(challenge(view)),
        }))
    }

    async fn verify_challenge(
        &self,
        request: Request<pb::VerifyChallengeRequest>,
    ) -> Result<Response<pb::VerifyChallengeResponse>, Status> {
        let request = request.into_inner();
        let verdict = self
            .0
            .verify_challenge(VerifyChallenge {
                challenge_id: required("challenge_id", request.challenge_id)?,
                bound_to: bound_to(request.binding)?,
                typed: request.code,
                request_id: required("request_id", request.request_id)?,
            })
            .await?;
        let (verdict, tries_left) = match verdict {
            Verdict::Right => (pb::Verdict::Right, 0),
            Verdict::Wrong { tries_left } => (pb::Verdict::Wrong, tries_left),
            Verdict::Expired => (pb::Verdict::Expired, 0),
            Verdict::Used => (pb::Verdict::Used, 0),
            Verdict::Ended => (pb::Verdict::Ended, 0),
            Verdict::NotFound => (pb::Verdict::NotFound, 0),
        };
        Ok(Response::new(pb::VerifyChallengeResponse {
            verdict: verdict.into(),
            tries_left,
        }))
    }

    async fn resend_challenge(
        &self,
        request: Request<pb::ResendChallengeRequest>,
    ) -> Result<Response<pb::ResendChallengeResponse>, Status> {
        let request = request.into_inner();
        let view = self
            .0
            .resend_challenge(ResendChallenge {
                challenge_id: required("challenge_id", request.challenge_id)?,
                bound_to: bound_to(request.binding)?,
                idempotency_key: IdempotencyKey::parse(request.idempotency_key)?,
                locale: optional("locale", request.locale)?,
                counting: counting(request.trusted, &request.client_ip)?,
            })
            .await?;
        Ok(Response::new(pb::ResendChallengeResponse {
            challenge: Some(challenge(view)),
        }))
    }

    async fn cancel_challenge(
        &self,
        request: Request<pb::CancelChallengeRequest>,
    ) -> Result<Response<pb::CancelChallengeResponse>, Status> {
        let request = request.into_inner();
        let id = required("challenge_id", request.challenge_id)?;
        self.0
            .cancel_challenge(&id, &bound_to(request.binding)?)
            .await?;
        Ok(Response::new(pb::CancelChallengeResponse {}))
    }

    async fn get_challenge(
        &self,
        request: Request<pb::GetChallengeRequest>,
    ) -> Result<Response<pb::GetChallengeResponse>, Status> {
        let request = request.into_inner();
        let id = required("challenge_id", request.challenge_id)?;
        let view = self
            .0
            .read_challenge(&id, &bound_to(request.binding)?)
            .await?;
        Ok(Response::new(pb::GetChallengeResponse {
            challenge: Some(challenge(view)),
        }))
    }

    async fn watch_challenge(
        &self,
        request: Request<pb::WatchChallengeRequest>,
    ) -> Result<Response<Watching>, Status> {
        let request = request.into_inner();
        let id = required("challenge_id", request.challenge_id)?;
        let bound_to = bound_to(request.binding)?;
        let views = Arc::clone(&self.0).watch_challenge(id, bound_to).await?;
        let answers = views.map(|view| match view {
            Ok(view) => Ok(pb::WatchChallengeResponse {
                challenge: Some(challenge(view)),
            }),
            Err(error) => Err(error.into()),
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn challenge(view: ChallengeView) -> pb::Challenge {
    let (state, failure_reason) = match view.message_state {
        MessageState::Queued => (pb::MessageState::Queued, String::new()),
        MessageState::Submitted => (pb::MessageState::Submitted, String::new()),
        MessageState::Delivered => (pb::MessageState::Delivered, String::new()),
        MessageState::Failed(reason) => (pb::MessageState::Failed, reason),
        MessageState::Expired => (pb::MessageState::Expired, String::new()),
        MessageState::Suppressed => (pb::MessageState::Suppressed, String::new()),
        MessageState::OutcomeUnknown => (pb::MessageState::OutcomeUnknown, String::new()),
    };
    pb::Challenge {
        challenge_id: view.id,
        message_id: view.message_id,
        reference: view.reference,
        expires_at: Some(to_proto(from_ms(view.expires_at))),
        resend_at: Some(to_proto(from_ms(view.resend_at))),
        sends_left: view.sends_left,
        tries_left: view.tries_left,
        message_state: state.into(),
        failure_reason,
    }
}
