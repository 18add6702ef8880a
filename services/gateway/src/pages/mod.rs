//! The portal's pages, one file each. They work without script; every changing form goes through
//! [`crate::guard`], and every answer to one is a redirect, except where a secret is shown once.

mod account;
mod activity;
mod authenticator;
mod authenticator_setup;
mod browsers;
mod code;
mod code_state;
mod confirm;
mod devices;
mod domains;
mod enrol;
mod errors;
mod forgot;
pub(crate) mod frame;
mod inbox;
mod language;
mod licences;
mod link;
mod lost;
mod number;
mod other_ways;
mod passkey;
mod passkeys;
mod password;
mod recovery;
mod save;
mod sessions;
mod sign_in;
pub(crate) mod two_factor;
mod user_add;
mod user_delete;
mod user_edit;
mod user_licence;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use sallyport_proto::admin::v1::{GetProfileRequest, Profile, ProfileFields};
use sallyport_proto::identity::v1::{Session, SessionStage};
use serde::Deserialize;
use tonic::Code;

use crate::App;
use crate::moment::Reading;
use crate::problem::Problem;
use crate::session::Cookies;
use crate::visitor::Visitor;
use crate::words::{Language, Words};

/// The pages.
pub(crate) fn router(app: &Arc<App>) -> Router {
    // Made by `Frame::before`; the language switch stands on these and on pages without a session.
    let before: Router<Arc<App>> = Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/forgot", get(forgot::page).post(forgot::submit))
        .route("/link/{token}", get(link::page).post(link::submit))
        .route("/language", post(language::switch))
        .layer(from_fn_with_state(app.clone(), crate::guard::posts_before));
    Router::new()
        .route("/", get(|| async { redirect("/account") }))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/code", get(code::page).post(code::verify))
        .route("/code/send", post(code::send))
        .route("/code/resend", post(code::resend))
        .route("/code/cancel", post(code::cancel))
        .route("/code/link", post(enrol::send_link))
        .route("/enrol", get(enrol::page).post(enrol::submit))
        .route("/code/state", get(code_state::framed))
        .route("/code/events", get(code_state::events))
        .route("/lost", get(lost::page).post(lost::submit))
        .route(
            "/authenticator",
            get(authenticator::page).post(authenticator::submit),
        )
        .route("/passkey", get(passkey::page).post(passkey::submit))
        .route("/recovery", get(recovery::page).post(recovery::submit))
        .route("/confirm", get(confirm::page).post(confirm::submit))
        .route("/account", get(account::page).post(save::submit))
        .route("/account/number", post(number::confirm))
        .route("/account/number/check", post(number::check))
        .route("/account/recovery-codes", post(two_factor::remake))
        .route("/account/authenticator", post(authenticator_setup::begin))
        .route(
            "/account/authenticator/confirm",
            post(authenticator_setup::confirm),
        )
        .route(
            "/account/authenticator/remove",
            post(authenticator_setup::remove),
        )
        .route(
            "/account/passkeys",
            get(passkeys::page).post(passkeys::begin),
        )
        .route("/account/passkeys/confirm", post(passkeys::confirm))
        .route("/account/passkeys/rename", post(passkeys::rename))
        .route("/account/passkeys/remove", post(passkeys::remove))
        .route(
            "/account/password",
            get(password::page).post(password::submit),
        )
        .route("/account/sessions", post(sessions::end))
        .route("/account/browsers", post(browsers::forget))
        .route("/activity", get(activity::own))
        .route("/users", get(users::page))
        .route("/users/add", get(user_add::page).post(user_add::submit))
        .route("/users/{id}", get(user_edit::page).post(user_edit::submit))
        .route(
            "/users/{id}/delete",
            get(user_delete::page).post(user_delete::submit),
        )
        .route("/users/{id}/restore", post(user_delete::restore))
        .route(
            "/users/{id}/licence",
            get(user_licence::page).post(user_licence::submit),
        )
        .route("/users/{id}/password-reset", post(users::reset_password))
        .route("/users/{id}/logs", get(activity::of_user))
        .route("/licences", get(licences::page))
        .route("/domains", get(domains::page))
        .route("/dev/inbox", get(inbox::page))
        .fallback(|| async { Problem::not_found() })
        .layer(from_fn_with_state(app.clone(), crate::guard::posts))
        .merge(before)
        .layer(from_fn_with_state(app.clone(), errors::pages))
        .with_state(app.clone())
}

