//! Codes: of the sign-in, of enrolment and number change, and step-up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Code;
use utoipa::ToSchema;

use super::error::Errors;
use super::password::NewSession;
use super::{Answer, Body, Done, IdempotencyKey, instant};
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::{App, watch};

/// What a code is for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    SignIn,
    Enrolment,
    NumberChange,
    StepUp,
}

impl Purpose {
    fn of(purpose: wire::Purpose) -> Result<Self, Problem> {
        Ok(match purpose {
            wire::Purpose::SignIn => Self::SignIn,
            wire::Purpose::Enrolment => Self::Enrolment,
            wire::Purpose::NumberChange => Self::NumberChange,
            wire::Purpose::StepUp => Self::StepUp,
            wire::Purpose::Unspecified => return Err(Problem::Failed(Code::Internal)),
        })
    }
}

/// How far the newest message is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageState {
    /// Waits for a route.
    Queued,
    /// With the carrier.
    Submitted,
    /// On the phone.
    Delivered,
    /// Not deliverable; see `failure_reason`.
    Failed,
    /// Dropped, because its code was over.
    Expired,
    /// Not sent.
    Suppressed,
    /// Handed over, no answer heard.
    OutcomeUnknown,
}

impl MessageState {
    fn of(state: wire::MessageState) -> Self {
        match state {
            wire::MessageState::Unspecified | wire::MessageState::Queued => Self::Queued,
            wire::MessageState::Submitted => Self::Submitted,
            wire::MessageState::Delivered => Self::Delivered,
            wire::MessageState::Failed => Self::Failed,
            wire::MessageState::Expired => Self::Expired,
            wire::MessageState::Suppressed => Self::Suppressed,
            wire::MessageState::OutcomeUnknown => Self::OutcomeUnknown,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Challenge {
    purpose: Purpose,
    /// Three letters, the same in every message of the challenge.
    reference: String,
    /// The last two digits of the number.
    number_ending: String,
    expires_at: Option<Timestamp>,
    /// When the code may be sent again.
    resend_at: Option<Timestamp>,
    sends_left: u32,
    tries_left: u32,
    message_state: MessageState,
    failure_reason: String,
}

impl Challenge {
    fn of(challenge: wire::Challenge) -> Result<Self, Problem> {
        Ok(Self {
            purpose: Purpose::of(challenge.purpose())?,
            message_state: MessageState::of(challenge.message_state()),
            expires_at: instant(&challenge.expires_at),
            resend_at: instant(&challenge.resend_at),
            reference: challenge.reference,
            number_ending: challenge.number_ending,
            sends_left: challenge.sends_left,
            tries_left: challenge.tries_left,
            failure_reason: challenge.failure_reason,
        })
    }
}

/// A challenge of the wire; its absence where it must be is our trouble.
pub(super) fn challenge_of(challenge: Option<wire::Challenge>) -> Answer<Challenge> {
    let challenge = challenge.ok_or(Problem::Failed(Code::Internal))?;
    Ok(Json(Challenge::of(challenge)?))
}

/// Sends the code of the sign-in
#[utoipa::path(post, path = "/code/sign-in", operation_id = "sendSignInCode", tag = "code",
    security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = Challenge), Errors))]
pub(crate) async fn send_sign_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
) -> Answer<Challenge> {
    let ask = visitor.ask(wire::SendSignInCodeRequest { idempotency_key });
    challenge_of(
        app.clients
            .code()
            .send_sign_in_code(ask)
            .await?
            .into_inner()
            .challenge,
    )
}

/// Sends a code so that a protected action may follow
#[utoipa::path(post, path = "/code/step-up", operation_id = "sendStepUpCode", tag = "code",
    security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = Challenge), Errors))]
pub(crate) async fn send_step_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
) -> Answer<Challenge> {
    let ask = visitor.ask(wire::SendStepUpCodeRequest { idempotency_key });
    challenge_of(
        app.clients
            .code()
            .send_step_up_code(ask)
            .await?
            .into_inner()
            .challenge,
    )
}

/// The live challenge
#[utoipa::path(get, path = "/code", operation_id = "getChallenge", tag = "code",
    security(("session" = [])), responses((status = 200, body = Challenge), Errors))]
pub(crate) async fn challenge(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Challenge> {
    let ask = visitor.ask(wire::GetChallengeRequest {});
    challenge_of(
        app.clients
            .code()
            .get_challenge(ask)
            .await?
            .into_inner()
            .challenge,
    )
}

/// Follows the live challenge
#[utoipa::path(get, path = "/code/events", operation_id = "watchChallenge", tag = "code",
    security(("session" = [])),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "Server-sent events: `state` at once and at each change, its data as getChallenge \
            answers; `end` at the end. One stream a session: another one ends it."), Errors))]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let ask = visitor.ask(wire::WatchChallengeRequest {});
    let changes = app.clients.code().watch_challenge(ask).await?.into_inner();
    let stop = app.stop.clone();
    Ok(watch::events(changes, stop, |challenge| {
        Challenge::of(challenge).ok()
    }))
}

