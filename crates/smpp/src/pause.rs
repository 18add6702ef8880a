//! When a bind may speak again. Pure: the clock is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::answer::BindRest;

/// The rests of one bind. It outlives sessions: a carrier that throttles us still does after a
/// reconnection.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    until: Option<Instant>,
    streak: u32,
}

impl Pause {
    /// The end of the rest, if there is one now.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// An answer asks for a rest. Those that come in during one are echoes of the same moment, of
    /// messages that were in flight, and do not lengthen it. Returns the end of a rest that begins.
    pub(crate) fn rest(&mut self, rest: &BindRest, now: Instant) -> Option<Instant> {
        let length = rest.after(self.streak);
        if self.until(now).is_some() || length.is_zero() {
            return None;
        }
        self.streak = self.streak.saturating_add(1);
        self.until = Some(now + length);
        self.until
    }

    /// A message was accepted. During a rest that says nothing, for it may have been sent before.
    pub(crate) fn accepted(&mut self, now: Instant) {
        if self.until(now).is_none() {
            self.streak = 0;
        }
    }
}

/// A wait before attempt `failures + 1`: anywhere between nothing and a bound that doubles ("full
/// jitter"), so that a hundred dispatchers do not fall upon a carrier that comes back. `random` is
/// uniform over `u64`.
pub(crate) fn jittered(first: Duration, most: Duration, failures: u32, random: u64) -> Duration {
    let bound = first
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(most);
    // 53 bits fit a double exactly.
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    bound.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Class, classify, status};
    use proptest::prelude::*;

    fn throttled() -> BindRest {
        match classify(status::RTHROTTLED) {
            Class::Bind(rest) => rest,
            other => panic!("{other:?}"),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_of_refusals_is_one_rest() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert_eq!(pause.rest(&throttled(), now), Some(now + SECOND));
        for _ in 0..50 {
            assert_eq!(pause.rest(&throttled(), now), None);
        }
        assert_eq!(pause.until(now), Some(now + SECOND));
        assert_eq!(pause.until(now + SECOND), None);
    }

    #[test]
    fn rests_double_until_something_is_accepted() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let until = pause.rest(&throttled(), now).unwrap();
            assert_eq!(until - now, SECOND * expected);
            now = until;
        }
        pause.accepted(now);
        assert_eq!(pause.rest(&throttled(), now), Some(now + SECOND));
    }

    #[test]
    fn an_acceptance_during_a_rest_changes_nothing() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        pause.rest(&throttled(), now);
        pause.accepted(now);
        assert_eq!(pause.until(now), Some(now + SECOND));
        assert_eq!(
            pause.rest(&throttled(), now + SECOND),
            Some(now + SECOND * 3)
        );
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(failures: u32, random: u64) {
            let wait = jittered(SECOND, SECOND * 60, failures, random);
            prop_assert!(wait <= SECOND * 60);
            if failures == 0 {
                prop_assert!(wait <= SECOND);
            }
        }
    }

    #[test]
    fn waits_use_the_whole_range() {
        assert_eq!(jittered(SECOND, SECOND * 60, 9, 0), Duration::ZERO);
        assert!(jittered(SECOND, SECOND * 60, 9, u64::MAX) > SECOND * 59);
        assert_eq!(jittered(SECOND, SECOND * 60, 2, 1 << 63), SECOND * 2);
    }
}
