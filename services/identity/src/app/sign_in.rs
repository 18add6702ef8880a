//! The first step: e-mail and password.
//!
//! A known and an unknown e-mail take the same path: the same queries, the same hash, the same rows
//! written, the same answer.

#[cfg(test)]
mod cost_tests;

use std::time::Duration;

use sallyport_chassis::keyring::new_token;
use sallyport_chassis::{Caller, Secret, clock};
use sallyport_email::EmailAddress;
use sallyport_proto::admin::v1::EventResult;
use sallyport_sql::{StoreError, commit};
use uuid::Uuid;

use super::events::{self, EventDraft};
use super::guesses::{self, GuessRefusal, Reservation, Subject};
use super::hashing::{self, HashError, Verdict, Waiting};
use super::mail::{self, MailJob};
use super::{App, second_step};
use crate::domain::password::Password;
use crate::domain::token;
use crate::store::passwords::{self, NewHash};
use crate::store::sessions::{self, Stage};
use crate::store::users::{self, Status};

/// How often a typed password is compared: once more where the stored hash became another one
/// meanwhile. That may be of the same password, when another sign-in hashed it anew.
const JUDGED: usize = 2;

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefusal {
    /// E-mail and password do not belong together, or the user may not sign in.
    #[error("e-mail or password is wrong")]
    Failed,
    /// The next guess is open after this.
    #[error("the next guess must wait")]
    Delayed(Duration),
    /// Only a remembered browser or a reset link gets in.
    #[error("closed after too many failures")]
    Closed,
    /// Hashing has too much to do.
    #[error("hashing is busy")]
    Busy,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GuessRefusal> for SignInRefusal {
    fn from(refusal: GuessRefusal) -> Self {
        match refusal {
            GuessRefusal::Delayed(wait) => Self::Delayed(wait),
            GuessRefusal::Closed => Self::Closed,
            GuessRefusal::Store(error) => Self::Store(error),
        }
    }
}

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its token; only its hash is kept.
    pub token: Secret,
    /// Whether the second step is still asked.
    pub stage: Stage,
}

/// Opens a session for whoever knows the password.
#[tracing::instrument(skip_all)]
pub async fn sign_in(
    app: &App,
    caller: &Caller,
    email: &str,
    password: &Secret,
    browser_token: &Secret,
) -> Result<Opened, SignInRefusal> {
    let address = EmailAddress::parse(email).ok();
    let counted = counted(email, address.as_ref());
    let mut subject = Subject::email(app, &counted, caller);
    let connection = app.database.connection();
    // A text that cannot be an address is nobody's.
    let email = address.as_ref().map_or("", EmailAddress::as_str);
    let user = users::by_email(connection, email).await?;
    let user_id = user.as_ref().map_or(Uuid::nil(), |user| user.id);
    let mut stored = passwords::find(connection, user_id).await?;
    let remembered = !browser_token.is_empty()
        && second_step::is_remembered(connection, app, user_id, browser_token).await?;
    let waiting = if remembered {
        subject = subject.remembered(app, browser_token);
        Waiting::Known
    } else {
        // A neighbour behind the same address keeps no remembered browser out.
        if let Err(refusal) = guesses::check_address(app, &subject).await {
            return Err(limited(app, caller, user.as_ref(), &counted, refusal).await);
        }
        Waiting::Everybody
    };
    let reservation = match guesses::reserve(app, subject).await {
        Ok(reservation) => reservation,
        Err(refusal) => {
            return Err(limited(app, caller, user.as_ref(), &counted, refusal).await);
        }
    };
    let may_sign_in = user
        .as_ref()
        .is_some_and(|user| user.status == Status::Active);
    // Of whoever may not, a right password is not judged: hashing it anew would take its time.
    let typed = Password::read(password.expose()).filter(|_| may_sign_in);
    let code_points = typed.as_ref().map_or(0, Password::code_points);
    let browser = remembered.then_some(browser_token);
    for _ in 0..JUDGED {
        let verdict = match hashing::verify(app, waiting, typed.clone(), stored.as_ref()).await {
            Ok(verdict) => verdict,
            Err(HashError::Busy) => {
                reservation.give_back(app).await?;
                return Err(SignInRefusal::Busy);
            }
            Err(HashError::Store(error)) => return Err(error.into()),
        };
        if matches!(verdict, Verdict::PepperMissing) {
            // Only somebody who has a password can meet this, so the answer does not tell it.
            tracing::error!(
                pepper_key = stored.as_ref().map(|stored| stored.pepper_key.as_str()),
                "a password cannot be compared: the key of its pepper is not in the ring"
            );
        }
        let active = user
            .as_ref()
            .filter(|user| user.status == Status::Active)
            .zip(stored.as_ref());
        let (Verdict::Right(rehashed), Some((user, proven))) = (verdict, active) else {
            break;
        };
        let proof = Proof {
            stored: proven,
            rehashed,
            code_points,
            browser,
        };
        match open(app, caller, user.id, proof, &reservation).await? {
            Opening::Opened(opened) => return Ok(opened),
            Opening::Overtaken(present) => stored = present,
        }
    }
    refuse(app, caller, user.as_ref(), &counted, &reservation).await?;
    Err(SignInRefusal::Failed)
}