/// Drops the live challenge, and with it a pending enrolment
#[utoipa::path(delete, path = "/code", operation_id = "cancelChallenge", tag = "code",
    security(("session" = [])), responses((status = 204), Errors))]
pub(crate) async fn cancel(State(app): State<Arc<App>>, visitor: Visitor) -> Done {
    app.clients
        .code()
        .cancel_challenge(visitor.ask(wire::CancelChallengeRequest {}))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyCode {
    /// Six digits; spaces and dashes are ignored.
    code: String,
    /// Sign-in only.
    #[serde(default)]
    remember_browser: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    purpose: Purpose,
    /// Replaces the token that was sent.
    session_token: String,
    /// Ten codes, told only now; where the code switched 2FA on.
    recovery_codes: Vec<String>,
    /// `spb_…`, where the browser is to be remembered.
    browser_token: String,
}

/// Gives the code
#[utoipa::path(post, path = "/code/verify", operation_id = "verifyCode", tag = "code",
    security(("session" = [])), request_body = VerifyCode,
    responses((status = 200, body = Verified), Errors))]
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<VerifyCode>,
) -> Answer<Verified> {
    let request = wire::VerifyCodeRequest {
        code: body.code,
        remember_browser: body.remember_browser,
    };
    let answer = app
        .clients
        .code()
        .verify_code(visitor.ask(request))
        .await?
        .into_inner();
    Ok(Json(Verified {
        purpose: Purpose::of(answer.purpose())?,
        session_token: answer.session_token,
        recovery_codes: answer.recovery_codes,
        browser_token: answer.browser_token,
    }))
}

/// Sends the same code again
#[utoipa::path(post, path = "/code/resend", operation_id = "resendCode", tag = "code",
    security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    responses((status = 200, body = Challenge), Errors))]
pub(crate) async fn resend(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
) -> Answer<Challenge> {
    let ask = visitor.ask(wire::ResendCodeRequest { idempotency_key });
    challenge_of(
        app.clients
            .code()
            .resend_code(ask)
            .await?
            .into_inner()
            .challenge,
    )
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseRecoveryCode {
    recovery_code: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Recovered {
    /// Replaces the token that was sent.
    session_token: String,
    recovery_codes_left: u32,
}

/// Gives a recovery code instead of the SMS code
#[utoipa::path(post, path = "/recovery-code", operation_id = "useRecoveryCode", tag = "code",
    security(("session" = [])), request_body = UseRecoveryCode,
    responses((status = 200, body = Recovered), Errors))]
pub(crate) async fn recovery(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<UseRecoveryCode>,
) -> Answer<Recovered> {
    let request = wire::UseRecoveryCodeRequest {
        recovery_code: body.recovery_code,
    };
    let answer = app
        .clients
        .code()
        .use_recovery_code(visitor.ask(request))
        .await?
        .into_inner();
    Ok(Json(Recovered {
        session_token: answer.session_token,
        recovery_codes_left: answer.recovery_codes_left,
    }))
}

/// Mails a link with which a disabled factor may be enrolled anew
#[utoipa::path(post, path = "/code/enrolment-link", operation_id = "sendEnrolmentLink", tag = "code",
    security(("session" = [])), responses((status = 202), Errors))]
pub(crate) async fn send_enrolment_link(State(app): State<Arc<App>>, visitor: Visitor) -> Done {
    let ask = visitor.ask(wire::SendEnrolmentLinkRequest {});
    app.clients.code().send_enrolment_link(ask).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseEnrolmentLink {
    /// `spl_…`
    link_token: String,
}

/// Uses that link in a session that awaits its second factor: enableTwoFactor is open to it then
#[utoipa::path(post, path = "/links/enrol", operation_id = "useEnrolmentLink", tag = "code",
    security(("session" = [])), request_body = UseEnrolmentLink,
    responses((status = 200, body = NewSession), Errors))]
pub(crate) async fn use_enrolment_link(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<UseEnrolmentLink>,
) -> Answer<NewSession> {
    let ask = visitor.ask(wire::UseEnrolmentLinkRequest {
        link_token: body.link_token,
    });
    let answer = app.clients.code().use_enrolment_link(ask).await?;
    Ok(Json(NewSession {
        session_token: answer.into_inner().session_token,
    }))
}

/// Reports the phone lost: codes by SMS, other sessions and remembered browsers end
#[utoipa::path(post, path = "/code/phone-lost", operation_id = "reportPhoneLost", tag = "code",
    security(("session" = [])), responses((status = 204), Errors))]
pub(crate) async fn report_lost(State(app): State<Arc<App>>, visitor: Visitor) -> Done {
    let ask = visitor.ask(wire::ReportPhoneLostRequest {});
    app.clients.code().report_phone_lost(ask).await?;
    Ok(StatusCode::NO_CONTENT)
}
