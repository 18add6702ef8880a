//! Setting an authenticator app up, and taking it away, from the block Security. The seed is shown
//! once, in the answer that made it; the page's form carries it on, so that a mistyped code can be
//! typed again.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::identity::v1::ConfirmAuthenticatorRequest;

use super::frame::{self, Errors, Field, Frame};
use super::two_factor::{self, Intent, codes_page};
use super::{code, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::otpauth::{self, Picture};
use crate::problem::Problem;
use crate::session::{Cookies, with_query};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "authenticator_setup.html")]
struct SetupPage {
    f: Frame,
    /// What apps read: a link for those of the same device.
    address: String,
    picture: Option<Picture>,
    secret: String,
    grouped: String,
    enrolment: String,
    code: Field,
}

/// Begins, through whatever has to come first.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    two_factor::start(&app, &visitor, &posted, Intent::SetUpAuthenticator).await
}

/// Takes the app away, through whatever has to come first.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    two_factor::start(&app, &visitor, &posted, Intent::RemoveAuthenticator).await
}

/// Shows a seed, as a picture and as text, and asks for a code.
pub(super) async fn show(
    app: &App,
    visitor: &Visitor,
    secret: &str,
    enrolment: &str,
    errors: &Errors,
) -> Result<Response, Problem> {
    let session = app.clients.session(visitor).await?;
    let w = words_of(&session, visitor);
    let issuer = &app.settings.portal_name;
    let address = otpauth::address(issuer, &session.email, secret);
    let f = Frame::within(app, visitor, w, w.setup_title()).with_errors(errors);
    let template = SetupPage {
        picture: otpauth::picture(&address),
        address,
        secret: secret.to_owned(),
        grouped: otpauth::grouped(secret),
        enrolment: enrolment.to_owned(),
        code: Field::text("code", w.setup_code())
            .hint(w.code_hint())
            .fill("one-time-code", "numeric")
            .class("code")
            .most(16)
            .error(errors)
            .required(),
        f,
    };
    Ok(frame::show(StatusCode::OK, &template))
}

/// The code that proves the app.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let (secret, enrolment) = (posted.text("secret"), posted.text("enrolment"));
    let request = ConfirmAuthenticatorRequest {
        enrolment: enrolment.clone(),
        code: posted.text("code"),
    };
    let mut client = app.clients.two_factor();
    let answer = match client.confirm_authenticator(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let mistyped = matches!(
                refusal.reason.as_str(),
                "code.format" | "authenticator.wrong"
            );
            if !mistyped || !otpauth::is_secret(&secret) {
                let (why, wait) = code::told(&refusal);
                let pairs = [("why", why.as_str()), ("wait", wait.as_str())];
                return Ok(redirect(&with_query("/account", &pairs)));
            }
            let w = words_of(&app.clients.session(&visitor).await?, &visitor);
            let mut errors = Errors::default();
            errors.field("code", crate::refusals::sentence(w, &refusal));
            let page = show(&app, &visitor, &secret, &enrolment, &errors).await?;
            return Ok(frame::refused(page, refusal));
        }
    };
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    let after = visitor.with_session(&answer.session_token);
    let response = if answer.recovery_codes.is_empty() {
        redirect("/account?done=authenticator")
    } else {
        let w = words_of(&app.clients.session(&after).await?, &after);
        codes_page(&app, &after, w, &answer.recovery_codes, true)
    };
    Ok(frame::with_cookies(response, &cookies))
}
