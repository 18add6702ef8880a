//! `CodeService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use sallyport_chassis::{Caller, Secret, clock};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::code_service_server::CodeService;
use sallyport_proto::otp::v1::MessageState as OtpMessageState;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::code::watch::Watches;
use crate::app::code::{
    LiveChallenge, cancel, enrolment_link, get, list_factors, phone_lost, resend, send_sign_in,
    send_step_up, use_authenticator, use_passkey, use_recovery_code, verify, watch,
};
use crate::domain::challenge::Purpose;

/// See the module.
#[derive(Clone)]
pub struct Codes {
    app: App,
    watches: Arc<Watches>,
}

impl Codes {
    /// The service; `watches` are the streams of this process.
    pub fn new(app: App, watches: Arc<Watches>) -> Self {
        Self { app, watches }
    }
}

#[tonic::async_trait]
impl CodeService for Codes {
    async fn send_sign_in_code(
        &self,
        request: Request<proto::SendSignInCodeRequest>,
    ) -> Result<Response<proto::SendSignInCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let key = request.into_inner().idempotency_key;
        let live = send_sign_in::send_sign_in_code(&self.app, &caller, &key).await?;
        Ok(Response::new(proto::SendSignInCodeResponse {
            challenge: Some(challenge(live)),
        }))
    }

    async fn send_step_up_code(
        &self,
        request: Request<proto::SendStepUpCodeRequest>,
    ) -> Result<Response<proto::SendStepUpCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let key = request.into_inner().idempotency_key;
        let live = send_step_up::send_step_up_code(&self.app, &caller, &key).await?;
        Ok(Response::new(proto::SendStepUpCodeResponse {
            challenge: Some(challenge(live)),
        }))
    }

    async fn get_challenge(
        &self,
        request: Request<proto::GetChallengeRequest>,
    ) -> Result<Response<proto::GetChallengeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let live = get::get_challenge(&self.app, &caller).await?;
        Ok(Response::new(proto::GetChallengeResponse {
            challenge: Some(challenge(live)),
        }))
    }

    type WatchChallengeStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchChallengeResponse, Status>> + Send>>;

    async fn watch_challenge(
        &self,
        request: Request<proto::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        let caller = Caller::of(&request)?;
        let changes = watch::watch_challenge(&self.app, &caller, &self.watches).await?;
        let changes = changes.map(|item| {
            let live = item?;
            Ok(proto::WatchChallengeResponse {
                challenge: Some(challenge(live)),
            })
        });
        Ok(Response::new(Box::pin(changes)))
    }

    async fn verify_code(
        &self,
        request: Request<proto::VerifyCodeRequest>,
    ) -> Result<Response<proto::VerifyCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let verified =
            verify::verify_code(&self.app, &caller, &message.code, message.remember_browser)
                .await?;
        Ok(Response::new(proto::VerifyCodeResponse {
            purpose: purpose(verified.purpose).into(),
            session_token: verified.session_token.expose().to_owned(),
            recovery_codes: exposed(&verified.recovery_codes),
            browser_token: exposed_or_empty(verified.browser_token),
        }))
    }

    async fn resend_code(
        &self,
        request: Request<proto::ResendCodeRequest>,
    ) -> Result<Response<proto::ResendCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let key = request.into_inner().idempotency_key;
        let live = resend::resend_code(&self.app, &caller, &key).await?;
        Ok(Response::new(proto::ResendCodeResponse {
            challenge: Some(challenge(live)),
        }))
    }

    async fn cancel_challenge(
        &self,
        request: Request<proto::CancelChallengeRequest>,
    ) -> Result<Response<proto::CancelChallengeResponse>, Status> {
        let caller = Caller::of(&request)?;
        cancel::cancel_challenge(&self.app, &caller).await?;
        Ok(Response::new(proto::CancelChallengeResponse {}))
    }

    async fn use_recovery_code(
        &self,
        request: Request<proto::UseRecoveryCodeRequest>,
    ) -> Result<Response<proto::UseRecoveryCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let typed = request.into_inner().recovery_code;
        let recovered = use_recovery_code::use_recovery_code(&self.app, &caller, &typed).await?;
        Ok(Response::new(proto::UseRecoveryCodeResponse {
            session_token: recovered.session_token.expose().to_owned(),
            recovery_codes_left: recovered.left,
        }))
    }

    async fn list_factors(
        &self,
        request: Request<proto::ListFactorsRequest>,
    ) -> Result<Response<proto::ListFactorsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let found = list_factors::list(&self.app, &caller).await?;
        Ok(Response::new(proto::ListFactorsResponse {
            number_ending: found.number_ending.unwrap_or_default(),
            authenticator: found.authenticator,
            disabled: found.disabled,
            passkey: found.passkey,
        }))
    }

    async fn use_authenticator_code(
        &self,
        request: Request<proto::UseAuthenticatorCodeRequest>,
    ) -> Result<Response<proto::UseAuthenticatorCodeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let passed = use_authenticator::use_authenticator(
            &self.app,
            &caller,
            &message.code,
            message.remember_browser,
        )
        .await?;
        Ok(Response::new(proto::UseAuthenticatorCodeResponse {
            session_token: passed.session_token.expose().to_owned(),
            browser_token: exposed_or_empty(passed.browser_token),
        }))
    }

    async fn begin_passkey_use(
        &self,
        request: Request<proto::BeginPasskeyUseRequest>,
    ) -> Result<Response<proto::BeginPasskeyUseResponse>, Status> {
        let caller = Caller::of(&request)?;
        let begun = use_passkey::begin(&self.app, &caller).await?;
        Ok(Response::new(proto::BeginPasskeyUseResponse {
            ceremony_id: begun.ceremony_id.to_string(),
            options: begun.options,
            expires_at: Some(clock::to_proto(begun.expires_at)),
        }))
    }

    async fn use_passkey(
        &self,
        request: Request<proto::UsePasskeyRequest>,
    ) -> Result<Response<proto::UsePasskeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let passed = use_passkey::use_passkey(
            &self.app,
            &caller,
            &message.ceremony_id,
            &message.credential,
            message.remember_browser,
        )
        .await?;
        Ok(Response::new(proto::UsePasskeyResponse {
            session_token: passed.session_token.expose().to_owned(),
            browser_token: exposed_or_empty(passed.browser_token),
        }))
    }

    async fn send_enrolment_link(
        &self,
        request: Request<proto::SendEnrolmentLinkRequest>,
    ) -> Result<Response<proto::SendEnrolmentLinkResponse>, Status> {
        let caller = Caller::of(&request)?;
        enrolment_link::send(&self.app, &caller).await?;
        Ok(Response::new(proto::SendEnrolmentLinkResponse {}))
    }

    async fn use_enrolment_link(
        &self,
        request: Request<proto::UseEnrolmentLinkRequest>,
    ) -> Result<Response<proto::UseEnrolmentLinkResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = Secret::new(request.into_inner().link_token);
        let session_token = enrolment_link::take(&self.app, &caller, &token).await?;
        Ok(Response::new(proto::UseEnrolmentLinkResponse {
            session_token: session_token.expose().to_owned(),
        }))
    }

    async fn report_phone_lost(
        &self,
        request: Request<proto::ReportPhoneLostRequest>,
    ) -> Result<Response<proto::ReportPhoneLostResponse>, Status> {
        let caller = Caller::of(&request)?;
        phone_lost::report(&self.app, &caller).await?;
        Ok(Response::new(proto::ReportPhoneLostResponse {}))
    }
}

