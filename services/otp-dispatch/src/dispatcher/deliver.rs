//! One delivery, from the queue to its acknowledgement.

use sallyport_phone::PhoneNumber;
use tracing::Instrument;
use zeroize::Zeroizing;

use super::Dispatcher;
use super::send::{End, Hold, Written};
use crate::domain::message::{Class, QueueMessage};
use crate::ports::{Claim, Delivery, QueueError, Settle, StoreError, Wait};

/// What was sealed.
pub(super) struct Content {
    pub(super) number: PhoneNumber,
    pub(super) text: Zeroizing<String>,
}

impl Dispatcher {
    /// Takes a delivery to its end. Whatever goes wrong between us and the queue leaves it
    /// unsettled: it comes again.
    pub(super) async fn deliver(&self, delivery: Box<dyn Delivery>) {
        let message = delivery.message().clone();
        let span = tracing::info_span!(
            "dispatch",
            message_id = message.message_id,
            class = message.class.name()
        );
        sallyport_chassis::telemetry::context::adopt_pairs(&span, &message.trace);
        let work = async {
            let _in_hand = self.ages.enter(message.accepted_at);
            let _alone = match delivery.redelivered() {
                true => self.redelivered.acquire().await.ok(),
                false => None,
            };
            if let Err(error) = self.settle_delivery(delivery, &message).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "not settled: the queue delivers it again"
                );
            }
        };
        work.instrument(span).await;
    }

    async fn settle_delivery(
        &self,
        delivery: Box<dyn Delivery>,
        message: &QueueMessage,
    ) -> Result<(), QueueError> {
        let claim = match self
            .store
            .claim(message, self.lease, self.clock.now_ms())
            .await
        {
            Ok(claim) => claim,
            Err(error) => return store_away(delivery, message, &error).await,
        };
        let (hold, doubt) = match claim {
            Claim::Settled(_) => return end(delivery, message, "settled").await,
            Claim::Expired => return end(delivery, message, "expired").await,
            Claim::Suppressed => return end(delivery, message, "suppressed").await,
            // Costs no try: it is not this message's fault.
            Claim::Held => return delivery.again(Wait::Second, message.clone()).await,
            Claim::Send { fence } => (Hold::claimed(fence), None),
            Claim::Doubt { fence, route } => (Hold::claimed(fence), Some(Written::parse(&route))),
            Claim::StateLost => {
                metrics::counter!("state_lost_total", "class" => message.class.name()).increment(1);
                let late = message.deadline_at <= self.clock.now_ms();
                if message.class == Class::Code || late {
                    // Nobody can verify a code whose challenge is gone with its state.
                    return end(delivery, message, "expired").await;
                }
                (Hold::without_state(), None)
            }
        };
        let Some(content) = self.open(message) else {
            tracing::error!("number or text cannot be opened: buried");
            delivery.bury("seal").await?;
            // Buried first: it must not be lost if we die here.
            let failed = Settle::Failed {
                reason: "unreadable".to_owned(),
            };
            if let Err(error) = self.record(&hold, message, failed).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the failure was not recorded"
                );
            }
            return Ok(());
        };
        let sent = match doubt {
            None => self.send(&hold, message, &content).await,
            Some(written) => {
                self.after_doubt(&hold, message, &content, &written, "died")
                    .await
            }
        };
        match sent {
            Ok(End::Recorded) => delivery.acknowledge().await,
            Ok(End::Later) => {
                let mut retry = message.clone();
                retry.retries = retry.retries.saturating_add(1);
                delivery.again(wait(message.retries), retry).await
            }
            // Whoever claims it next learns who has it. Costs no try.
            Ok(End::Lost) => delivery.again(Wait::Second, message.clone()).await,
            Err(error) => store_away(delivery, message, &error).await,
        }
    }

    /// Number and text; `None` if they were not sealed by us for this message.
    fn open(&self, message: &QueueMessage) -> Option<Content> {
        let id = message.message_id.as_bytes();
        let number = self.seal.open(id, &message.number)?;
        let text = self.seal.open(id, &message.text)?;
        Some(Content {
            number: PhoneNumber::parse_e164(std::str::from_utf8(&number).ok()?).ok()?,
            text: Zeroizing::new(std::str::from_utf8(&text).ok()?.to_owned()),
        })
    }
}

/// Nothing is left to do.
async fn end(
    delivery: Box<dyn Delivery>,
    message: &QueueMessage,
    how: &'static str,
) -> Result<(), QueueError> {
    let class = message.class.name();
    metrics::counter!("dispatch_ended_total", "class" => class, "how" => how).increment(1);
    tracing::debug!(how, "nothing to send");
    delivery.acknowledge().await
}

/// Without the store nothing is sent and nothing is given up. Costs no try.
async fn store_away(
    delivery: Box<dyn Delivery>,
    message: &QueueMessage,
    error: &StoreError,
) -> Result<(), QueueError> {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the store is away: tried again"
    );
    delivery.again(Wait::Three, message.clone()).await
}

/// The wait after so many tries.
fn wait(retries: u32) -> Wait {
    match retries {
        0 => Wait::Second,
        1 => Wait::Three,
        _ => Wait::Ten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_seconds() {
        assert_eq!(
            [0, 1, 2, u32::MAX].map(wait),
            [Wait::Second, Wait::Three, Wait::Ten, Wait::Ten]
        );
    }
}
