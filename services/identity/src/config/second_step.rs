//! The `[identity.second_step]` section.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::seconds;
use crate::domain::second_step::{DISABLED_AT, LONGEST_LOCK, LockRules};

/// Limits on wrong codes, and what is remembered for how long.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SecondStepSettings {
    /// Every so many wrong codes in a row lock the second step.
    pub failures_per_lock: u32,
    /// How long the first lock holds; each further one twice as long, up to an hour.
    #[serde(rename = "first_lock_seconds", with = "seconds")]
    pub first_lock: Duration,
    /// Recovery codes that a user may try within an hour.
    pub recovery_tries_per_hour: u32,
    /// How long, after a change of number, switching off and new recovery codes need more than a
    /// code by SMS.
    #[serde(rename = "number_change_wait_seconds", with = "seconds")]
    pub number_change_wait: Duration,
    /// Users who may have the same number.
    pub users_per_number: u32,
    /// How long a browser is remembered.
    #[serde(rename = "remember_browser_seconds", with = "seconds")]
    pub remember_browser: Duration,
}

impl SecondStepSettings {
    /// The ladder of locks.
    pub fn lock_rules(&self) -> LockRules {
        LockRules {
            failures_per_lock: self.failures_per_lock,
            first_lock: self.first_lock,
        }
    }

    /// Refuses what must not run.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            (1..DISABLED_AT).contains(&self.failures_per_lock),
            "identity.second_step.failures_per_lock must be 1 to 99"
        );
        ensure!(
            self.first_lock >= Duration::from_secs(30) && self.first_lock <= LONGEST_LOCK,
            "identity.second_step.first_lock_seconds must be 30 to 3600"
        );
        ensure!(
            (1..=100).contains(&self.recovery_tries_per_hour),
            "identity.second_step.recovery_tries_per_hour must be 1 to 100"
        );
        ensure!(
            self.users_per_number >= 1,
            "identity.second_step.users_per_number must be at least 1"
        );
        ensure!(
            self.remember_browser <= Duration::from_secs(90 * 86_400),
            "identity.second_step.remember_browser_seconds must be at most 7776000 (90 days)"
        );
        Ok(())
    }
}
