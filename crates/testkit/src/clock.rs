//! Time that tests move by hand.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sallyport_chassis::clock::Clock;

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            now: Arc::new(Mutex::new(start)),
        }
    }

    /// Moves the clock: forward, or back by a negative span, as a machine's clock may jump. Takes
    /// a `jiff::Span` (days, weeks and months by UTC), a `SignedDuration` or a std `Duration`.
    ///
    /// # Panics
    /// Panics when the result is outside of jiff's years -9999 to 9999.
    pub fn advance(&self, by: impl Into<jiff::ZonedArithmetic>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = now
            .to_zoned(TimeZone::UTC)
            .checked_add(by)
            .expect("within jiff's years");
        *now = moved.timestamp();
    }

    /// Sets the clock.
    pub fn set(&self, instant: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = instant;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn it_moves_by_hand_only_and_clones_agree() {
        let start: Timestamp = "2026-02-27T23:00:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        let service: Arc<dyn Clock> = Arc::new(clock.clone());
        assert_eq!(service.now(), start);
        clock.advance(std::time::Duration::from_millis(1_500));
        assert_eq!(service.now().to_string(), "2026-02-27T23:00:01.5Z");
        clock.advance(2.days());
        assert_eq!(service.now().to_string(), "2026-03-01T23:00:01.5Z");
        clock.advance(-1.hour());
        assert_eq!(service.now().to_string(), "2026-03-01T22:00:01.5Z");
        clock.set(start);
        assert_eq!(clock.now_ms(), start.as_millisecond());
    }
}
