//! Signing in: e-mail and password; then the code page. And signing out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{
    SendSignInCodeRequest, SessionStage, SignInRequest, SignOutRequest,
};

use super::frame::{self, Errors, Field, Frame};
use super::{Told, redirect};
use crate::App;
use crate::csrf::idempotency_key;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::{Cookies, PENDING, PRE, SESSION, with_query};
use crate::visitor::Visitor;

const FIELDS: [&str; 2] = ["email", "password"];

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    f: Frame,
    email: Field,
    password: Field,
    next: String,
}

/// The form; a visitor who is signed in already goes on.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let mut cookies = Cookies::default();
    if visitor.caller.bearer.is_some() {
        match app.clients.session(&visitor).await {
            Ok(session) if super::awaiting(&session) => return Ok(redirect("/code")),
            Ok(_) => return Ok(redirect("/account")),
            Err(Problem::Refused(_)) => cookies.remove(SESSION),
            Err(failed) => return Err(failed),
        }
    }
    let w = visitor.words();
    let mut frame = Frame::before(&app, &visitor, w.sign_in());
    frame.notice = match told.done.as_str() {
        "out" => Some(w.signed_out().to_owned()),
        "password" => Some(w.password_set_sign_in().to_owned()),
        _ => None,
    };
    frame.alert = told.why(w);
    let shown = form(frame, "", told.next(), &Errors::default());
    Ok(frame::with_cookies(shown, &cookies))
}

fn form(f: Frame, email: &str, next: &str, errors: &Errors) -> Response {
    let w = f.w;
    let password = Field::password("password", w.password(), "current-password");
    let template = SignInPage {
        email: Field::email("email", w.email())
            .value(email)
            .error(errors)
            .required()
            .first(&f),
        password: password.error(errors).required(),
        next: next.to_owned(),
        f,
    };
    frame::show(frame::status(errors), &template)
}

/// The first step.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let w = visitor.words();
    let email = posted.text("email");
    let told = Told {
        next: posted.text("next"),
        ..Told::default()
    };
    let mut errors = Errors::default();
    errors.required(w, "email", &email);
    errors.required(w, "password", posted.raw("password"));
    let refuse = |errors: &Errors| {
        let frame = Frame::before(&app, &visitor, w.sign_in()).with_errors(errors);
        form(frame, &email, told.next(), errors)
    };
    if !errors.is_empty() {
        return Ok(refuse(&errors));
    }
    let browser = visitor.browser.as_ref();
    let request = SignInRequest {
        email: email.clone(),
        password: posted.raw("password").to_owned(),
        browser_token: browser
            .map(|token| token.expose().to_owned())
            .unwrap_or_default(),
    };
    let answer = match app.clients.sign_in().sign_in(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            let page = refuse(&Errors::of(w, &refusal, &FIELDS));
            return Ok(frame::refused(page, refusal));
        }
    };
    end_former(&app, &visitor).await;
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    cookies.remove(PENDING);
    if answer.stage() == SessionStage::SignedIn {
        let next = if told.next().is_empty() {
            "/account"
        } else {
            told.next()
        };
        return Ok(frame::with_cookies(redirect(next), &cookies));
    }
    let visitor = visitor.with_session(&answer.session_token);
    // No message is paid for where there is a passkey or an app; their pages offer one.
    if let Ok(factors) = super::code::factors(&app, &visitor).await
        && let Some(page) = super::code::without_message(&factors)
    {
        let to = with_query(page, &[("next", told.next())]);
        return Ok(frame::with_cookies(redirect(&to), &cookies));
    }
    let key = idempotency_key(posted.nonce(), &["sign-in"]);
    let request = SendSignInCodeRequest {
        idempotency_key: key,
    };
    // Whether the message could be sent or not, the reader is past the first step: the code page has
    // the other ways in.
    let (why, wait) = match app
        .clients
        .code()
        .send_sign_in_code(visitor.ask(request))
        .await
    {
        Ok(_) => (String::new(), String::new()),
        Err(status) => match Problem::from(status) {
            Problem::Refused(refusal) => super::code::told(&refusal),
            Problem::Failed(_) => ("code.not_sent".to_owned(), String::new()),
        },
    };
    let pairs = [("next", told.next()), ("why", &why), ("wait", &wait)];
    Ok(frame::with_cookies(
        redirect(&with_query("/code", &pairs)),
        &cookies,
    ))
}

/// The session that this browser had is not left open behind a new one.
pub(super) async fn end_former(app: &App, former: &Visitor) {
    if former.caller.bearer.is_some() {
        let ask = former.ask(SignOutRequest {});
        if let Err(status) = app.clients.sign_in().sign_out(ask).await {
            tracing::warn!(code = ?status.code(), "the former session could not be ended");
        }
    }
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    _posted: Form,
) -> Result<Response, Problem> {
    if visitor.caller.bearer.is_some() {
        let ended = app
            .clients
            .sign_in()
            .sign_out(visitor.ask(SignOutRequest {}))
            .await;
        if let Err(failed @ Problem::Failed(_)) = ended.map_err(Problem::from) {
            // The cookie stays, so that the reader can try again: the session is still open.
            return Err(failed);
        }
    }
    let mut cookies = Cookies::default();
    cookies.remove(SESSION);
    cookies.remove(PENDING);
    cookies.remove(PRE);
    Ok(frame::with_cookies(redirect("/sign-in?done=out"), &cookies))
}
