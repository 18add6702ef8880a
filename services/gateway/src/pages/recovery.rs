//! A recovery code instead of the message: at sign-in and as a step-up.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{Session, UseRecoveryCodeRequest};

use super::frame::{self, Errors, Field, Frame};
use super::two_factor::{self, Go};
use super::{Told, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::{Cookies, PENDING, with_query};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "recovery.html")]
struct RecoveryPage {
    f: Frame,
    code: Field,
    next: String,
    go: String,
    code_path: String,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    Ok(form(&app, &visitor, &session, &told, &Errors::default()))
}

fn form(app: &App, visitor: &Visitor, session: &Session, told: &Told, errors: &Errors) -> Response {
    let w = words_of(session, visitor);
    let f = Frame::within(app, visitor, w, w.recovery_title()).with_errors(errors);
    let template = RecoveryPage {
        code: Field::text("recovery_code", w.recovery_field())
            .hint(w.recovery_hint())
            .class("recovery")
            .most(64)
            .error(errors)
            .required()
            .first(&f),
        next: told.next().to_owned(),
        go: told.go.clone(),
        code_path: with_query("/code", &[("next", told.next()), ("go", &told.go)]),
        f,
    };
    frame::show(frame::status(errors), &template)
}

/// The recovery code.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let told = Told {
        next: posted.text("next"),
        go: posted.text("go"),
        ..Told::default()
    };
    let request = UseRecoveryCodeRequest {
        recovery_code: posted.text("recovery_code"),
    };
    let answer = match app
        .clients
        .code()
        .use_recovery_code(visitor.ask(request))
        .await
    {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let w = words_of(&session, &visitor);
            let mut errors = Errors::default();
            if refusal.reason == "recovery_code.wrong" {
                errors.field("recovery_code", crate::refusals::sentence(w, &refusal));
            } else {
                errors.add(w, &refusal, &["recovery_code"]);
            }
            let page = form(&app, &visitor, &session, &told, &errors);
            return Ok(frame::refused(page, refusal));
        }
    };
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    cookies.remove(PENDING);
    let after = visitor.with_session(&answer.session_token);
    let response = match Go::read(&visitor, &told.go) {
        Some(go) => two_factor::proceed(&app, &after, go, &mut cookies)
            .await
            .unwrap_or_else(|problem| super::errors::page(&app, &after, &problem)),
        // How many are left is told on My account, where new ones are made.
        None => {
            let left = answer.recovery_codes_left.to_string();
            redirect(&with_query(
                "/account",
                &[("done", "recovery"), ("left", &left)],
            ))
        }
    };
    Ok(frame::with_cookies(response, &cookies))
}
