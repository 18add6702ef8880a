//! The authenticator app: setting it up, taking it away, and giving its codes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Errors;
use super::password::NewSession;
use super::{Answer, Body, instant};
use crate::App;
use crate::otpauth;
use crate::visitor::Visitor;

#[derive(Serialize, ToSchema)]
pub(crate) struct Factors {
    /// The last two digits of the number that codes by SMS go to; empty where none can be sent.
    number_ending: String,
    /// Whether an authenticator app is set up.
    authenticator: bool,
    /// Whether there is a passkey.
    passkey: bool,
    /// No factor works: a recovery code gets in, or sendEnrolmentLink.
    disabled: bool,
}

/// The factors with which the session's second step can be made, besides recovery codes
#[utoipa::path(get, path = "/code/factors", operation_id = "listFactors", tag = "code",
    security(("session" = [])), responses((status = 200, body = Factors), Errors))]
pub(crate) async fn factors(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Factors> {
    let ask = visitor.ask(wire::ListFactorsRequest {});
    let answer = app.clients.code().list_factors(ask).await?.into_inner();
    Ok(Json(Factors {
        number_ending: answer.number_ending,
        authenticator: answer.authenticator,
        passkey: answer.passkey,
        disabled: answer.disabled,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseAuthenticatorCode {
    /// Six digits; spaces and dashes are ignored.
    code: String,
    /// Sign-in only.
    #[serde(default)]
    remember_browser: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Passed {
    /// Replaces the token that was sent.
    pub(super) session_token: String,
    /// `spb_…`, where the browser is to be remembered.
    pub(super) browser_token: String,
}

/// Gives a code of the authenticator app instead of the SMS code
#[utoipa::path(post, path = "/code/authenticator", operation_id = "useAuthenticatorCode",
    tag = "code", security(("session" = [])), request_body = UseAuthenticatorCode,
    responses((status = 200, body = Passed), Errors))]
pub(crate) async fn give(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<UseAuthenticatorCode>,
) -> Answer<Passed> {
    let ask = visitor.ask(wire::UseAuthenticatorCodeRequest {
        code: body.code,
        remember_browser: body.remember_browser,
    });
    let answer = app.clients.code().use_authenticator_code(ask).await?;
    let answer = answer.into_inner();
    Ok(Json(Passed {
        session_token: answer.session_token,
        browser_token: answer.browser_token,
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Begun {
    /// What the app is given, in base 32: TOTP with SHA-1, six digits, 30 seconds.
    secret: String,
    /// The same as an address that apps read, for a link or a QR code: `otpauth://totp/…`
    uri: String,
    /// To be given to confirmAuthenticator by the same session.
    enrolment: String,
    expires_at: Option<Timestamp>,
}

/// Makes what an authenticator app is set up with; nothing changes yet
#[utoipa::path(post, path = "/two-factor/authenticator", operation_id = "beginAuthenticator",
    tag = "two-factor", security(("session" = [])), responses((status = 200, body = Begun), Errors))]
pub(crate) async fn begin(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Begun> {
    let ask = visitor.ask(wire::BeginAuthenticatorRequest {});
    let mut client = app.clients.two_factor();
    let begun = client.begin_authenticator(ask).await?.into_inner();
    let email = app.clients.session(&visitor).await?.email;
    Ok(Json(Begun {
        uri: otpauth::address(&app.settings.portal_name, &email, &begun.secret),
        expires_at: instant(&begun.expires_at),
        secret: begun.secret,
        enrolment: begun.enrolment,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmAuthenticator {
    enrolment: String,
    /// The code that the app shows.
    code: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Confirmed {
    /// Replaces the token that was sent.
    pub(super) session_token: String,
    /// Ten codes, told only now; where this switched 2FA on.
    pub(super) recovery_codes: Vec<String>,
}

/// Binds the app that gives a right code, in place of one that was bound before
#[utoipa::path(post, path = "/two-factor/authenticator/confirm",
    operation_id = "confirmAuthenticator", tag = "two-factor", security(("session" = [])),
    request_body = ConfirmAuthenticator, responses((status = 200, body = Confirmed), Errors))]
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ConfirmAuthenticator>,
) -> Answer<Confirmed> {
    let ask = visitor.ask(wire::ConfirmAuthenticatorRequest {
        enrolment: body.enrolment,
        code: body.code,
    });
    let answer = app.clients.two_factor().confirm_authenticator(ask).await?;
    let answer = answer.into_inner();
    Ok(Json(Confirmed {
        session_token: answer.session_token,
        recovery_codes: answer.recovery_codes,
    }))
}

/// Takes the authenticator app away, where another factor remains
#[utoipa::path(post, path = "/two-factor/authenticator/remove",
    operation_id = "removeAuthenticator", tag = "two-factor", security(("session" = [])),
    responses((status = 200, body = NewSession), Errors))]
pub(crate) async fn remove(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<NewSession> {
    let ask = visitor.ask(wire::RemoveAuthenticatorRequest {});
    let answer = app.clients.two_factor().remove_authenticator(ask).await?;
    Ok(Json(NewSession {
        session_token: answer.into_inner().session_token,
    }))
}
