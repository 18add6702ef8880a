//! Consuming, through any number of broker restarts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::broker::Broker;
use super::publisher::{Address, Publisher};
use super::{BrokerError, topology};
use crate::domain::message::{Class, QueueMessage};
use crate::ports::{Consumer, Delivery, QueueError, Wait};

/// Notices get at most this part of the prefetch, so that a flood of them leaves room for codes.
const NOTICE_PART: u16 = 5;
/// How long attaching may take, and how long an acknowledgement may.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause after a failure to attach; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A consumer that attaches itself again whenever the broker, the connection or a channel is lost.
pub(super) struct RabbitConsumer {
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    prefetch: u16,
    /// Deliveries handed out and not settled, over all connections.
    open: Arc<Semaphore>,
    attached: Option<Attached>,
    failures: u32,
}

/// Dropped, it gives back everything that was not settled, in its order. The fields go from the top
/// down: no consumer may still be there when its channel closes.
struct Attached {
    code: lapin::Consumer,
    notice: lapin::Consumer,
    _channels: [Channel; 2],
    _connection: Connection,
}

impl RabbitConsumer {
    pub(super) fn new(broker: Arc<Broker>, publisher: Arc<Publisher>, prefetch: u16) -> Self {
        let prefetch = prefetch.max(1);
        Self {
            broker,
            publisher,
            prefetch,
            open: Arc::new(Semaphore::new(usize::from(prefetch))),
            attached: None,
            failures: 0,
        }
    }

    /// The present attachment; waits as long as it takes.
    async fn attached(&mut self) -> &mut Attached {
        loop {
            if let Some(attached) = self.attached.take() {
                return self.attached.insert(attached);
            }
            if self.failures > 0 {
                tokio::time::sleep(pause(self.failures)).await;
            }
            self.failures = self.failures.saturating_add(1);
            let attaching = attach(&self.broker, self.prefetch);
            let attached = tokio::time::timeout(BROKER_TIMEOUT, attaching)
                .await
                .unwrap_or(Err(BrokerError::TimedOut));
            match attached {
                Ok(attached) => {
                    tracing::info!("consuming");
                    self.attached = Some(attached);
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        failures = self.failures,
                        "the broker is away"
                    );
                }
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(failures - 1))
        .min(LONGEST_PAUSE)
}

async fn attach(broker: &Broker, prefetch: u16) -> Result<Attached, BrokerError> {
    let connection = broker.connect("consumer").await?;
    topology::declare(&connection.create_channel().await?).await?;
    let (code_channel, code) = subscribe(&connection, Class::Code, prefetch).await?;
    let part = (prefetch / NOTICE_PART).max(1);
    let (notice_channel, notice) = subscribe(&connection, Class::Notice, part).await?;
    Ok(Attached {
        code,
        notice,
        _channels: [code_channel, notice_channel],
        _connection: connection,
    })
}

async fn subscribe(
    connection: &Connection,
    class: Class,
    prefetch: u16,
) -> Result<(Channel, lapin::Consumer), BrokerError> {
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(
            topology::work(class).into(),
            "".into(),
            options,
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError> {
        loop {
            let permit = Arc::clone(&self.open)
                .acquire_owned()
                .await
                .map_err(|closed| QueueError::Unavailable(Box::new(closed)))?;
            let attached = self.attached().await;
            let (class, item) = tokio::select! {
                biased;
                item = attached.code.next() => (Class::Code, item),
                item = attached.notice.next() => (Class::Notice, item),
            };
            match item {
                // Left over from a connection that is gone: it comes again on the next.
                Some(Ok(delivery)) if delivery.acker.poisoned() => {}
                Some(Ok(delivery)) => {
                    self.failures = 0;
                    if let Some(read) = self.read(class, delivery, permit).await {
                        return Ok(Box::new(read));
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        class = class.name(),
                        "the broker ended the consumer"
                    );
                    self.attached = None;
                }
                None => {
                    tracing::warn!(class = class.name(), "the broker cancelled the consumer");
                    self.attached = None;
                }
            }
        }
    }
}

impl RabbitConsumer {
    /// The delivery with its message; `None` if it holds none, and was buried.
    async fn read(
        &self,
        class: Class,
        delivery: lapin::message::Delivery,
        permit: OwnedSemaphorePermit,
    ) -> Option<RabbitDelivery> {
        let redelivered = delivery.redelivered || deliveries(&delivery) > 0;
        let acker = Open::new(delivery.acker);
        match serde_json::from_slice(&delivery.data) {
            Ok(message) => Some(RabbitDelivery {
                message,
                redelivered,
                class,
                acker,
                publisher: Arc::clone(&self.publisher),
                _permit: permit,
            }),
            Err(_) => {
                metrics::counter!("dispatch_buried_total", "reason" => "unreadable").increment(1);
                let address = Address::dead();
                let body = delivery.data;
                let buried = match self
                    .publisher
                    .publish(address, "", body, Some("unreadable"))
                    .await
                {
                    Ok(()) => acker.acknowledge().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = buried {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an unreadable message could not be buried"
                    );
                }
                None
            }
        }
    }
}

/// How often a quorum queue has delivered it before.
fn deliveries(delivery: &lapin::message::Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("x-delivery-count")) {
        Some(AMQPValue::LongLongInt(count)) => *count,
        _ => 0,
    }
}

/// The right to acknowledge once. Dropped unused it gives the delivery back.
struct Open(Option<Acker>);

impl Open {
    fn new(acker: Acker) -> Self {
        Self(Some(acker))
    }

    async fn acknowledge(mut self) -> Result<(), BrokerError> {
        let Some(acker) = self.0.take() else {
            return Err(BrokerError::Stale);
        };
        let acknowledging = acker.ack(BasicAckOptions::default());
        match tokio::time::timeout(BROKER_TIMEOUT, acknowledging).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(BrokerError::Stale),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(BrokerError::TimedOut),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(acker) = self.0.take().filter(Acker::usable) else {
            return;
        };
        // Without a runtime the connection ends as well, and gives everything back.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let requeue = BasicNackOptions {
                    requeue: true,
                    ..Default::default()
                };
                if let Err(error) = acker.nack(requeue).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a delivery went back with its channel"
                    );
                }
            });
        }
    }
}

struct RabbitDelivery {
    message: QueueMessage,
    redelivered: bool,
    class: Class,
    acker: Open,
    publisher: Arc<Publisher>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Delivery for RabbitDelivery {
    fn message(&self) -> &QueueMessage {
        &self.message
    }

    fn redelivered(&self) -> bool {
        self.redelivered
    }

    async fn acknowledge(self: Box<Self>) -> Result<(), QueueError> {
        Ok(self.acker.acknowledge().await?)
    }

    async fn again(self: Box<Self>, after: Wait, message: QueueMessage) -> Result<(), QueueError> {
        let body = serde_json::to_vec(&message).map_err(BrokerError::from)?;
        let address = Address::wait(after, self.class);
        self.publisher
            .publish(address, &message.message_id, body, None)
            .await?;
        Ok(self.acker.acknowledge().await?)
    }

    async fn bury(self: Box<Self>, reason: &str) -> Result<(), QueueError> {
        let body = serde_json::to_vec(&self.message).map_err(BrokerError::from)?;
        let id = &self.message.message_id;
        self.publisher
            .publish(Address::dead(), id, body, Some(reason))
            .await?;
        metrics::counter!("dispatch_buried_total", "reason" => reason.to_owned()).increment(1);
        Ok(self.acker.acknowledge().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause(1), Duration::from_millis(100));
        assert_eq!(pause(3), Duration::from_millis(400));
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
