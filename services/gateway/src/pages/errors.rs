//! Problems as pages: to sign in, to the code, or a page that says what went wrong. And the leaving
//! of a code page, which ends what was pending on it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use sallyport_proto::identity::v1::CancelChallengeRequest;

use super::frame::{self, Frame};
use super::redirect;
use crate::App;
use crate::problem::Problem;
use crate::refusals;
use crate::session::{Cookies, PENDING, SESSION, with_query};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    f: Frame,
    sentence: String,
    request_id: String,
    /// A one-time link that has ended. What it was for nobody knows any more, so every way to
    /// another one is told.
    link: bool,
}

/// Runs a page; what it could not do becomes a page too.
pub(crate) async fn pages(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Response {
    let get = request.method() == Method::GET;
    let left = get && leaves(&visitor, &request) && {
        // A refusal means that nothing was pending any more.
        let mut codes = app.clients.code();
        let cancelled = codes
            .cancel_challenge(visitor.ask(CancelChallengeRequest {}))
            .await;
        match cancelled.map_err(Problem::from) {
            Ok(_) | Err(Problem::Refused(_)) => true,
            Err(Problem::Failed(_)) => false,
        }
    };
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = answer(&app, &visitor, &problem, get);
    }
    if left {
        let mut cookies = Cookies::default();
        cookies.remove(PENDING);
        cookies.write(response.headers_mut());
    }
    response
}

/// Whether this request means that the reader left the page of a pending code.
fn leaves(visitor: &Visitor, request: &Request) -> bool {
    let document = request
        .headers()
        .get("sec-fetch-dest")
        .is_none_or(|kind| kind.as_bytes() == b"document");
    let path = request.uri().path();
    let elsewhere = !path.starts_with("/code") && !path.starts_with("/dev/") && path != "/confirm";
    visitor.pending && visitor.caller.bearer.is_some() && !visitor.prefetch && document && elsewhere
}

fn answer(app: &App, visitor: &Visitor, problem: &Problem, get: bool) -> Response {
    let here = if get { visitor.here.as_str() } else { "" };
    match problem.reason() {
        reason @ ("session.required" | "session.expired") => {
            let had = visitor.caller.bearer.is_some();
            let why = if had { "session.expired" } else { reason };
            let why = if here == "/account" && !had { "" } else { why };
            let mut cookies = Cookies::default();
            cookies.remove(SESSION);
            let to = with_query("/sign-in", &[("next", here), ("why", why)]);
            frame::with_cookies(redirect(&to), &cookies)
        }
        "second_factor_required" | "step_up_required" => {
            let posted = visitor.here.split('?').next().unwrap_or_default();
            let back = if get { here } else { page_of_form(posted) };
            redirect(&with_query("/code", &[("next", back)]))
        }
        _ => page(app, visitor, problem),
    }
}

/// The page that a form stands on, by the address that it posts to: what only takes posts cannot be
/// gone back to. Tests hold it to the table of routes.
fn page_of_form(path: &str) -> &str {
    match path {
        "/account/password" => path,
        _ if path.starts_with("/account/") => "/account",
        _ if path.starts_with("/users/")
            && (path.ends_with("/password-reset") || path.ends_with("/restore")) =>
        {
            "/users"
        }
        _ => path,
    }
}

/// The page of a problem.
pub(crate) fn page(app: &App, visitor: &Visitor, problem: &Problem) -> Response {
    let w = visitor.words();
    let (title, sentence) = match problem {
        Problem::Refused(refusal) => (w.error_refused(), refusals::sentence(w, refusal)),
        Problem::Failed(_) => (w.error_failed(), w.something_wrong().to_owned()),
    };
    let link = problem.reason() == "link.invalid";
    let title = match problem.status() {
        _ if link => w.error_link(),
        StatusCode::NOT_FOUND => w.error_not_found(),
        _ => title,
    };
    let template = ErrorPage {
        f: Frame::within(app, visitor, w, title),
        sentence,
        request_id: visitor.caller.request_id.clone(),
        link,
    };
    let mut response = frame::show(problem.status(), &template);
    problem.write(response.headers_mut());
    response
}
