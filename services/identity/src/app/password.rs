//! Passwords of signed-in users: confirming and changing them.

use std::time::Duration;

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::{StoreError, Transaction, commit};

use super::events::{self, EventDraft};
use super::guesses::{self, GuessRefusal, Reservation, Subject};
use super::hashing::{self, HashError, Verdict, Waiting};
use super::session::{self, Renewal, SessionContext, SessionRefusal};
use super::{App, mail, second_step};
use crate::domain::mail_text::Notice;
use crate::domain::password::{Password, Weakness};
use crate::store::links;
use crate::store::passwords::{self, NewHash};
use crate::store::users;

/// Why a password was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PasswordRefusal {
    /// No session, or not far enough.
    #[error(transparent)]
    Session(#[from] SessionRefusal),
    /// Not the user's password.
    #[error("the password is wrong")]
    Wrong,
    /// The next guess is open after this.
    #[error("the next guess must wait")]
    Delayed(Duration),
    /// Too many failures: only a reset link helps.
    #[error("closed after too many failures")]
    Closed,
    /// The new password may not be chosen.
    #[error("the new password is too weak")]
    Weak(Weakness),
    /// Hashing has too much to do.
    #[error("hashing is busy")]
    Busy,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GuessRefusal> for PasswordRefusal {
    fn from(refusal: GuessRefusal) -> Self {
        match refusal {
            GuessRefusal::Delayed(wait) => Self::Delayed(wait),
            GuessRefusal::Closed => Self::Closed,
            GuessRefusal::Store(error) => Self::Store(error),
        }
    }
}

impl From<HashError> for PasswordRefusal {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Store(error) => Self::Store(error),
        }
    }
}

/// The password was typed again: the session gets a new token under which it counts as fresh.
#[tracing::instrument(skip_all)]
pub async fn confirm(
    app: &App,
    caller: &Caller,
    typed: &Secret,
) -> Result<Secret, PasswordRefusal> {
    let context = session::authenticate(app, caller).await?;
    context.require_may_enrol()?;
    let proven = prove(app, caller, &context, typed).await?;
    let txn = app.database.begin().await?;
    proven.reservation.succeeded(&txn).await?;
    if let Some(new) = proven.rehashed {
        passwords::replace(&txn, &proven.stored, new, proven.stored.changed_at).await?;
    }
    let renewal = Renewal {
        password_at: Some(app.clock.now_ms()),
        ..Renewal::default()
    };
    let token = session::renew(&txn, app, &context, renewal).await?;
    let event =
        EventDraft::of(caller, &context.user, "authn_login_success").with("factor", "password");
    events::record(&txn, app, event.with("purpose", "confirmation")).await?;
    commit(txn).await?;
    app.outbox_wake.notify_one();
    Ok(token)
}

/// Another password, given the present one. Other sessions and remembered browsers end.
#[tracing::instrument(skip_all)]
pub async fn change(
    app: &App,
    caller: &Caller,
    typed: &Secret,
    chosen: &Secret,
) -> Result<Secret, PasswordRefusal> {
    let context = session::authenticate(app, caller).await?;
    context.require_signed_in()?;
    let chosen = Password::read(chosen.expose()).ok_or(PasswordRefusal::Weak(Weakness::TooLong))?;
    let proven = prove(app, caller, &context, typed).await?;
    let settled = app.database.begin().await?;
    proven.reservation.succeeded(&settled).await?;
    commit(settled).await?;
    let new = make_new(app, &context.user, chosen).await??;
    let txn = app.database.begin().await?;
    users::lock(&txn, context.user.id).await?;
    if !is_long_enough(&txn, &context.user, &new).await? {
        return Err(PasswordRefusal::Weak(too_short_alone(app)));
    }
    let now = app.clock.now_ms();
    if !passwords::replace(&txn, &proven.stored, new, now).await? {
        // Changed meanwhile: what was typed is no longer the password.
        return Err(PasswordRefusal::Wrong);
    }
    let renewal = Renewal {
        password_at: Some(now),
        ..Renewal::default()
    };
    let token = session::renew(&txn, app, &context, renewal).await?;
    session::end_others(&txn, app, caller, &context).await?;
    changed(&txn, app, caller, &context.user, "change").await?;
    commit(txn).await?;
    app.outbox_wake.notify_one();
    Ok(token)
}

