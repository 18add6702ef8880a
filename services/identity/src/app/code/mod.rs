//! The second step and every other code.

pub mod cancel;
pub mod ceremony;
pub mod enrolment_link;
pub mod get;
pub mod list_factors;
pub(crate) mod open;
pub(crate) mod otp;
pub mod phone_lost;
pub mod refusal;
pub mod resend;
pub mod send_sign_in;
pub mod send_step_up;
mod settle;
pub mod use_authenticator;
pub mod use_passkey;
pub mod use_recovery_code;
pub mod verify;
pub mod watch;

use std::time::Duration;

use jiff::Timestamp;
use sallyport_chassis::Caller;
use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as otp_proto;
use sallyport_sql::StoreError;
use tracing::Instrument;

use self::refusal::CodeRefusal;
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::session::SessionContext;
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::{authenticators, factors, passkeys, second_steps, users};

/// A challenge as its owner may see it.
#[derive(Debug, Clone)]
pub struct LiveChallenge {
    /// What it is for.
    pub purpose: Purpose,
    /// The last two digits of the number.
    pub number_ending: String,
    /// What otp-api says of it.
    pub state: otp_proto::Challenge,
}

/// The number that codes go to, if the user's second step takes a code now.
pub(crate) async fn ready_number(
    app: &App,
    caller: &Caller,
    user: &users::Model,
) -> Result<PhoneNumber, CodeRefusal> {
    let db = app.database.connection();
    let row = second_steps::find(db, user.id)
        .await?
        .filter(|row| row.active)
        .ok_or(CodeRefusal::NotActive)?;
    require_open(app, caller, user, &row, false).await?;
    if let Some(number) = factors::confirmed(db, user.id).await? {
        return Ok(number);
    }
    let another = authenticators::live(db, user.id).await?.is_some()
        || passkeys::count(db, user.id).await? > 0;
    Err(if another {
        CodeRefusal::NoNumber
    } else {
        CodeRefusal::Disabled
    })
}

/// The session's challenge, if another factor that is given in its place makes it needless. One that
/// binds a number stays.
fn superseded(context: &SessionContext) -> Result<Option<Challenge>, StoreError> {
    let challenge = challenges::of(&context.session)?;
    Ok(challenge.filter(|found| !found.purpose.binds()))
}

/// Refuses to send where no attempt would be taken, and notes it.
pub(crate) async fn require_open(
    app: &App,
    caller: &Caller,
    user: &users::Model,
    row: &second_steps::Model,
    enrolling: bool,
) -> Result<(), CodeRefusal> {
    let open = open_to_attempts(row, enrolling, app.clock.now());
    if let Err(refusal) = &open {
        note_unsent(app, caller, user, refusal).await;
    }
    open
}

/// Refuses where no attempt would be taken: no code is sent that could not be given. `enrolling`
/// ends a disabled factor, so it is open to that.
pub(crate) fn open_to_attempts(
    row: &second_steps::Model,
    enrolling: bool,
    now: Timestamp,
) -> Result<(), CodeRefusal> {
    if row.is_spent() || (!enrolling && row.disabled_at.is_some()) {
        return Err(CodeRefusal::Disabled);
    }
    match row.locked_until_at {
        Some(until) if until > now.as_millisecond() => {
            Err(CodeRefusal::Locked(remaining(until, now)))
        }
        _ => Ok(()),
    }
}

/// Notes in the user's log that a limit refused an attempt before it was made; other refusals have
/// their events, or change nothing that concerns security.
async fn note_closed(
    app: &App,
    caller: &Caller,
    user: &users::Model,
    method: &'static str,
    refusal: &CodeRefusal,
) {
    let reason = match refusal {
        CodeRefusal::Locked(_) | CodeRefusal::Disabled => settle::reason(refusal),
        CodeRefusal::RecoveryLimit(_) => "recovery_code.limit",
        CodeRefusal::PasskeyLimit(_) => "passkey.limit",
        _ => return,
    };
    let draft = EventDraft::of(caller, user, "authn_second_factor_fail")
        .refused(reason)
        .with("method", method);
    events::note_refusal(app, &user.id.to_string(), draft).await;
}

/// Notes in the user's log that a limit kept a code from being sent.
pub(super) async fn note_unsent(
    app: &App,
    caller: &Caller,
    user: &users::Model,
    refusal: &CodeRefusal,
) {
    let reason = match refusal {
        CodeRefusal::Locked(_) | CodeRefusal::Disabled => settle::reason(refusal),
        CodeRefusal::Otp(refusal) if refusal.reason == "sms.quota" => "sms.quota",
        CodeRefusal::Otp(refusal) if refusal.reason == "sms.limit" => "sms.limit",
        _ => return,
    };
    let draft = EventDraft::of(caller, user, "code_not_sent").refused(reason);
    events::note_refusal(app, &user.id.to_string(), draft).await;
}

/// The time from now until an instant (unix milliseconds), at least a second.
pub(crate) fn remaining(until_ms: i64, now: Timestamp) -> Duration {
    let ms = until_ms.saturating_sub(now.as_millisecond());
    Duration::from_millis(ms.unsigned_abs()).max(Duration::from_secs(1))
}

/// Runs to its end also when the caller goes away halfway: whoever hangs up on his own wrong answer
/// is still counted, logged and told of.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, CodeRefusal>> + Send + 'static,
) -> Result<T, CodeRefusal> {
    tokio::spawn(work.in_current_span())
        .await
        .unwrap_or(Err(CodeRefusal::Interrupted))
}
