//! A forgotten password: a link by mail. The answer is the same whether the address is known or not.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::RequestPasswordResetRequest;

use super::frame::{self, Errors, Field, Frame};
use super::{Told, redirect};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "forgot.html")]
struct ForgotPage {
    f: Frame,
    email: Field,
    sent: bool,
}

/// The form, and what it says afterwards.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Response {
    form(&app, &visitor, "", told.done == "sent", &Errors::default())
}

fn form(app: &App, visitor: &Visitor, email: &str, sent: bool, errors: &Errors) -> Response {
    let w = visitor.words();
    let f = Frame::before(app, visitor, w.forgot_title()).with_errors(errors);
    let email = Field::email("email", w.email())
        .value(email)
        .error(errors)
        .required()
        .first(&f);
    frame::show(frame::status(errors), &ForgotPage { email, sent, f })
}

/// Asks for the link.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let w = visitor.words();
    let email = posted.text("email");
    let mut errors = Errors::default();
    errors.required(w, "email", &email);
    if errors.is_empty() {
        let request = RequestPasswordResetRequest {
            email: email.clone(),
        };
        match app
            .clients
            .password()
            .request_password_reset(visitor.ask(request))
            .await
        {
            Ok(_) => return Ok(redirect("/forgot?done=sent")),
            Err(status) => {
                let refusal = Problem::from(status).refusal()?;
                errors.add(w, &refusal, &["email"]);
                let page = form(&app, &visitor, &email, false, &errors);
                return Ok(frame::refused(page, refusal));
            }
        }
    }
    Ok(form(&app, &visitor, &email, false, &errors))
}
