//! Passkeys: adding, naming and taking them away, and giving one instead of a code. Options and
//! credentials travel as texts of JSON, as the browser's own functions read and write them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::authenticator::{Confirmed, Passed};
use super::error::Errors;
use super::password::NewSession;
use super::{Answer, Body, Done, instant};
use crate::App;
use crate::visitor::Visitor;

#[derive(Serialize, ToSchema)]
pub(crate) struct Passkey {
    passkey_id: String,
    name: String,
    created_at: Option<Timestamp>,
    /// When it last signed in or confirmed something; null where it did not yet.
    last_used_at: Option<Timestamp>,
    /// Whether it is copied to other devices, as by an account of their maker.
    backed_up: bool,
}

impl From<wire::Passkey> for Passkey {
    fn from(passkey: wire::Passkey) -> Self {
        Self {
            created_at: instant(&passkey.created_at),
            last_used_at: instant(&passkey.last_used_at),
            passkey_id: passkey.passkey_id,
            name: passkey.name,
            backed_up: passkey.backed_up,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Ceremony {
    /// To be given back with the credential, by the same session.
    ceremony_id: String,
    /// JSON for the browser: what parseCreationOptionsFromJSON or parseRequestOptionsFromJSON reads.
    options: String,
    expires_at: Option<Timestamp>,
}

/// Asks for one of the user's passkeys instead of a code
#[utoipa::path(post, path = "/code/passkey", operation_id = "beginPasskeyUse", tag = "code",
    security(("session" = [])), responses((status = 200, body = Ceremony), Errors))]
pub(crate) async fn begin_use(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Ceremony> {
    let ask = visitor.ask(wire::BeginPasskeyUseRequest {});
    let begun = app
        .clients
        .code()
        .begin_passkey_use(ask)
        .await?
        .into_inner();
    Ok(Json(Ceremony {
        expires_at: instant(&begun.expires_at),
        ceremony_id: begun.ceremony_id,
        options: begun.options,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsePasskey {
    ceremony_id: String,
    /// The credential as JSON, as toJSON of the browser's answer gives it.
    credential: String,
    /// Sign-in only.
    #[serde(default)]
    remember_browser: bool,
}

/// Gives a passkey instead of a code
#[utoipa::path(post, path = "/code/passkey/use", operation_id = "usePasskey", tag = "code",
    security(("session" = [])), request_body = UsePasskey,
    responses((status = 200, body = Passed), Errors))]
pub(crate) async fn give(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<UsePasskey>,
) -> Answer<Passed> {
    let ask = visitor.ask(wire::UsePasskeyRequest {
        ceremony_id: body.ceremony_id,
        credential: body.credential,
        remember_browser: body.remember_browser,
    });
    let answer = app.clients.code().use_passkey(ask).await?.into_inner();
    Ok(Json(Passed {
        session_token: answer.session_token,
        browser_token: answer.browser_token,
    }))
}

/// Asks for a passkey to be made; nothing changes yet
#[utoipa::path(post, path = "/two-factor/passkeys", operation_id = "beginPasskey",
    tag = "two-factor", security(("session" = [])),
    responses((status = 200, body = Ceremony), Errors))]
pub(crate) async fn begin(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Ceremony> {
    let ask = visitor.ask(wire::BeginPasskeyRequest {});
    let mut client = app.clients.two_factor();
    let begun = client.begin_passkey(ask).await?.into_inner();
    Ok(Json(Ceremony {
        expires_at: instant(&begun.expires_at),
        ceremony_id: begun.ceremony_id,
        options: begun.options,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmPasskey {
    ceremony_id: String,
    /// The credential as JSON, as toJSON of the browser's answer gives it.
    credential: String,
    /// 1 to 64 characters.
    name: String,
}

/// Binds the passkey that was made, beside those that were bound before
#[utoipa::path(post, path = "/two-factor/passkeys/confirm", operation_id = "confirmPasskey",
    tag = "two-factor", security(("session" = [])), request_body = ConfirmPasskey,
    responses((status = 200, body = Confirmed), Errors))]
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ConfirmPasskey>,
) -> Answer<Confirmed> {
    let ask = visitor.ask(wire::ConfirmPasskeyRequest {
        ceremony_id: body.ceremony_id,
        credential: body.credential,
        name: body.name,
    });
    let answer = app.clients.two_factor().confirm_passkey(ask).await?;
    let answer = answer.into_inner();
    Ok(Json(Confirmed {
        session_token: answer.session_token,
        recovery_codes: answer.recovery_codes,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenamePasskey {
    passkey_id: String,
    /// 1 to 64 characters.
    name: String,
}

/// Gives a passkey another name
#[utoipa::path(post, path = "/two-factor/passkeys/rename", operation_id = "renamePasskey",
    tag = "two-factor", security(("session" = [])), request_body = RenamePasskey,
    responses((status = 204), Errors))]
pub(crate) async fn rename(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<RenamePasskey>,
) -> Done {
    let ask = visitor.ask(wire::RenamePasskeyRequest {
        passkey_id: body.passkey_id,
        name: body.name,
    });
    app.clients.two_factor().rename_passkey(ask).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovePasskey {
    passkey_id: String,
}

/// Takes a passkey away, where another factor remains
#[utoipa::path(post, path = "/two-factor/passkeys/remove", operation_id = "removePasskey",
    tag = "two-factor", security(("session" = [])), request_body = RemovePasskey,
    responses((status = 200, body = NewSession), Errors))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<RemovePasskey>,
) -> Answer<NewSession> {
    let ask = visitor.ask(wire::RemovePasskeyRequest {
        passkey_id: body.passkey_id,
    });
    let answer = app.clients.two_factor().remove_passkey(ask).await?;
    Ok(Json(NewSession {
        session_token: answer.into_inner().session_token,
    }))
}
