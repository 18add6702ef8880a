//! How wrong answers to the second step are counted, and what they lead to.
//!
//! The count belongs to the user, not to a challenge or a session: neither a resend nor a new
//! challenge, nor a restart, refills it. Only a right answer clears it (NIST SP 800-63B-4, 3.2.2).

use std::time::Duration;

/// Wrong answers in a row that end the factor: NIST's ceiling, so not a setting.
pub const DISABLED_AT: u32 = 100;
/// No lock is longer (NIST SP 800-63B-4, 3.2.2: delays rise to an hour).
pub const LONGEST_LOCK: Duration = Duration::from_secs(3600);

/// The ladder of locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRules {
    /// Every so many wrong answers in a row lock the second step.
    pub failures_per_lock: u32,
    /// How long the first lock holds; each further one twice as long, up to an hour.
    pub first_lock: Duration,
}

/// What a wrong answer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing yet.
    Counted,
    /// No attempt is taken for this long.
    Locked(Duration),
    /// The factor is gone; it must be enrolled again.
    Disabled,
}

impl LockRules {
    /// What the n-th wrong answer in a row leads to.
    pub fn consequence(&self, failures: u32) -> Consequence {
        if failures >= DISABLED_AT {
            return Consequence::Disabled;
        }
        if failures == 0 || !failures.is_multiple_of(self.failures_per_lock) {
            return Consequence::Counted;
        }
        let level = (failures / self.failures_per_lock).min(32);
        let doubled = self
            .first_lock
            .saturating_mul(2u32.saturating_pow(level - 1));
        Consequence::Locked(doubled.min(LONGEST_LOCK))
    }

    /// Every count below the ceiling that sets a lock, and for how long: what the one statement
    /// that counts an attempt has to know.
    pub fn locks(&self) -> impl Iterator<Item = (u32, Duration)> + '_ {
        (1..DISABLED_AT).filter_map(|failures| match self.consequence(failures) {
            Consequence::Locked(length) => Some((failures, length)),
            Consequence::Counted | Consequence::Disabled => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LockRules = LockRules {
        failures_per_lock: 15,
        first_lock: Duration::from_secs(15 * 60),
    };

    #[test]
    fn fifteen_in_a_row_lock_for_a_quarter_of_an_hour_rising_to_an_hour() {
        let minutes: Vec<_> = RULES
            .locks()
            .map(|(failures, length)| (failures, length.as_secs() / 60))
            .collect();
        assert_eq!(
            minutes,
            [(15, 15), (30, 30), (45, 60), (60, 60), (75, 60), (90, 60)]
        );
    }

    #[test]
    fn the_hundredth_ends_the_factor_whatever_the_settings() {
        for failures_per_lock in [1, 7, 15, 100, 1000] {
            let rules = LockRules {
                failures_per_lock,
                ..RULES
            };
            assert_ne!(rules.consequence(99), Consequence::Disabled);
            assert_eq!(rules.consequence(100), Consequence::Disabled);
            assert_eq!(rules.consequence(u32::MAX), Consequence::Disabled);
            assert!(
                rules
                    .locks()
                    .all(|(n, length)| n < 100 && length <= LONGEST_LOCK)
            );
        }
    }

    #[test]
    fn between_the_steps_an_answer_is_only_counted() {
        assert_eq!(RULES.consequence(0), Consequence::Counted);
        assert_eq!(RULES.consequence(14), Consequence::Counted);
        assert_eq!(RULES.consequence(16), Consequence::Counted);
    }
}
