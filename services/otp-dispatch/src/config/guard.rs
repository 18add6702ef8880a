//! The `[otp.guard]` section.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::domain::guard::{Budget, Budgets};

/// Budgets of the pumping guard, and what becomes of codes over them.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Whether they are refused; else they are sent, and recorded.
    pub blocks: bool,
    /// Of any hour.
    pub hour: Budget,
    /// Of any day.
    pub day: Budget,
    /// How long decisions are kept.
    pub keep_days: u32,
}

impl GuardSettings {
    /// The budgets of every country and number block.
    pub fn budgets(&self) -> Budgets {
        Budgets {
            hour: self.hour,
            day: self.day,
        }
    }

    /// Refuses figures that cannot work: by a budget of nothing, no country could ever begin.
    pub(super) fn check(&self) -> Result<()> {
        for (key, budget) in [("hour", self.hour), ("day", self.day)] {
            ensure!(
                (1..=100_000).contains(&budget.least) && budget.percent <= 1_000,
                "otp.guard.{key}: least must be 1 to 100000, and percent at most 1000"
            );
        }
        ensure!(
            (1..=366).contains(&self.keep_days),
            "otp.guard.keep_days must be 1 to 366"
        );
        Ok(())
    }
}
