//! The user's passkeys: adding, naming and taking them away. What an authenticator is asked with comes in
//! the answer that began it, and `passkey.js` asks.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::identity::v1::{
    BeginPasskeyResponse, ConfirmPasskeyRequest, Passkey, RenamePasskeyRequest,
};

use super::devices::browser;
use super::frame::{self, Field, Frame};
use super::two_factor::{self, Intent, codes_page};
use super::{Reader, Told, account, code, redirect, signed_in, words_of};
use crate::App;
use crate::guard::Form;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::session::{Cookies, with_query};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "passkeys.html")]
struct PasskeysPage {
    f: Frame,
    passkeys: Vec<PasskeyRow>,
}

struct PasskeyRow {
    id: String,
    name: String,
    since: Option<Moment>,
    used: Option<Moment>,
    backed_up: bool,
}

impl PasskeyRow {
    fn of(passkey: Passkey, reader: &Reader) -> Self {
        Self {
            since: reader.reading.wire(&passkey.created_at),
            used: reader.reading.wire(&passkey.last_used_at),
            id: passkey.passkey_id,
            name: passkey.name,
            backed_up: passkey.backed_up,
        }
    }
}

/// The list.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let factor = account::two_factor(&app, &visitor).await?;
    let w = reader.w;
    let mut f = Frame::of(&app, &reader, w.passkeys());
    f.alert = told.why(w);
    f.notice = match told.done.as_str() {
        "added" => Some(w.done_passkey().to_owned()),
        "renamed" => Some(w.done_passkey_renamed().to_owned()),
        "removed" => Some(w.done_passkey_removed().to_owned()),
        _ => None,
    };
    let passkeys = factor.passkeys.into_iter();
    let template = PasskeysPage {
        passkeys: passkeys.map(|p| PasskeyRow::of(p, &reader)).collect(),
        f,
    };
    let shown = frame::show(StatusCode::OK, &template);
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

/// Begins to add one, through whatever has to come first.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    two_factor::start(&app, &visitor, &posted, Intent::AddPasskey).await
}

/// Takes one away, through whatever has to come first.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    two_factor::start(&app, &visitor, &posted, Intent::RemovePasskey).await
}

#[derive(Template)]
#[template(path = "passkey_setup.html")]
struct SetupPage {
    f: Frame,
    /// What the browser is asked with, JSON.
    options: String,
    ceremony: String,
    name: Field,
}

/// Asks for a name, which is the browser's until the user writes another, and has the passkey made.
pub(super) async fn show_setup(
    app: &App,
    visitor: &Visitor,
    begun: BeginPasskeyResponse,
) -> Result<Response, Problem> {
    let session = app.clients.session(visitor).await?;
    let w = words_of(&session, visitor);
    let template = SetupPage {
        f: Frame::within(app, visitor, w, w.passkey_setup_title()).script("passkey.js"),
        options: begun.options,
        ceremony: begun.ceremony_id,
        name: Field::text("name", w.passkey_name())
            .hint(w.passkey_name_hint())
            .value(browser(&visitor.caller.user_agent, w))
            .most(64)
            .required(),
    };
    Ok(frame::show(StatusCode::OK, &template))
}

/// The passkey that was made.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let request = ConfirmPasskeyRequest {
        ceremony_id: posted.text("ceremony"),
        credential: posted.text("credential"),
        name: posted.text("name"),
    };
    let mut client = app.clients.two_factor();
    let answer = match client.confirm_passkey(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        // Its question is used up: one begins again from the list, which says why.
        Err(status) => return refused(status),
    };
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    let after = visitor.with_session(&answer.session_token);
    let response = if answer.recovery_codes.is_empty() {
        redirect("/account/passkeys?done=added")
    } else {
        let w = words_of(&app.clients.session(&after).await?, &after);
        codes_page(&app, &after, w, &answer.recovery_codes, true)
    };
    Ok(frame::with_cookies(response, &cookies))
}

/// Another name.
pub(crate) async fn rename(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let request = RenamePasskeyRequest {
        passkey_id: posted.text("passkey_id"),
        name: posted.text("name"),
    };
    let mut client = app.clients.two_factor();
    match client.rename_passkey(visitor.ask(request)).await {
        Ok(_) => Ok(redirect("/account/passkeys?done=renamed")),
        Err(status) => refused(status),
    }
}

/// Back to the list, with what was not done.
fn refused(status: tonic::Status) -> Result<Response, Problem> {
    let refusal = Problem::from(status).refusal()?;
    if refusal.reason.starts_with("session.") || refusal.reason == "second_factor_required" {
        return Err(refusal.into());
    }
    let (why, wait) = code::told(&refusal);
    let pairs = [("why", why.as_str()), ("wait", wait.as_str())];
    Ok(redirect(&with_query("/account/passkeys", &pairs)))
}
