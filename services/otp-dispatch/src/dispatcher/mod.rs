//! The dispatcher: takes messages from the queue, hands each to a carrier once, and records what
//! became of it before the queue may forget it.
//!
//! What must hold at every line: a route is recorded *before* the message is written to it, and an
//! outcome before the delivery is acknowledged. A death in between leaves the record, and whoever
//! takes the message next knows that it is in doubt.

mod ages;
mod deliver;
mod routes;
mod send;

use std::sync::Arc;
use std::time::Duration;

use sallyport_chassis::Clock;
use sallyport_chassis::keyring::Keyring;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::ages::Ages;
pub use self::routes::Routes;
use crate::ports::{MessageStore, Queue, QueueError, SmsRoute};

/// What is added to the longest send for the store's and the queue's part.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// What is added to that for a delivery that waits its turn, or out a moment's outage.
const HOLD_MARGIN: Duration = Duration::from_secs(20);

/// A dispatcher. Any number of them may share a queue and a store.
pub struct Dispatcher {
    queue: Arc<dyn Queue>,
    store: Arc<dyn MessageStore>,
    routes: Vec<Arc<dyn SmsRoute>>,
    /// Opens what otp-api sealed.
    seal: Keyring,
    clock: Arc<dyn Clock>,
    prefetch: u16,
    /// Of the message, in the store.
    lease: Duration,
    /// Of the delivery, in the queue.
    hold: Duration,
    ages: Arc<Ages>,
    /// A redelivered message may be what killed its last holder: they go one by one, so that the
    /// next death costs no neighbour.
    redelivered: Semaphore,
}

impl Dispatcher {
    /// A dispatcher over started routes.
    pub fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn MessageStore>,
        routes: &Routes,
        seal: Keyring,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let lease = routes.longest_send() + LEASE_MARGIN;
        Self {
            queue,
            store,
            routes: routes.by_priority(),
            seal,
            ages: Arc::new(Ages::new(Arc::clone(&clock))),
            clock,
            prefetch: prefetch(routes.window()),
            lease,
            hold: lease + HOLD_MARGIN,
            redelivered: Semaphore::new(1),
        }
    }

    /// Dispatches until `stop`; then takes no more, waits at most `grace` for those in flight, and
    /// gives back the rest. The routes stay usable: whoever made them ends them afterwards.
    ///
    /// # Errors
    /// The queue cannot be consumed at all. Outages are no errors.
    pub async fn run(
        self: Arc<Self>,
        stop: CancellationToken,
        grace: Duration,
    ) -> Result<(), QueueError> {
        let mut consumer = self.queue.consume(self.prefetch, self.hold).await?;
        let (tasks, abandon) = (TaskTracker::new(), CancellationToken::new());
        let gauge = tokio::spawn(Arc::clone(&self.ages).report(stop.clone()));
        let ended = loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                next = consumer.next() => next,
            };
            match next {
                Ok(delivery) => {
                    let (dispatcher, abandon) = (Arc::clone(&self), abandon.clone());
                    tasks.spawn(async move {
                        // Abandoned, a message that was being written is in doubt: its next holder
                        // finds the route in the record.
                        abandon
                            .run_until_cancelled(dispatcher.deliver(delivery))
                            .await
                    });
                }
                Err(error) => break Err(error),
            }
        };
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(in_flight = tasks.len(), "messages are left to their leases");
            abandon.cancel();
            tasks.wait().await;
        }
        gauge.abort();
        ended
    }
}

/// A quarter more than the windows hold, so that a freed slot finds a message waiting.
fn prefetch(window: usize) -> u16 {
    let most = window.saturating_add(window.div_ceil(4)).max(1);
    u16::try_from(most).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_is_a_quarter_above_the_window_and_never_nothing() {
        assert_eq!(prefetch(0), 1);
        assert_eq!(prefetch(1), 2);
        assert_eq!(prefetch(10), 13);
        assert_eq!(prefetch(usize::MAX), u16::MAX);
    }
}