struct Proven {
    stored: passwords::Model,
    rehashed: Option<NewHash>,
    reservation: Reservation,
}

/// Compares what was typed with the user's password, under the limits of the user's own
/// confirmations.
async fn prove(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    typed: &Secret,
) -> Result<Proven, PasswordRefusal> {
    let user = &context.user;
    // Who holds a session waits for no neighbour behind the same address.
    let subject = Subject::confirmation(app, user.id, caller);
    let stored = passwords::find(app.database.connection(), user.id).await?;
    let reservation = match guesses::reserve(app, subject).await {
        Ok(reservation) => reservation,
        Err(refusal) => {
            if refusal.is_limit() {
                let draft = EventDraft::of(caller, user, "authn_login_fail")
                    .refused("sign_in.delayed")
                    .with("purpose", "confirmation");
                events::note_refusal(app, &user.id.to_string(), draft).await;
            }
            return Err(refusal.into());
        }
    };
    let typed = Password::read(typed.expose());
    let verdict = match hashing::verify(app, Waiting::Known, typed, stored.as_ref()).await {
        Ok(verdict) => verdict,
        Err(HashError::Busy) => {
            reservation.give_back(app).await?;
            return Err(PasswordRefusal::Busy);
        }
        Err(HashError::Store(error)) => return Err(error.into()),
    };
    match (verdict, stored) {
        (Verdict::Right(rehashed), Some(stored)) => Ok(Proven {
            stored,
            rehashed,
            reservation,
        }),
        // Whoever is signed in learns nothing by it: the trouble is ours, and no try is counted.
        (verdict @ (Verdict::PepperMissing | Verdict::Malformed), _) => {
            reservation.give_back(app).await?;
            let trouble = match verdict {
                Verdict::PepperMissing => "a password's pepper key is not in the ring",
                _ => "a password's hash is not argon2id",
            };
            Err(StoreError::Corrupt(trouble).into())
        }
        _ => {
            let txn = app.database.begin().await?;
            reservation.failed(&txn, app).await?;
            let event = EventDraft::of(caller, user, "authn_login_fail")
                .refused("password.wrong")
                .with("purpose", "confirmation");
            events::record(&txn, app, event).await?;
            commit(txn).await?;
            app.outbox_wake.notify_one();
            Err(PasswordRefusal::Wrong)
        }
    }
}

/// Judges and hashes a password that the user chose.
///
/// Eight code points do where sign-in asks the user for a second factor, too. Otherwise fifteen,
/// also where one is required of him that he does not have yet: until then the password is alone.
pub(super) async fn make_new(
    app: &App,
    user: &users::Model,
    chosen: Password,
) -> Result<Result<NewHash, PasswordRefusal>, HashError> {
    let settings = &app.settings.password;
    let asked = second_step::asked_of(app.database.connection(), user.id).await?;
    let minimum = if asked {
        settings.minimum_with_second_factor
    } else {
        settings.minimum_alone
    };
    let mut words: Vec<String> = user.context_words.lines().map(str::to_owned).collect();
    words.push(user.email.clone());
    let made = hashing::make(app, chosen, minimum, words).await?;
    Ok(made.map_err(PasswordRefusal::Weak))
}

/// Whether a password that was judged before the user's lock was taken is long enough under it: the
/// second factor may have been switched off meanwhile.
pub(super) async fn is_long_enough(
    txn: &Transaction,
    user: &users::Model,
    new: &NewHash,
) -> Result<bool, StoreError> {
    Ok(new.stands_alone || second_step::asked_of(txn, user.id).await?)
}

/// What a password is told that would have to stand alone.
pub(super) fn too_short_alone(app: &App) -> Weakness {
    Weakness::TooShort {
        minimum: app.settings.password.minimum_alone,
    }
}

/// What follows from every change of a password, however it came about.
pub(super) async fn changed(
    txn: &Transaction,
    app: &App,
    caller: &Caller,
    user: &users::Model,
    by: &'static str,
) -> Result<(), StoreError> {
    second_step::forget_browsers(txn, user.id).await?;
    links::end_all(txn, user.id, None, app.clock.now_ms()).await?;
    let event = EventDraft::of(caller, user, "authn_password_change").with("by", by);
    events::record(txn, app, event).await?;
    mail::put_notice(txn, app, user.id, Notice::PasswordChanged).await
}
