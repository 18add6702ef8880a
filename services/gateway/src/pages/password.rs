//! Changing one's password.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sallyport_proto::identity::v1::ChangePasswordRequest;

use super::frame::{self, Errors, Field, Frame};
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::refusals;
use crate::session::Cookies;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    f: Frame,
    email: String,
    current: Field,
    new: Field,
    again: Field,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    Ok(form(&app, &reader, &Errors::default()))
}

fn form(app: &App, reader: &Reader, errors: &Errors) -> Response {
    let w = reader.w;
    let f = Frame::of(app, reader, w.change_password()).with_errors(errors);
    let template = PasswordPage {
        email: reader.profile.email.clone(),
        current: Field::password("current_password", w.current_password(), "current-password")
            .error(errors)
            .required()
            .first(&f),
        new: Field::password("new_password", w.new_password(), "new-password")
            .hint(w.password_hint())
            .error(errors)
            .required(),
        again: Field::password("password_again", w.password_again(), "new-password")
            .error(errors)
            .required(),
        f,
    };
    frame::with_cookies(
        frame::show(frame::status(errors), &template),
        &reader.cookies(),
    )
}

/// The change.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let w = reader.w;
    let mut errors = Errors::default();
    for field in ["current_password", "new_password"] {
        errors.required(w, field, posted.raw(field));
    }
    if posted.raw("new_password") != posted.raw("password_again") {
        errors.field("password_again", w.r_password_mismatch());
    }
    if !errors.is_empty() {
        return Ok(form(&app, &reader, &errors));
    }
    let request = ChangePasswordRequest {
        current_password: posted.raw("current_password").to_owned(),
        new_password: posted.raw("new_password").to_owned(),
    };
    match app
        .clients
        .password()
        .change_password(visitor.ask(request))
        .await
    {
        Ok(answer) => {
            let mut cookies = Cookies::default();
            cookies.session(&answer.into_inner().session_token);
            Ok(frame::with_cookies(
                redirect("/account?done=password"),
                &cookies,
            ))
        }
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            match refusal.reason.as_str() {
                "password.wrong" => {
                    errors.field("current_password", refusals::sentence(w, &refusal))
                }
                reason if reason.starts_with("password.") => {
                    errors.field("new_password", refusals::sentence(w, &refusal));
                }
                reason if reason.starts_with("session.") || reason == "step_up_required" => {
                    return Err(refusal.into());
                }
                _ => errors.add(w, &refusal, &["current_password", "new_password"]),
            }
            Ok(frame::refused(form(&app, &reader, &errors), refusal))
        }
    }
}
