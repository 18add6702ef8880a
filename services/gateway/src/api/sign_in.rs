//! Signing in and out, and sessions.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Errors;
use super::{Answer, Body, Done, instant};
use crate::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// How far a sign-in is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The code is missing: only the code operations, the session and sign-out answer.
    AwaitingSecondFactor,
    /// Both steps are done, or there is no second one.
    SignedIn,
}

impl Stage {
    fn of(stage: wire::SessionStage) -> Self {
        match stage {
            wire::SessionStage::SignedIn => Self::SignedIn,
            // What is not known to be signed in is not.
            wire::SessionStage::AwaitingSecondFactor | wire::SessionStage::Unspecified => {
                Self::AwaitingSecondFactor
            }
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    email: String,
    #[schema(format = Password)]
    password: String,
    /// `spb_…` of a remembered browser.
    #[serde(default)]
    browser_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SignedIn {
    /// `sps_…`; send it as `Authorization: Bearer`.
    session_token: String,
    stage: Stage,
}

/// First step: e-mail and password
#[utoipa::path(post, path = "/sign-in", operation_id = "signIn", tag = "sign-in",
    request_body = SignIn, responses((status = 200, body = SignedIn), Errors))]
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<SignIn>,
) -> Answer<SignedIn> {
    let request = wire::SignInRequest {
        email: body.email,
        password: body.password,
        browser_token: body.browser_token,
    };
    let answer = app
        .clients
        .sign_in()
        .sign_in(visitor.ask(request))
        .await?
        .into_inner();
    Ok(Json(SignedIn {
        stage: Stage::of(answer.stage()),
        session_token: answer.session_token,
    }))
}

/// Ends the session
#[utoipa::path(post, path = "/sign-out", operation_id = "signOut", tag = "sign-in",
    security(("session" = [])), responses((status = 204), Errors))]
pub(crate) async fn sign_out(State(app): State<Arc<App>>, visitor: Visitor) -> Done {
    app.clients
        .sign_in()
        .sign_out(visitor.ask(wire::SignOutRequest {}))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    session_id: String,
    user_id: String,
    organisation_id: String,
    email: String,
    locale: String,
    stage: Stage,
    /// 1: password; 2: password and second factor.
    assurance: u32,
    permissions: Vec<String>,
    password_at: Option<Timestamp>,
    second_factor_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    /// Whether it may call enableTwoFactor before its second step (useEnrolmentLink).
    may_enrol: bool,
}

/// Who the session is
#[utoipa::path(get, path = "/session", operation_id = "getSession", tag = "sign-in",
    security(("session" = [])), responses((status = 200, body = Session), Errors))]
pub(crate) async fn session(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Session> {
    let session = app.clients.session(&visitor).await?;
    Ok(Json(Session {
        stage: Stage::of(session.stage()),
        password_at: instant(&session.password_at),
        second_factor_at: instant(&session.second_factor_at),
        expires_at: instant(&session.expires_at),
        session_id: session.session_id,
        user_id: session.user_id,
        organisation_id: session.organisation_id,
        email: session.email,
        locale: session.locale,
        assurance: session.assurance,
        permissions: session.permissions,
        may_enrol: session.may_enrol,
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    sessions: Vec<OpenSession>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct OpenSession {
    session_id: String,
    created_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    client_ip: String,
    user_agent: String,
    /// The one that asks.
    current: bool,
}

/// The user's open sessions
#[utoipa::path(get, path = "/sessions", operation_id = "listSessions", tag = "sign-in",
    security(("session" = [])), responses((status = 200, body = Sessions), Errors))]
pub(crate) async fn sessions(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Sessions> {
    let ask = visitor.ask(wire::ListSessionsRequest {});
    let answer = app.clients.sign_in().list_sessions(ask).await?.into_inner();
    let sessions = answer.sessions.into_iter().map(|session| OpenSession {
        created_at: instant(&session.created_at),
        last_used_at: instant(&session.last_used_at),
        session_id: session.session_id,
        client_ip: session.client_ip,
        user_agent: session.user_agent,
        current: session.current,
    });
    Ok(Json(Sessions {
        sessions: sessions.collect(),
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeSessions {
    /// Left out: every session but the one that asks.
    #[serde(default)]
    session_id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Revoked {
    /// How many have ended.
    ended: u32,
}

/// Ends one session, or all others
///
/// Any but the one that asks needs the password typed within the last five minutes; else 409 with
/// `password_confirmation_required`, and confirmPassword comes first.
#[utoipa::path(post, path = "/sessions/revoke", operation_id = "revokeSessions", tag = "sign-in",
    security(("session" = [])), request_body = RevokeSessions,
    responses((status = 200, body = Revoked), Errors))]
pub(crate) async fn revoke_sessions(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<RevokeSessions>,
) -> Result<Json<Revoked>, Problem> {
    let request = wire::RevokeSessionsRequest {
        session_id: body.session_id,
    };
    let answer = app
        .clients
        .sign_in()
        .revoke_sessions(visitor.ask(request))
        .await?;
    Ok(Json(Revoked {
        ended: answer.into_inner().ended,
    }))
}
