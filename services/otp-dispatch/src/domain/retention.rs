//! How long the store keeps what it may have to answer with.

use std::time::Duration;

/// A receipt that comes before the carrier's answer waits this long for it.
pub const PARKED_RECEIPT: Duration = Duration::from_secs(600);
/// An idempotency key repeats its answer for this long.
pub const IDEMPOTENCY: Duration = Duration::from_secs(24 * 60 * 60);
/// A challenge, after its code has ended: so long can "expired" and "used" be told.
pub const CHALLENGE: Duration = Duration::from_secs(60 * 60);
/// A message, after its deadline: so long are receipts matched.
pub const MESSAGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration as milliseconds for comparing instants.
pub fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
