//! Calls to otp-api. Each repeats what the challenge is bound to; another binding finds nothing.

use std::time::Duration;

use sallyport_chassis::Caller;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::keyring::random_id;
use sallyport_chassis::refusal::is_doubt;
use sallyport_proto::otp::v1 as proto;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use tonic::{Request, Status, Streaming};

use super::LiveChallenge;
use super::refusal::CodeRefusal;
use crate::app::App;
use crate::domain::code_input::CodeInput;
use crate::store::challenges::{Challenge, Purpose};
use crate::store::users;

/// How long one question about an attempt may take. With the repetitions it stays below the
/// deadline of the caller.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3);
/// Waits before the repetitions of a question that got no answer.
const REPEAT_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

fn client(app: &App) -> ChallengeServiceClient<Outgoing> {
    ChallengeServiceClient::new(app.otp.clone())
}

/// otp-api never sees sessions: of the caller it learns the request id only.
fn request<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(id) = caller.request_id.parse() {
        request.metadata_mut().insert("x-request-id", id);
    }
    request
}

fn binding(challenge: &Challenge) -> proto::Binding {
    let purpose = match challenge.purpose {
        Purpose::SignIn => proto::Purpose::SignIn,
        Purpose::Enrolment => proto::Purpose::Enrolment,
        Purpose::NumberChange => proto::Purpose::NumberChange,
        Purpose::StepUp => proto::Purpose::StepUp,
    };
    proto::Binding {
        purpose: purpose.into(),
        user_id: challenge.user_id.to_string(),
        session_id: challenge.session_id.to_string(),
        number: challenge.number.e164().to_owned(),
    }
}

fn live(
    challenge: &Challenge,
    state: Option<proto::Challenge>,
) -> Result<LiveChallenge, CodeRefusal> {
    Ok(LiveChallenge {
        purpose: challenge.purpose,
        number_ending: challenge.number.last_two().to_owned(),
        state: state.ok_or_else(|| {
            CodeRefusal::OtpAway(Box::new(Status::internal("an answer without a challenge")))
        })?,
    })
}

fn client_ip(caller: &Caller) -> String {
    caller
        .client_ip
        .map(|ip| ip.to_string())
        .unwrap_or_default()
}

/// Makes a challenge and sends its code; `wanted.id` is not looked at.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    user: &users::Model,
    wanted: &Challenge,
    idempotency_key: String,
    trusted: bool,
) -> Result<LiveChallenge, CodeRefusal> {
    let message = proto::CreateChallengeRequest {
        binding: Some(binding(wanted)),
        idempotency_key,
        locale: user.locale.clone(),
        organisation_id: user.organisation_id.to_string(),
        client_ip: client_ip(caller),
        trusted,
    };
    let answer = client(app)
        .create_challenge(request(caller, message))
        .await
        .map_err(CodeRefusal::of_otp)?;
    live(wanted, answer.into_inner().challenge)
}

/// Lets otp-api decide one attempt. Where no answer comes, the same question is put again, at most
/// twice: its request id makes the answer the same and burns no second try.
pub(crate) async fn verify(
    app: &App,
    caller: &Caller,
    challenge: &Challenge,
    code: &CodeInput,
) -> Result<(proto::Verdict, u32), CodeRefusal> {
    let message = proto::VerifyChallengeRequest {
        challenge_id: challenge.id.clone(),
        binding: Some(binding(challenge)),
        code: code.expose().to_owned(),
        request_id: random_id(),
    };
    let mut waits = REPEAT_AFTER.into_iter();
    loop {
        let mut question = request(caller, message.clone());
        question.set_timeout(VERIFY_TIMEOUT);
        match client(app).verify_challenge(question).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                return Ok((answer.verdict(), answer.tries_left));
            }
            Err(status) if is_doubt(&status) => match waits.next() {
                Some(wait) => {
                    tracing::warn!(code = ?status.code(), "no answer about an attempt; asking again");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(CodeRefusal::of_otp(status)),
            },
            Err(status) => return Err(CodeRefusal::of_otp(status)),
        }
    }
}

/// Sends the same code again.
pub(crate) async fn resend(
    app: &App,
    caller: &Caller,
    user: &users::Model,
    challenge: &Challenge,
    idempotency_key: String,
    trusted: bool,
) -> Result<LiveChallenge, CodeRefusal> {
    let message = proto::ResendChallengeRequest {
        challenge_id: challenge.id.clone(),
        binding: Some(binding(challenge)),
        idempotency_key,
        locale: user.locale.clone(),
        client_ip: client_ip(caller),
        trusted,
    };
    let answer = client(app)
        .resend_challenge(request(caller, message))
        .await
        .map_err(CodeRefusal::of_otp)?;
    live(challenge, answer.into_inner().challenge)
}

/// Ends a challenge. Nothing depends on it: what its session no longer names cannot be verified. So
/// a failure is only logged.
pub(crate) async fn cancel(app: &App, caller: &Caller, challenge: &Challenge) {
    let message = proto::CancelChallengeRequest {
        challenge_id: challenge.id.clone(),
        binding: Some(binding(challenge)),
    };
    if let Err(status) = client(app).cancel_challenge(request(caller, message)).await {
        tracing::warn!(code = ?status.code(), "a challenge could not be cancelled");
    }
}

/// How far a challenge is.
pub(crate) async fn get(
    app: &App,
    caller: &Caller,
    challenge: &Challenge,
) -> Result<LiveChallenge, CodeRefusal> {
    let message = proto::GetChallengeRequest {
        challenge_id: challenge.id.clone(),
        binding: Some(binding(challenge)),
    };
    let answer = client(app)
        .get_challenge(request(caller, message))
        .await
        .map_err(CodeRefusal::of_otp)?;
    live(challenge, answer.into_inner().challenge)
}

/// The changes of a challenge.
pub(crate) async fn watch(
    app: &App,
    caller: &Caller,
    challenge: &Challenge,
) -> Result<Streaming<proto::WatchChallengeResponse>, CodeRefusal> {
    let message = proto::WatchChallengeRequest {
        challenge_id: challenge.id.clone(),
        binding: Some(binding(challenge)),
    };
    let answer = client(app)
        .watch_challenge(request(caller, message))
        .await
        .map_err(CodeRefusal::of_otp)?;
    Ok(answer.into_inner())
}

/// One item of that stream.
pub(crate) fn watched(
    challenge: &Challenge,
    item: proto::WatchChallengeResponse,
) -> Result<LiveChallenge, CodeRefusal> {
    live(challenge, item.challenge)
}
