//! Switching two-factor authentication on and off, its number and its recovery codes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::code::{Challenge, challenge_of};
use super::error::Errors;
use super::passkeys::Passkey;
use super::{Answer, Body, IdempotencyKey, instant};
use crate::App;
use crate::visitor::Visitor;

/// Where the second factor stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State2fa {
    Off,
    /// Waits for the code.
    Pending,
    Active,
    /// After a hundred failures: sign-in still asks, a recovery code is needed.
    Disabled,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TwoFactor {
    state: State2fa,
    /// E.164; empty where none is confirmed.
    confirmed_number: String,
    recovery_codes_left: u32,
    required_by_policy: bool,
    locked_until: Option<Timestamp>,
    /// When the authenticator app was set up; null where there is none.
    authenticator_since: Option<Timestamp>,
    /// Oldest first.
    passkeys: Vec<Passkey>,
}

/// Where the user's second factor stands
#[utoipa::path(get, path = "/two-factor", operation_id = "getTwoFactor", tag = "two-factor",
    security(("session" = [])), responses((status = 200, body = TwoFactor), Errors))]
pub(crate) async fn get(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<TwoFactor> {
    let ask = visitor.ask(wire::GetTwoFactorRequest {});
    let answer = app
        .clients
        .two_factor()
        .get_two_factor(ask)
        .await?
        .into_inner();
    Ok(Json(TwoFactor {
        state: match answer.state() {
            wire::TwoFactorState::Off | wire::TwoFactorState::Unspecified => State2fa::Off,
            wire::TwoFactorState::Pending => State2fa::Pending,
            wire::TwoFactorState::Active => State2fa::Active,
            wire::TwoFactorState::Disabled => State2fa::Disabled,
        },
        locked_until: instant(&answer.locked_until),
        authenticator_since: instant(&answer.authenticator_since),
        passkeys: answer.passkeys.into_iter().map(Passkey::from).collect(),
        confirmed_number: answer.confirmed_number,
        recovery_codes_left: answer.recovery_codes_left,
        required_by_policy: answer.required_by_policy,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithNumber {
    /// E.164, as validateNumber gives it.
    number: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Enabled {
    /// Whether 2FA is on now; if not, a code was sent and verifyCode switches it on.
    active: bool,
    challenge: Option<Challenge>,
    /// Ten codes, told only now; where 2FA is on.
    recovery_codes: Vec<String>,
    /// Replaces the token that was sent, where 2FA is on.
    session_token: String,
}

/// Switches 2FA on, or sends the code that does
#[utoipa::path(post, path = "/two-factor/enable", operation_id = "enableTwoFactor",
    tag = "two-factor", security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    request_body = WithNumber, responses((status = 200, body = Enabled), Errors))]
pub(crate) async fn enable(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Body(body): Body<WithNumber>,
) -> Answer<Enabled> {
    let ask = visitor.ask(wire::EnableTwoFactorRequest {
        number: body.number,
        idempotency_key,
    });
    let answer = app
        .clients
        .two_factor()
        .enable_two_factor(ask)
        .await?
        .into_inner();
    let challenge = match answer.challenge {
        Some(challenge) => Some(challenge_of(Some(challenge))?.0),
        None => None,
    };
    Ok(Json(Enabled {
        active: answer.active,
        challenge,
        recovery_codes: answer.recovery_codes,
        session_token: answer.session_token,
    }))
}

/// Sends a code to a new number; the old one works until it is given
#[utoipa::path(post, path = "/two-factor/number", operation_id = "changeNumber",
    tag = "two-factor", security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    request_body = WithNumber, responses((status = 200, body = Challenge), Errors))]
pub(crate) async fn change_number(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Body(body): Body<WithNumber>,
) -> Answer<Challenge> {
    let ask = visitor.ask(wire::ChangeNumberRequest {
        number: body.number,
        idempotency_key,
    });
    challenge_of(
        app.clients
            .two_factor()
            .change_number(ask)
            .await?
            .into_inner()
            .challenge,
    )
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Disabled {
    /// Replaces the token that was sent.
    session_token: String,
}

/// Switches 2FA off
#[utoipa::path(post, path = "/two-factor/disable", operation_id = "disableTwoFactor",
    tag = "two-factor", security(("session" = [])),
    responses((status = 200, body = Disabled), Errors))]
pub(crate) async fn disable(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Disabled> {
    let ask = visitor.ask(wire::DisableTwoFactorRequest {});
    let answer = app
        .clients
        .two_factor()
        .disable_two_factor(ask)
        .await?
        .into_inner();
    Ok(Json(Disabled {
        session_token: answer.session_token,
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Ten codes, told only now.
    recovery_codes: Vec<String>,
}

/// Replaces the recovery codes by ten new ones
#[utoipa::path(post, path = "/recovery-codes", operation_id = "remakeRecoveryCodes",
    tag = "two-factor", security(("session" = [])),
    responses((status = 200, body = RecoveryCodes), Errors))]
pub(crate) async fn remake_recovery_codes(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Answer<RecoveryCodes> {
    let ask = visitor.ask(wire::RemakeRecoveryCodesRequest {});
    let answer = app
        .clients
        .two_factor()
        .remake_recovery_codes(ask)
        .await?
        .into_inner();
    Ok(Json(RecoveryCodes {
        recovery_codes: answer.recovery_codes,
    }))
}
