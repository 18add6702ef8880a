//! Messages on their way into the queue. The store has each before the queue does; "accepted" is
//! said only after the queue has confirmed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use sallyport_chassis::Secret;
use sallyport_chassis::keyring::random_id;
use sallyport_chassis::telemetry::context;
use sallyport_phone::PhoneNumber;

use super::Otp;
use crate::domain::message::{Class, QueueMessage};
use crate::ports::QueueError;

/// How many unconfirmed messages one look takes.
const BATCH: usize = 200;

/// The queue did not confirm in time.
#[derive(Debug, thiserror::Error)]
#[error("no confirmation within {0:?}")]
struct Unconfirmed(Duration);

/// What becomes a queue message.
pub(super) struct Content<'a> {
    pub(super) challenge_id: Option<&'a str>,
    pub(super) class: Class,
    pub(super) accepted_at: i64,
    pub(super) deadline_at: i64,
    pub(super) number: &'a PhoneNumber,
    pub(super) text: &'a Secret,
}

impl Otp {
    /// Seals number and text under a new message id.
    pub(super) fn seal(&self, content: Content<'_>) -> QueueMessage {
        let message_id = random_id();
        let seal = |plain: &str| self.keys.seal.seal(message_id.as_bytes(), plain.as_bytes());
        QueueMessage {
            challenge_id: content.challenge_id.map(str::to_owned),
            class: content.class,
            accepted_at: content.accepted_at,
            deadline_at: content.deadline_at,
            retries: 0,
            number: seal(content.number.e164()),
            text: seal(content.text.expose()),
            trace: HashMap::from_iter(context::current()),
            message_id,
        }
    }

    /// Publishes and waits for the confirmation. After an error the message stays `accepting`: the
    /// same idempotency key, or the sweep, publishes the same id again, and the dispatcher sends it
    /// once.
    pub(super) async fn publish(&self, message: &QueueMessage) -> Result<(), QueueError> {
        let limit = Duration::from_secs(u64::from(self.settings.confirm_seconds));
        let confirmed = tokio::time::timeout(limit, self.queue.publish(message))
            .await
            .unwrap_or_else(|_| Err(QueueError::Unavailable(Box::new(Unconfirmed(limit)))));
        let class = message.class.name();
        match &confirmed {
            Ok(()) => metrics::counter!("otp_messages_published_total", "class" => class),
            Err(_) => metrics::counter!("otp_messages_unconfirmed_total", "class" => class),
        }
        .increment(1);
        confirmed?;
        // The queue has it, so the request is done. Where the store does not hear of it, the sweep
        // publishes the id once more, which costs a deduplicated message.
        if let Err(error) = self.messages.queued(&message.message_id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                message_id = message.message_id,
                "confirmation not recorded"
            );
        }
        Ok(())
    }

    /// Publishes what was not confirmed, until stopped. Outages are waited out.
    pub async fn sweep(self: Arc<Self>) -> Result<()> {
        let age = Duration::from_secs(u64::from(self.settings.sweep_seconds));
        let mut ticks = tokio::time::interval(age);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            self.sweep_once().await;
        }
    }

    /// One look at the unconfirmed messages; answers with how many were published.
    pub async fn sweep_once(&self) -> usize {
        let age = Duration::from_secs(u64::from(self.settings.sweep_seconds));
        let now = self.clock.now_ms();
        let messages = match self.messages.unconfirmed(now, age, BATCH).await {
            Ok(messages) => messages,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "unconfirmed messages cannot be read");
                return 0;
            }
        };
        let published = join_all(messages.iter().map(|message| self.publish(message))).await;
        let confirmed = published.iter().filter(|outcome| outcome.is_ok()).count();
        if !messages.is_empty() {
            tracing::info!(
                found = messages.len(),
                confirmed,
                "unconfirmed messages published again"
            );
        }
        confirmed
    }
}
