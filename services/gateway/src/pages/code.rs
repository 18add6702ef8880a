//! The code page: sign-in, enrolment, change of number and step-up alike.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{
    CancelChallengeRequest, Challenge, GetChallengeRequest, Purpose, ResendCodeRequest,
    SendSignInCodeRequest, SendStepUpCodeRequest, Session, VerifyCodeRequest,
};

use super::code_state::State as MessageState;
use super::frame::{self, Errors, Field, Frame};
use super::two_factor::{self, Go};
use super::{Told, awaiting, redirect, words_of};
use crate::App;
use crate::csrf::idempotency_key;
use crate::guard::Form;
use crate::problem::{Problem, retry_seconds};
use crate::session::{BROWSER, Cookies, PENDING, with_query};
use crate::visitor::Visitor;

const FIELDS: [&str; 1] = ["code"];

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    f: Frame,
    /// `None`: no code is under way, and the page offers to send one.
    live: Option<Live>,
    sign_in: bool,
    /// The factor is disabled: no code can be sent, but a link to enrol anew.
    disabled: bool,
    /// Recovery codes open sign-in and step-up, not the confirming of a number.
    recovery: bool,
    go: String,
    next: String,
    recovery_path: String,
    again_path: String,
}

struct Live {
    code: Field,
    ending: String,
    reference: String,
    state: MessageState,
}

/// Reason and seconds of a refusal, for the query of the page that tells it.
pub(crate) fn told(refusal: &Refusal) -> (String, String) {
    let wait = retry_seconds(refusal)
        .map(|s| s.to_string())
        .unwrap_or_default();
    (refusal.reason.clone(), wait)
}

/// The challenge that is under way, unless its life or its tries are over.
pub(crate) async fn challenge(app: &App, visitor: &Visitor) -> Result<Option<Challenge>, Problem> {
    match app
        .clients
        .code()
        .get_challenge(visitor.ask(GetChallengeRequest {}))
        .await
    {
        Ok(answer) => {
            let challenge = answer.into_inner().challenge;
            let open =
                |c: &Challenge| c.tries_left > 0 && MessageState::seconds(app, &c.expires_at) > 0;
            Ok(challenge.filter(open))
        }
        Err(status) => match Problem::from(status) {
            problem if problem.reason().starts_with("code.") => Ok(None),
            problem => Err(problem),
        },
    }
}

/// The page.
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
    let challenge = challenge(app, visitor).await?;
    if challenge.is_none() && session.may_enrol {
        return Ok(redirect("/enrol"));
    }
    let purpose = challenge
        .as_ref()
        .map_or(Purpose::Unspecified, Challenge::purpose);
    let binds = matches!(purpose, Purpose::Enrolment | Purpose::NumberChange);
    let sign_in = awaiting(session) && !binds;
    if challenge.is_none() && !sign_in && told.go.is_empty() && told.next().is_empty() {
        // Nothing asks for a code, as after Back from a finished one: there is nothing to tell.
        let pairs = [("why", told.why.as_str()), ("wait", told.wait.as_str())];
        return Ok(redirect(&with_query("/account", &pairs)));
    }
    let title = if binds {
        w.code_title_number()
    } else {
        w.code_title()
    };
    let mut frame = Frame::within(app, visitor, w, title)
        .with_errors(errors)
        .script("code.js");
    if errors.is_empty() {
        frame.alert = told.why(w);
        frame.notice = match told.done.as_str() {
            "resent" => Some(w.code_resent().to_owned()),
            "link_sent" => Some(w.enrol_link_sent().to_owned()),
            _ => None,
        };
    }
    let live = challenge.map(|c| Live {
        code: Field::text("code", w.code_field())
            .hint(w.code_hint())
            .fill("one-time-code", "numeric")
            .class("code")
            .most(16)
            .error(errors)
            .required()
            .first(&frame),
        state: match MessageState::of(app, w, &c) {
            state if errors.is_empty() => state,
            // The error says how many tries are left.
            state => MessageState {
                tries: String::new(),
                ..state
            },
        },
        ending: c.number_ending,
        reference: c.reference,
    });
    let pairs = [("next", told.next()), ("go", told.go.as_str())];
    let template = CodePage {
        sign_in,
        recovery: !binds,
        disabled: sign_in
            && (told.done == "link_sent"
                || matches!(told.why.as_str(), "second_factor.disabled" | "link.limit")),
        go: told.go.clone(),
        next: told.next().to_owned(),
        recovery_path: with_query("/recovery", &pairs),
        again_path: with_query("/code", &pairs),
        live,
        f: frame,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(
        shown,
        &frame::language_cookie(visitor, w.language),
    ))
}

/// What the forms of the page carry on.
pub(super) fn carried(posted: &Form) -> Told {
    Told {
        next: posted.text("next"),
        go: posted.text("go"),
        ..Told::default()
    }
}

