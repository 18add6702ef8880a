//! A code of the authenticator app instead of one by SMS: at sign-in and as a step-up.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{Session, UseAuthenticatorCodeRequest};

use super::code::{self, factors};
use super::frame::{self, Errors, Field, Frame};
use super::other_ways::OtherWays;
use super::{Told, awaiting, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "authenticator.html")]
struct AuthenticatorPage {
    f: Frame,
    code: Field,
    sign_in: bool,
    next: String,
    go: String,
    ways: OtherWays,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    show(&app, &visitor, &session, &told, &Errors::default()).await
}

async fn show(
    app: &App,
    visitor: &Visitor,
    session: &Session,
    told: &Told,
    errors: &Errors,
) -> Result<Response, Problem> {
    let w = words_of(session, visitor);
    let sign_in = awaiting(session);
    if !sign_in && told.go.is_empty() && told.next().is_empty() {
        // Nothing asks for a code.
        return Ok(redirect("/account"));
    }
    let factors = factors(app, visitor).await?;
    if !factors.authenticator {
        return Ok(redirect(&told.onto("/code")));
    }
    let mut f = Frame::within(app, visitor, w, w.authenticator_title()).with_errors(errors);
    if errors.is_empty() {
        f.alert = told.why(w);
        f.notice = (told.done == "lost").then(|| w.lost_done().to_owned());
    }
    let template = AuthenticatorPage {
        code: Field::text("code", w.authenticator_code())
            .hint(w.code_hint())
            .fill("one-time-code", "numeric")
            .class("code")
            .most(16)
            .error(errors)
            .required()
            .first(&f),
        sign_in,
        next: told.next().to_owned(),
        go: told.go.clone(),
        ways: OtherWays::beside("/authenticator", w, told, &factors, sign_in),
        f,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(
        shown,
        &frame::language_cookie(visitor, w.language),
    ))
}

/// The code.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let mut told = code::carried(&posted);
    let request = UseAuthenticatorCodeRequest {
        code: posted.text("code"),
        remember_browser: posted.ticked("remember_browser"),
    };
    let mut codes = app.clients.code();
    let answer = match codes.use_authenticator_code(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let w = words_of(&session, &visitor);
            let mut errors = Errors::default();
            match refusal.reason.as_str() {
                "code.format" | "authenticator.wrong" | "authenticator.used" => {
                    errors.field("code", crate::refusals::sentence(w, &refusal));
                }
                _ => errors.add(w, &refusal, &["code"]),
            }
            // Where the app is gone meanwhile, the other page says why.
            (told.why, told.wait) = code::told(&refusal);
            let response = show(&app, &visitor, &session, &told, &errors).await?;
            if response.status().is_redirection() {
                return Ok(response);
            }
            return Ok(frame::refused(response, refusal));
        }
    };
    let tokens = (answer.session_token.as_str(), answer.browser_token.as_str());
    Ok(code::passed(&app, &visitor, &told, tokens).await)
}
