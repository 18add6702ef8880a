//! How old the oldest message in hand is: the signal to scale by (a queue's length does not tell a
//! short queue that moves from one that stands).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_chassis::Clock;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);

/// The acceptance instants of the messages in hand, each with how many share it.
pub(super) struct Ages {
    clock: Arc<dyn Clock>,
    accepted_at: Mutex<BTreeMap<i64, usize>>,
}

/// Counts as in hand until dropped.
pub(super) struct InHand<'a> {
    ages: &'a Ages,
    accepted_at: i64,
}

impl Ages {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            accepted_at: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, usize>> {
        self.accepted_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, accepted_at: i64) -> InHand<'_> {
        *self.lock().entry(accepted_at).or_default() += 1;
        InHand {
            ages: self,
            accepted_at,
        }
    }

    fn oldest_seconds(&self) -> f64 {
        let first = self.lock().keys().next().copied();
        let age = first.map_or(0, |first| self.clock.now_ms().saturating_sub(first));
        age.max(0) as f64 / 1_000.0
    }

    /// Keeps the gauge until `stop`.
    pub(super) async fn report(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            metrics::gauge!("dispatch_oldest_message_age_seconds").set(self.oldest_seconds());
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut held = self.ages.lock();
        if let Some(count) = held.get_mut(&self.accepted_at) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.accepted_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sallyport_testkit::ManualClock;

    use super::*;

    #[test]
    fn the_oldest_counts_until_the_last_that_shares_its_instant_is_gone() {
        let clock = ManualClock::new(sallyport_chassis::clock::from_ms(10_000));
        let ages = Ages::new(Arc::new(clock));
        assert_eq!(ages.oldest_seconds(), 0.0);
        let (a, b, c) = (ages.enter(7_500), ages.enter(7_500), ages.enter(9_000));
        drop(a);
        assert_eq!(ages.oldest_seconds(), 2.5);
        drop(b);
        assert_eq!(ages.oldest_seconds(), 1.0);
        drop(c);
        assert_eq!(ages.oldest_seconds(), 0.0);
        let _future = ages.enter(11_000);
        assert_eq!(ages.oldest_seconds(), 0.0);
    }
}
