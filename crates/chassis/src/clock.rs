//! Time as a dependency, so that tests can move it by hand.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// Where a service takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// The present instant (UTC).
    fn now(&self) -> Timestamp;

    /// The present instant as unix milliseconds, the form in which instants are stored.
    fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A new row or event id: a UUIDv7 (RFC 9562) of the clock's instant, so that ids sort by time.
pub fn new_id(clock: &dyn Clock) -> uuid::Uuid {
    let now = clock.now();
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The id of whatever happens to `what` in the clock's present minute: a UUIDv7 of the minute's
/// beginning, the same for everybody who asks within it.
pub fn id_of_minute(clock: &dyn Clock, what: &[&str]) -> uuid::Uuid {
    const MINUTE_MS: i64 = 60_000;
    id_of(clock.now_ms().div_euclid(MINUTE_MS) * MINUTE_MS, what)
}

/// The id of what happens to `what` once at an instant: a UUIDv7 of that instant (unix milliseconds),
/// the same for everybody who asks.
pub fn id_of(at_ms: i64, what: &[&str]) -> uuid::Uuid {
    let mut hash = Sha256::new();
    hash.update(at_ms.to_be_bytes());
    for part in what {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bits = [0; 10];
    bits.copy_from_slice(&hash.finalize()[..10]);
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(at_ms, &bits).into_uuid()
}

/// An instant as the protobuf timestamp of the wire.
pub fn to_proto(instant: Timestamp) -> prost_types::Timestamp {
    let nanos = instant.as_nanosecond();
    prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000) as i64,
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    }
}

/// A protobuf timestamp as an instant; `None` where it is out of range.
pub fn from_proto(stamp: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(stamp.seconds, stamp.nanos).ok()
}

/// Unix milliseconds, as stored, as an instant; saturates at the ends of time.
pub fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proto_round_trip_keeps_instants_before_and_after_the_epoch() {
        for ms in [-1_500, -1, 0, 1, 1_764_000_000_123] {
            let instant = from_ms(ms);
            assert_eq!(from_proto(&to_proto(instant)), Some(instant));
        }
    }

    #[test]
    fn stored_instants_out_of_range_saturate() {
        assert_eq!(from_ms(i64::MAX), Timestamp::MAX);
        assert_eq!(from_ms(i64::MIN), Timestamp::MIN);
    }
}
