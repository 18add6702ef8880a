//! The guard's part of the store: its ledger, and its history.

use async_trait::async_trait;

use super::{Inner, MemoryStore};
use crate::domain::guard::{DayTotal, Decision, Outcome, Watch};
use crate::domain::message::QueueMessage;
use crate::ports::{GuardStore, StoreError};

/// What the guard said, where it looked, and what to take off when the code is verified.
type Watched = (Option<Decision>, Vec<(String, String)>);

impl Inner {
    /// Decides a send and counts it, or answers with the refusal.
    pub(super) fn watch(
        &mut self,
        watch: Option<&Watch>,
        message: &QueueMessage,
        now: i64,
    ) -> Result<Watched, Decision> {
        let Some(watch) = watch else {
            return Ok((None, Vec::new()));
        };
        let decision = self.guard.decide(watch, now);
        if decision.outcome == Outcome::Blocked {
            return Err(decision);
        }
        let refunds = if decision.counts() {
            self.guard.count(watch, &message.message_id, now)
        } else {
            Vec::new()
        };
        Ok((Some(decision), refunds))
    }
}

#[async_trait]
impl GuardStore for MemoryStore {
    async fn is_seeded(&self) -> Result<bool, StoreError> {
        Ok(self.lock().seeded)
    }

    async fn seed(&self, totals: &[DayTotal], complete: bool, _now: i64) -> Result<(), StoreError> {
        let mut inner = self.lock();
        for total in totals {
            inner.guard.seed(&total.place, total.day, total.verified);
        }
        inner.seeded |= complete;
        Ok(())
    }
}
