//! The code page: sign-in, enrolment, change of number and step-up alike.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{
    CancelChallengeRequest, Challenge, GetChallengeRequest, ListFactorsRequest,
    ListFactorsResponse, Purpose, ResendCodeRequest, SendSignInCodeRequest, SendStepUpCodeRequest,
    Session, VerifyCodeRequest,
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
use crate::words::Words;

const FIELDS: [&str; 1] = ["code"];

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    f: Frame,
    /// `None`: no code is under way, and the page offers to send one.
    live: Option<Live>,
    sign_in: bool,
    /// The factor is disabled: no code is asked for. A sign-in offers a link to enrol anew.
    disabled: bool,
    /// Recovery codes open sign-in and step-up, not the confirming of a number.
    recovery: bool,
    go: String,
    next: String,
    recovery_path: String,
    /// Empty where no app is set up, or none helps.
    authenticator_path: String,
    /// Empty where there is no passkey, or none helps.
    passkey_path: String,
    /// Empty where there is nothing to report.
    lost_path: String,
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

/// The ways of the visitor's second step, besides recovery codes.
pub(crate) async fn factors(app: &App, visitor: &Visitor) -> Result<ListFactorsResponse, Problem> {
    let ask = visitor.ask(ListFactorsRequest {});
    Ok(app.clients.code().list_factors(ask).await?.into_inner())
}

/// The page of the factor that no message has to be sent for, the one that no other page can relay first;
/// `None` where there is none.
pub(super) fn without_message(factors: &ListFactorsResponse) -> Option<&'static str> {
    if factors.passkey {
        Some("/passkey")
    } else if factors.authenticator {
        Some("/authenticator")
    } else {
        None
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
    let purpose = challenge
        .as_ref()
        .map_or(Purpose::Unspecified, Challenge::purpose);
    let binds = matches!(purpose, Purpose::Enrolment | Purpose::NumberChange);
    if session.may_enrol && !binds {
        // Its code is over, or was not asked for yet: back to the number, with what there is to tell.
        let pairs = [("why", told.why.as_str()), ("wait", told.wait.as_str())];
        return Ok(redirect(&with_query("/enrol", &pairs)));
    }
    let sign_in = awaiting(session) && !binds;
    let disabled = !binds && session.second_factor_disabled;
    if challenge.is_none() && !sign_in && told.go.is_empty() && told.next().is_empty() {
        // Nothing asks for a code, as after Back from a finished one: there is nothing to tell.
        let pairs = [
            ("why", told.why.as_str()),
            ("wait", told.wait.as_str()),
            ("left", told.left.as_str()),
        ];
        return Ok(redirect(&with_query("/account", &pairs)));
    }
    let factors = factors(app, visitor).await?;
    let has_number = !factors.number_ending.is_empty();
    let wants_sms = has_number && (told.by == "sms" || !told.why.is_empty());
    // What there is to tell is told here, and not before another question for the passkey.
    if challenge.is_none() && factors.passkey && told.by != "sms" && told.why.is_empty() {
        return Ok(redirect(&told.onto("/passkey")));
    }
    if challenge.is_none() && factors.authenticator && !wants_sms {
        return Ok(redirect(&told.onto("/authenticator")));
    }
    let title = match (binds, disabled) {
        (true, _) => w.code_title_number(),
        (false, true) => w.enrol_title(),
        (false, false) => w.code_title(),
    };
    let mut frame = Frame::within(app, visitor, w, title).script("code.js");
    if disabled {
        (frame.notice, frame.alert) = told_disabled(w, told);
    } else if errors.is_empty() {
        frame.alert = told.why(w);
        frame.notice = match told.done.as_str() {
            "resent" => Some(w.code_resent().to_owned()),
            _ => told.left(w),
        };
    } else {
        frame = frame.with_errors(errors);
    }
    // A code that was sent before the factor was disabled is worth nothing.
    let live = challenge.filter(|_| !disabled).map(|c| Live {
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
        disabled,
        go: told.go.clone(),
        next: told.next().to_owned(),
        recovery_path: with_query("/recovery", &pairs),
        authenticator_path: if factors.authenticator && !binds {
            with_query("/authenticator", &pairs)
        } else {
            String::new()
        },
        passkey_path: if factors.passkey && !binds {
            with_query("/passkey", &pairs)
        } else {
            String::new()
        },
        lost_path: lost_path(told, sign_in && has_number),
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

/// Where a lost phone is reported; empty where there is none to report.
pub(super) fn lost_path(told: &Told, reportable: bool) -> String {
    if reportable {
        with_query("/lost", &[("next", told.next())])
    } else {
        String::new()
    }
}

/// Keeps the token of a browser that is to be remembered.
pub(super) fn remember(app: &App, cookies: &mut Cookies, browser_token: &str) {
    if !browser_token.is_empty() {
        let seconds = u64::from(app.settings.remember_browser_days) * 86_400;
        cookies.keep(BROWSER, browser_token, seconds);
    }
}

/// The second step is through, by something else than a code that was sent: keeps the session's token
/// and that of a remembered browser, and goes on.
pub(super) async fn passed(
    app: &App,
    visitor: &Visitor,
    told: &Told,
    (session_token, browser_token): (&str, &str),
) -> Response {
    let mut cookies = Cookies::default();
    cookies.session(session_token);
    cookies.remove(PENDING);
    remember(app, &mut cookies, browser_token);
    let after = visitor.with_session(session_token);
    let response = match Go::read(visitor, &told.go) {
        // The new token must reach the browser even where the action failed.
        Some(go) => two_factor::proceed(app, &after, go, &mut cookies)
            .await
            .unwrap_or_else(|problem| super::errors::page(app, &after, &problem)),
        None => onward(told),
    };
    frame::with_cookies(response, &cookies)
}

/// Notice and alert of the page where the factor is disabled: that the phone was reported lost, that a
/// link was mailed or why not, else that it is disabled.
fn told_disabled(w: Words, told: &Told) -> (Option<String>, Option<String>) {
    match told.done.as_str() {
        "link_sent" => return (Some(w.enrol_link_sent().to_owned()), None),
        "lost" => return (Some(w.lost_done().to_owned()), None),
        _ => {}
    }
    let refused = told.why(w).filter(|_| told.why.starts_with("link."));
    let alert = refused.unwrap_or_else(|| w.r_second_factor_disabled().to_owned());
    (None, Some(alert))
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

/// Back to the code page, with what was done or why it was not.
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
            (told.why, told.wait) = self::told(&refusal);
            match refusal.reason.as_str() {
                // The field is gone with the challenge: the page itself says so.
                "code.wrong" if last => "code.ended".clone_into(&mut told.why),
                "code.ended" | "code.expired" | "code.used" | "code.none" => {}
                "code.format" | "code.wrong" => {
                    errors.field("code", crate::refusals::sentence(w, &refusal));
                }
                _ => errors.add(w, &refusal, &FIELDS),
            }
            // This very attempt may have disabled the factor.
            let session = app.clients.session(&visitor).await?;
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
    remember(&app, &mut cookies, &answer.browser_token);
    let after = visitor.with_session(&answer.session_token);
    let go = Go::read(&visitor, &told.go);
    let response = match answer.purpose() {
        Purpose::StepUp => match go {
            // The new token must reach the browser even where the action failed.
            Some(go) => two_factor::proceed(&app, &after, go, &mut cookies)
                .await
                .unwrap_or_else(|problem| super::errors::page(&app, &after, &problem)),
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