/// Recovery codes, on their one way to their owner.
pub(super) fn exposed(codes: &[Secret]) -> Vec<String> {
    codes.iter().map(|code| code.expose().to_owned()).collect()
}

/// The token of a browser that is to be remembered.
fn exposed_or_empty(token: Option<Secret>) -> String {
    token
        .map(|token| token.expose().to_owned())
        .unwrap_or_default()
}

/// A challenge, without what only services need.
pub(super) fn challenge(live: LiveChallenge) -> proto::Challenge {
    let message_state = message_state(live.state.message_state()).into();
    proto::Challenge {
        purpose: purpose(live.purpose).into(),
        reference: live.state.reference,
        number_ending: live.number_ending,
        expires_at: live.state.expires_at,
        resend_at: live.state.resend_at,
        sends_left: live.state.sends_left,
        tries_left: live.state.tries_left,
        message_state,
        failure_reason: live.state.failure_reason,
    }
}

fn purpose(purpose: Purpose) -> proto::Purpose {
    match purpose {
        Purpose::SignIn => proto::Purpose::SignIn,
        Purpose::Enrolment => proto::Purpose::Enrolment,
        Purpose::NumberChange => proto::Purpose::NumberChange,
        Purpose::StepUp => proto::Purpose::StepUp,
    }
}

fn message_state(state: OtpMessageState) -> proto::MessageState {
    match state {
        OtpMessageState::Unspecified => proto::MessageState::Unspecified,
        OtpMessageState::Queued => proto::MessageState::Queued,
        OtpMessageState::Submitted => proto::MessageState::Submitted,
        OtpMessageState::Delivered => proto::MessageState::Delivered,
        OtpMessageState::Failed => proto::MessageState::Failed,
        OtpMessageState::Expired => proto::MessageState::Expired,
        OtpMessageState::Suppressed => proto::MessageState::Suppressed,
        OtpMessageState::OutcomeUnknown => proto::MessageState::OutcomeUnknown,
    }
}
