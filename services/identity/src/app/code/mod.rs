//! The second step and every other code.

pub mod cancel;
pub mod get;
pub(crate) mod open;
pub(crate) mod otp;
pub mod refusal;
pub mod resend;
pub mod send_sign_in;
pub mod send_step_up;
mod settle;
pub mod use_recovery_code;
pub mod verify;
pub mod watch;

use std::time::Duration;

use jiff::Timestamp;
use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as otp_proto;
use sea_orm::ConnectionTrait;
use tracing::Instrument;
use uuid::Uuid;

use self::refusal::CodeRefusal;
use crate::store::challenges::Purpose;
use crate::store::{factors, second_steps};

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
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now: Timestamp,
) -> Result<PhoneNumber, CodeRefusal> {
    let row = second_steps::find(db, user_id)
        .await?
        .filter(|row| row.active)
        .ok_or(CodeRefusal::NotActive)?;
    open_to_attempts(&row, false, now)?;
    factors::confirmed(db, user_id)
        .await?
        .ok_or(CodeRefusal::Disabled)
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