/// What guesses count on: also what cannot be an address has its count, so that it is answered like
/// any other.
fn counted(typed: &str, address: Option<&EmailAddress>) -> String {
    match address {
        Some(address) => address.as_str().to_owned(),
        None => typed.trim().to_lowercase().chars().take(320).collect(),
    }
}

/// Notes a guess that a limit refused, for an unknown e-mail, too: the relay leaves out what is
/// nobody's.
async fn limited(
    app: &App,
    caller: &Caller,
    user: Option<&users::Model>,
    email: &str,
    refusal: GuessRefusal,
) -> SignInRefusal {
    if refusal.is_limit() {
        let mut draft = failure(caller, user, "authn_login_fail");
        draft.reason = "sign_in.delayed";
        events::note_refusal(app, email, draft).await;
    }
    refusal.into()
}

/// Writes the same for everybody: what nobody's log wants is left out by the relay.
async fn refuse(
    app: &App,
    caller: &Caller,
    user: Option<&users::Model>,
    email: &str,
    reservation: &Reservation,
) -> Result<(), StoreError> {
    let txn = app.database.begin().await?;
    let closed = reservation.failed(&txn, app).await?;
    let draft = |kind| failure(caller, user, kind);
    events::record(&txn, app, draft("authn_login_fail")).await?;
    if closed {
        events::record(&txn, app, draft("authn_login_lock")).await?;
        mail::put(
            &txn,
            app,
            &MailJob::SignInClosed {
                email: email.to_owned(),
            },
        )
        .await?;
    }
    commit(txn).await?;
    app.outbox_wake.notify_one();
    metrics::counter!("sign_in_failures_total").increment(1);
    Ok(())
}

fn failure(caller: &Caller, user: Option<&users::Model>, kind: &'static str) -> EventDraft {
    let user_id = user.map_or(Uuid::nil(), |user| user.id);
    EventDraft {
        organisation_id: user.map_or(Uuid::nil(), |user| user.organisation_id),
        kind,
        result: EventResult::Refused,
        // A wrong password proves nobody's identity.
        actor: String::new(),
        target: user_id.to_string(),
        reason: "sign_in.failed",
        client_ip: caller
            .client_ip
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        user_agent: caller.user_agent.clone(),
        request_id: caller.request_id.clone(),
        details: Vec::new(),
    }
}

/// What was proven, and by what.
struct Proof<'a> {
    /// The hash that the typed password was compared with.
    stored: &'a passwords::Model,
    rehashed: Option<NewHash>,
    code_points: usize,
    /// The token of a remembered browser.
    browser: Option<&'a Secret>,
}

enum Opening {
    Opened(Opened),
    /// While the password was being hashed, the user's hash became this one, or the user may no
    /// longer sign in (`None`).
    Overtaken(Option<passwords::Model>),
}

/// Opens the session, unless what was proven is no longer what is asked. Whoever changes that holds
/// the user's row, too, so a session is either there for them to end or not opened at all.
async fn open(
    app: &App,
    caller: &Caller,
    user_id: Uuid,
    proof: Proof<'_>,
    reservation: &Reservation,
) -> Result<Opening, SignInRefusal> {
    let now = app.clock.now_ms();
    let token = new_token(token::SESSION);
    let txn = app.database.begin().await?;
    let Some(user) = users::lock(&txn, user_id)
        .await?
        .filter(|user| user.status == Status::Active)
    else {
        return Ok(Opening::Overtaken(None));
    };
    let user = &user;
    let stored = passwords::find(&txn, user.id).await?;
    if stored.as_ref().map(|stored| &stored.hash) != Some(&proof.stored.hash) {
        return Ok(Opening::Overtaken(stored));
    }
    reservation.succeeded(&txn).await?;
    if let Some(new) = proof.rehashed {
        passwords::replace(&txn, proof.stored, new, proof.stored.changed_at).await?;
    }
    let mut asked = second_step::asked_of(&txn, user.id).await?;
    if let (true, Some(browser)) = (asked, proof.browser) {
        asked = !second_step::skips_code(&txn, app, user, browser, proof.code_points).await?;
    }
    let stage = if asked {
        Stage::AwaitingSecondFactor
    } else {
        Stage::SignedIn
    };
    let session_id = clock::new_id(&*app.clock);
    let row = sessions::Model {
        id: session_id,
        user_id: user.id,
        token_hash: sallyport_chassis::keyring::token_hash(token.expose()),
        stage,
        assurance: 1,
        created_at: now,
        expires_at: now + app.settings.sessions.overall.as_millis() as i64,
        last_used_at: now,
        password_at: now,
        second_factor_at: None,
        authenticator_at: None,
        client_ip: caller
            .client_ip
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        user_agent: caller.user_agent.clone(),
        enrols_anew: false,
        challenge_id: None,
        challenge_purpose: None,
        challenge_number: None,
        challenge_expires_at: None,
    };
    sessions::insert(&txn, row).await?;
    let next = if asked { "second_factor" } else { "none" };
    let success = EventDraft::of(caller, user, "authn_login_success")
        .with("factor", "password")
        .with("next_step", next);
    events::record(&txn, app, success).await?;
    let created = EventDraft::of(caller, user, "session_created").with("session", session_id);
    events::record(&txn, app, created).await?;
    commit(txn).await?;
    app.outbox_wake.notify_one();
    metrics::counter!("sign_in_successes_total").increment(1);
    Ok(Opening::Opened(Opened { token, stage }))
}
