//! Switching two-factor authentication on and off, its number, its authenticator app, its passkeys, its
//! recovery codes and the browsers that skip it.

pub(crate) mod authenticator;
pub(crate) mod bind;
pub mod browsers;
pub mod change_number;
pub mod disable;
pub mod enable;
pub mod get;
pub(crate) mod recovery_set;
pub mod remake_recovery_codes;
pub mod remove_authenticator;
pub mod remove_passkey;
pub mod rename_passkey;
pub mod set_up_authenticator;
pub mod set_up_passkey;

use std::time::Duration;

use sallyport_chassis::Caller;
use sallyport_phone::PhoneError;
use sallyport_sql::{Connection, StoreError};
use uuid::Uuid;

use super::App;
use super::code::refusal::CodeRefusal;
use super::code::remaining;
use super::events::{self, EventDraft};
use super::session::{SessionContext, SessionRefusal};
use crate::store::{authenticators, factors, passkeys, recovery_codes, second_steps, users};

/// Why a change of two-factor authentication is refused, or fails.
#[derive(Debug, thiserror::Error)]
pub enum TwoFactorRefusal {
    /// What calls about codes are refused for.
    #[error(transparent)]
    Code(#[from] CodeRefusal),
    /// The number cannot be one.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// It is on already, or with this number.
    #[error("two-factor authentication is on already")]
    AlreadyActive,
    /// A fresh second factor is asked first.
    #[error("a fresh second factor is asked first")]
    StepUpRequired,
    /// The organisation or an administrator asks for it.
    #[error("two-factor authentication is required by policy")]
    RequiredByPolicy,
    /// The password would be alone, and is too short for that (rule 25).
    #[error("the password is too short to stand alone")]
    PasswordTooShort {
        /// Code points that it needs.
        minimum: usize,
    },
    /// Not what this session began to set an authenticator app up with, or too late.
    #[error("the setting up of the authenticator app has ended")]
    EnrolmentEnded,
    /// The authenticator app is the only factor: to do without, two-factor authentication is
    /// switched off.
    #[error("the authenticator app is the only factor")]
    LastFactor,
    /// The passkey is the only factor, likewise.
    #[error("the passkey is the only factor")]
    LastPasskey,
    /// Not a passkey of the user.
    #[error("no such passkey")]
    PasskeyNotFound,
    /// Somebody has registered it already.
    #[error("the passkey is registered already")]
    PasskeyKnown,
    /// Not a name for a passkey.
    #[error("not a name for a passkey")]
    PasskeyName,
    /// The user has as many passkeys as he may.
    #[error("too many passkeys")]
    TooManyPasskeys {
        /// How many that is.
        most: u64,
    },
    /// The number was changed lately: a code by SMS is not enough for this long (rule 41).
    #[error("the number was changed lately")]
    NumberChangedLately(Duration),
}

impl From<SessionRefusal> for TwoFactorRefusal {
    fn from(refusal: SessionRefusal) -> Self {
        Self::Code(refusal.into())
    }
}

impl From<StoreError> for TwoFactorRefusal {
    fn from(error: StoreError) -> Self {
        Self::Code(error.into())
    }
}

/// Password and second factor, both fresh: what every change of a working factor needs.
fn require_both_fresh(app: &App, context: &SessionContext) -> Result<(), TwoFactorRefusal> {
    let now = app.clock.now();
    context.require_password_fresh(now)?;
    if context.second_factor_fresh(now) {
        Ok(())
    } else {
        Err(TwoFactorRefusal::StepUpRequired)
    }
}

/// How many factors of the user work: his number, his authenticator app, each passkey.
async fn count_factors(db: &impl Connection, user_id: Uuid) -> Result<u64, StoreError> {
    let number = factors::confirmed(db, user_id).await?.is_some();
    let app = authenticators::live(db, user_id).await?.is_some();
    let passkeys = passkeys::count(db, user_id).await?;
    Ok(u64::from(number) + u64::from(app) + passkeys)
}

/// Notes in the user's log that policy refused a change.
async fn note_forbidden(app: &App, caller: &Caller, user: &users::Model, reason: &'static str) {
    let draft = EventDraft::of(caller, user, "authz_fail").refused(reason);
    events::note_refusal(app, &user.id.to_string(), draft).await;
}

/// For a day* after a change of number, a code by SMS does not take the factor's other parts away:
/// the new number may be the thief's. Nor does it bring another factor in, which would do the rest. A
/// recovery code, a code of the authenticator app or a passkey, given lately in this session, does.
async fn require_settled_number(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    step: &second_steps::Model,
) -> Result<(), TwoFactorRefusal> {
    let Some(changed_at) = step.number_changed_at else {
        return Ok(());
    };
    let now = app.clock.now();
    let settled_at = changed_at + app.settings.second_step.number_change_wait.as_millis() as i64;
    if now.as_millisecond() >= settled_at || context.authenticator_fresh(now) {
        return Ok(());
    }
    let since = now.as_millisecond() - app.settings.password.fresh.as_millis() as i64;
    let db = app.database.connection();
    if recovery_codes::used_since(db, context.session.id, since).await? {
        return Ok(());
    }
    note_forbidden(
        app,
        caller,
        &context.user,
        "two_factor.number_changed_lately",
    )
    .await;
    let wait = remaining(settled_at, now);
    Err(TwoFactorRefusal::NumberChangedLately(wait))
}
