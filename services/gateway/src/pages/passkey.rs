//! A passkey instead of a code: at sign-in and as a step-up. The browser is asked by `passkey.js`, with
//! the options that come with the page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{BeginPasskeyUseRequest, Session, UsePasskeyRequest};

use super::code::{self, factors};
use super::frame::{self, Errors, Frame};
use super::other_ways::OtherWays;
use super::{Told, awaiting, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::with_query;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "passkey.html")]
struct PasskeyPage {
    f: Frame,
    /// What the browser is asked with, JSON.
    options: String,
    ceremony: String,
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
        // Nothing asks for a second factor.
        return Ok(redirect("/account"));
    }
    let factors = factors(app, visitor).await?;
    if !factors.passkey {
        return Ok(redirect(&told.onto("/code")));
    }
    let ask = visitor.ask(BeginPasskeyUseRequest {});
    let begun = match app.clients.code().begin_passkey_use(ask).await {
        Ok(begun) => begun.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            // The code page says why, and has the other ways.
            let (why, wait) = code::told(&refusal);
            let pairs = [("next", told.next()), ("go", told.go.as_str())];
            let all = [pairs[0], pairs[1], ("why", &why), ("wait", &wait)];
            return Ok(redirect(&with_query("/code", &all)));
        }
    };
    let title = w.passkey_title();
    let mut f = Frame::within(app, visitor, w, title)
        .with_errors(errors)
        .script("passkey.js");
    if errors.is_empty() {
        f.alert = told.why(w);
        f.notice = (told.done == "lost").then(|| w.lost_done().to_owned());
    }
    let template = PasskeyPage {
        options: begun.options,
        ceremony: begun.ceremony_id,
        sign_in,
        next: told.next().to_owned(),
        go: told.go.clone(),
        ways: OtherWays::beside("/passkey", w, told, &factors, sign_in),
        f,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(
        shown,
        &frame::language_cookie(visitor, w.language),
    ))
}

/// What the browser answered.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let mut told = code::carried(&posted);
    let request = UsePasskeyRequest {
        ceremony_id: posted.text("ceremony"),
        credential: posted.text("credential"),
        remember_browser: posted.ticked("remember_browser"),
    };
    let mut codes = app.clients.code();
    let answer = match codes.use_passkey(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let w = words_of(&session, &visitor);
            // There is no field to correct: the page comes with another question.
            let errors = Errors::of(w, &refusal, &[]);
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