fn back(told: &Told, pairs: &[(&str, &str)]) -> Response {
    let mut all = vec![("next", told.next()), ("go", told.go.as_str())];
    all.extend_from_slice(pairs);
    redirect(&with_query("/code", &all))
}

/// Sends a code where none is under way: of the sign-in, or a step-up.
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let told = carried(&posted);
    let sent = if awaiting(&session) {
        let key = idempotency_key(posted.nonce(), &["sign-in"]);
        let request = visitor.ask(SendSignInCodeRequest {
            idempotency_key: key,
        });
        app.clients
            .code()
            .send_sign_in_code(request)
            .await
            .map(|_| ())
    } else {
        let key = idempotency_key(posted.nonce(), &["step-up"]);
        let request = visitor.ask(SendStepUpCodeRequest {
            idempotency_key: key,
        });
        app.clients
            .code()
            .send_step_up_code(request)
            .await
            .map(|_| ())
    };
    tell(&told, sent, "")
}

/// Sends the same code again.
pub(crate) async fn resend(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let key = idempotency_key(posted.nonce(), &["resend"]);
    let request = visitor.ask(ResendCodeRequest {
        idempotency_key: key,
    });
    let sent = app.clients.code().resend_code(request).await.map(|_| ());
    tell(&carried(&posted), sent, "resent")
}

pub(super) fn tell(
    told: &Told,
    sent: Result<(), tonic::Status>,
    done: &str,
) -> Result<Response, Problem> {
    match sent {
        Ok(()) => Ok(back(told, &[("done", done)])),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let (why, wait) = self::told(&refusal);
            Ok(back(told, &[("why", &why), ("wait", &wait)]))
        }
    }
}

/// Drops the code, and with it what was pending.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    _posted: Form,
) -> Result<Response, Problem> {
    let cancelled = app
        .clients
        .code()
        .cancel_challenge(visitor.ask(CancelChallengeRequest {}))
        .await;
    if let Err(failed @ Problem::Failed(_)) = cancelled.map_err(Problem::from) {
        return Err(failed);
    }
    let mut cookies = Cookies::default();
    cookies.remove(PENDING);
    // An enrolment on the way through sign-in goes back to its number.
    let to = match app.clients.session(&visitor).await {
        Ok(session) if session.may_enrol => "/enrol",
        _ => "/account?done=cancelled",
    };
    Ok(frame::with_cookies(redirect(to), &cookies))
}

/// The code.
pub(crate) async fn verify(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let w = words_of(&session, &visitor);
    let mut told = carried(&posted);
    let request = VerifyCodeRequest {
        code: posted.text("code"),
        remember_browser: posted.ticked("remember_browser"),
    };
    let answer = match app.clients.code().verify_code(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let mut errors = Errors::default();
            let last = refusal.get("tries_left") == Some("0");
            match refusal.reason.as_str() {
                // The field is gone with the challenge: the page itself says so.
                "code.wrong" if last => "code.ended".clone_into(&mut told.why),
                reason @ ("code.ended" | "code.expired" | "code.used" | "code.none") => {
                    reason.clone_into(&mut told.why);
                }
                "code.format" | "code.wrong" => {
                    errors.field("code", crate::refusals::sentence(w, &refusal));
                }
                _ => errors.add(w, &refusal, &FIELDS),
            }
            let response = show(&app, &visitor, &session, &told, &errors).await?;
            if response.status().is_redirection() {
                return Ok(response);
            }
            return Ok(frame::refused(response, refusal));
        }
    };
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    cookies.remove(PENDING);
    if !answer.browser_token.is_empty() {
        let seconds = u64::from(app.settings.remember_browser_days) * 86_400;
        cookies.keep(BROWSER, &answer.browser_token, seconds);
    }
    let after = visitor.with_session(&answer.session_token);
    let go = Go::read(&visitor, &told.go);
    let response = match answer.purpose() {
        Purpose::StepUp => match go {
            Some(go) => two_factor::proceed(&app, &after, go, &mut cookies).await?,
            None => onward(&told),
        },
        Purpose::Enrolment if !answer.recovery_codes.is_empty() => {
            two_factor::codes_page(&app, &after, w, &answer.recovery_codes, true)
        }
        Purpose::Enrolment => redirect("/account?done=two_factor_on"),
        Purpose::NumberChange => redirect("/account?done=number"),
        Purpose::SignIn | Purpose::Unspecified => onward(&told),
    };
    Ok(frame::with_cookies(response, &cookies))
}

/// To where the reader wanted to go.
pub(crate) fn onward(told: &Told) -> Response {
    redirect(if told.next().is_empty() {
        "/account"
    } else {
        told.next()
    })
}