/// A signed-in reader: session and profile.
pub(crate) struct Reader {
    /// Who sits at the other end.
    pub visitor: Visitor,
    /// The terms of the reader's own language.
    pub w: Words,
    /// What identity says of the session.
    pub session: Session,
    /// What account-admin says of the user.
    pub profile: Profile,
    /// How the reader writes times.
    pub reading: Reading,
}

impl Reader {
    /// What the reader may change himself.
    pub(crate) fn fields(&self) -> ProfileFields {
        self.profile.fields.clone().unwrap_or_default()
    }

    /// Cookies that every page of his sets.
    pub(crate) fn cookies(&self) -> Cookies {
        frame::language_cookie(&self.visitor, self.w.language)
    }
}

/// The reader of a page that needs both steps.
pub(crate) async fn signed_in(app: &App, visitor: &Visitor) -> Result<Reader, Problem> {
    let mut profiles = app.clients.profile();
    let (session, profile) = tokio::join!(
        app.clients.session(visitor),
        profiles.get_profile(visitor.ask(GetProfileRequest {})),
    );
    let session = session?;
    if awaiting(&session) {
        return Err(Problem::second_factor_required());
    }
    let profile = profile?
        .into_inner()
        .profile
        .ok_or(Problem::Failed(Code::Internal))?;
    let fields = profile.fields.clone().unwrap_or_default();
    let language = Language::from_code(&fields.locale).unwrap_or(visitor.language);
    Ok(Reader {
        visitor: visitor.clone(),
        w: Words::new(language),
        session,
        reading: Reading::new(&fields.time_zone, &fields.date_format, language),
        profile,
    })
}

/// Whether the session waits for its second step: what is not known to be signed in is not.
pub(crate) fn awaiting(session: &Session) -> bool {
    session.stage() != SessionStage::SignedIn
}

/// The terms of a session whose profile is not asked for.
pub(crate) fn words_of(session: &Session, visitor: &Visitor) -> Words {
    Words::new(Language::from_code(&session.locale).unwrap_or(visitor.language))
}

/// Goes on to another page of ours.
pub(crate) fn redirect(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}

/// What a page is told by the one before it. Texts are chosen from tables by these, never shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// What was done.
    pub done: String,
    /// The reason of what was not.
    pub why: String,
    /// Seconds until it may be tried again.
    pub wait: String,
    /// The least that is taken, where there was too little.
    pub minimum: String,
    /// Where to go on to.
    pub next: String,
    /// What to go on with; see [`two_factor::Go`].
    pub go: String,
    /// How many recovery codes are left.
    pub left: String,
    /// By what the code is to come: "sms".
    pub by: String,
}

impl Told {
    /// The sentence of `why`, if it is a reason of ours.
    pub(crate) fn why(&self, w: Words) -> Option<String> {
        let mut refusal = sallyport_chassis::Refusal::new(Code::Unknown, self.why.clone());
        refusal.retry_after = self.wait.parse().ok().map(std::time::Duration::from_secs);
        if let Ok(minimum) = self.minimum.parse::<u32>() {
            refusal = refusal.with("minimum", minimum);
        }
        crate::refusals::known(w, &refusal)
    }

    /// The same, on to another page of the second step.
    pub(crate) fn onto(&self, path: &str) -> String {
        let pairs = [
            ("next", self.next()),
            ("go", self.go.as_str()),
            ("done", self.done.as_str()),
            ("why", self.why.as_str()),
            ("wait", self.wait.as_str()),
            ("left", self.left.as_str()),
        ];
        crate::session::with_query(path, &pairs)
    }

    /// How many recovery codes are left, and the request for new ones where they are few.
    pub(crate) fn left(&self, w: Words) -> Option<String> {
        Some(match self.left.parse::<u32>().ok()? {
            0 => w.recovery_none_left().to_owned(),
            1 => w.recovery_one_left().to_owned(),
            2 => w.recovery_few_left(2),
            left => w.recovery_left(left),
        })
    }

    /// The path of `next`, if it is one of ours.
    pub(crate) fn next(&self) -> &str {
        crate::session::local(&self.next).unwrap_or_default()
    }
}
