//! The password again, before an action that needs it fresh; then the action goes on.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{ConfirmPasswordRequest, Session};

use super::frame::{self, Errors, Field, Frame};
use super::two_factor::{self, Go};
use super::{Told, awaiting, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::Cookies;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    f: Frame,
    what: &'static str,
    email: String,
    password: Field,
    go: String,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    match Go::read(&visitor, &told.go) {
        Some(go) if !awaiting(&session) => {
            Ok(form(&app, &visitor, &session, &go, &Errors::default()))
        }
        _ => Ok(redirect("/account")),
    }
}

fn form(app: &App, visitor: &Visitor, session: &Session, go: &Go, errors: &Errors) -> Response {
    let w = words_of(session, visitor);
    let f = Frame::within(app, visitor, w, w.confirm_title()).with_errors(errors);
    let template = ConfirmPage {
        what: go.words(w),
        email: session.email.clone(),
        password: Field::password("password", w.password(), "current-password")
            .error(errors)
            .required()
            .first(&f),
        go: go.write(visitor),
        f,
    };
    frame::show(frame::status(errors), &template)
}

/// The password, and on.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let Some(go) = Go::read(&visitor, posted.raw("go")) else {
        return Ok(redirect("/account"));
    };
    let request = ConfirmPasswordRequest {
        password: posted.raw("password").to_owned(),
    };
    let token = match app
        .clients
        .password()
        .confirm_password(visitor.ask(request))
        .await
    {
        Ok(answer) => answer.into_inner().session_token,
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let w = words_of(&session, &visitor);
            let mut errors = Errors::default();
            if refusal.reason.starts_with("password.") {
                errors.field("password", crate::refusals::sentence(w, &refusal));
            } else {
                errors.add(w, &refusal, &["password"]);
            }
            let page = form(&app, &visitor, &session, &go, &errors);
            return Ok(frame::refused(page, refusal));
        }
    };
    let mut cookies = Cookies::default();
    cookies.session(&token);
    let after = visitor.with_session(&token);
    let response = two_factor::proceed(&app, &after, go, &mut cookies).await;
    // The new token must reach the browser even where the action failed: the old one has ended.
    let response = response.unwrap_or_else(|problem| super::errors::page(&app, &after, &problem));
    Ok(frame::with_cookies(response, &cookies))
}
