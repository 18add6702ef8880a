//! Passwords and one-time links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Code;
use utoipa::ToSchema;

use super::error::Errors;
use super::{Answer, Body, Done, instant};
use crate::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmPassword {
    #[schema(format = Password)]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewSession {
    /// Replaces the token that was sent.
    pub(super) session_token: String,
}

/// Types the password again, for an action that needs it fresh
#[utoipa::path(post, path = "/password/confirm", operation_id = "confirmPassword", tag = "password",
    security(("session" = [])), request_body = ConfirmPassword,
    responses((status = 200, body = NewSession), Errors))]
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ConfirmPassword>,
) -> Answer<NewSession> {
    let ask = visitor.ask(wire::ConfirmPasswordRequest {
        password: body.password,
    });
    let answer = app
        .clients
        .password()
        .confirm_password(ask)
        .await?
        .into_inner();
    Ok(Json(NewSession {
        session_token: answer.session_token,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    #[schema(format = Password)]
    current_password: String,
    #[schema(format = Password)]
    new_password: String,
}

/// Changes the password; other sessions end
#[utoipa::path(post, path = "/password/change", operation_id = "changePassword", tag = "password",
    security(("session" = [])), request_body = ChangePassword,
    responses((status = 200, body = NewSession), Errors))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<ChangePassword>,
) -> Answer<NewSession> {
    let ask = visitor.ask(wire::ChangePasswordRequest {
        current_password: body.current_password,
        new_password: body.new_password,
    });
    let answer = app
        .clients
        .password()
        .change_password(ask)
        .await?
        .into_inner();
    Ok(Json(NewSession {
        session_token: answer.session_token,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestReset {
    email: String,
}

/// Mails a reset link, if the address is known; the answer is the same if it is not
#[utoipa::path(post, path = "/password/reset", operation_id = "requestPasswordReset",
    tag = "password", request_body = RequestReset, responses((status = 202), Errors))]
pub(crate) async fn request_reset(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<RequestReset>,
) -> Done {
    let ask = visitor.ask(wire::RequestPasswordResetRequest { email: body.email });
    app.clients.password().request_password_reset(ask).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InspectLink {
    /// `spl_…`
    link_token: String,
}

/// What a link is for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkPurpose {
    Invitation,
    PasswordReset,
    /// A second factor to be enrolled anew; see useEnrolmentLink.
    Enrolment,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Link {
    purpose: LinkPurpose,
    email: String,
    locale: String,
    expires_at: Option<Timestamp>,
}

/// What a link is for, without using it
#[utoipa::path(post, path = "/links/inspect", operation_id = "inspectLink", tag = "password",
    request_body = InspectLink, responses((status = 200, body = Link), Errors))]
pub(crate) async fn inspect_link(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<InspectLink>,
) -> Answer<Link> {
    let ask = visitor.ask(wire::InspectLinkRequest {
        link_token: body.link_token,
    });
    let link = app.clients.password().inspect_link(ask).await?.into_inner();
    Ok(Json(Link {
        purpose: match link.purpose() {
            wire::LinkPurpose::Invitation => LinkPurpose::Invitation,
            wire::LinkPurpose::PasswordReset => LinkPurpose::PasswordReset,
            wire::LinkPurpose::Enrolment => LinkPurpose::Enrolment,
            wire::LinkPurpose::Unspecified => return Err(Problem::Failed(Code::Internal)),
        },
        expires_at: instant(&link.expires_at),
        email: link.email,
        locale: link.locale,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPassword {
    /// `spl_…`
    link_token: String,
    #[schema(format = Password)]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordSet {
    /// Whose password it is. Nobody is signed in by it.
    email: String,
}

/// Uses a link to set the password
#[utoipa::path(post, path = "/links/set-password", operation_id = "setPasswordByLink",
    tag = "password", request_body = SetPassword, responses((status = 200, body = PasswordSet), Errors))]
pub(crate) async fn set_by_link(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<SetPassword>,
) -> Answer<PasswordSet> {
    let ask = visitor.ask(wire::SetPasswordByLinkRequest {
        link_token: body.link_token,
        password: body.password,
    });
    let answer = app
        .clients
        .password()
        .set_password_by_link(ask)
        .await?
        .into_inner();
    Ok(Json(PasswordSet {
        email: answer.email,
    }))
}
