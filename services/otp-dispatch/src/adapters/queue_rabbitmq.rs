//! The queue on RabbitMQ: quorum queues, publisher confirms, and waits by dead-lettering.
//!
//! Connections are made anew by this code and not by the client's own recovery: a message whose
//! confirm was lost with its connection must fail towards its caller, who publishes the same id
//! again, and an acknowledgement of the old connection must never reach the new one.

mod broker;
mod consumer;
mod publisher;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sallyport_chassis::SecretUrl;

use self::broker::Broker;
use self::consumer::RabbitConsumer;
use self::publisher::{Address, Publisher};
use crate::domain::message::{Class, QueueMessage};
use crate::ports::{Consumer, Queue, QueueError};

/// A fault between us and the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the broker or the connection to it failed")]
    Client(#[from] lapin::Error),
    #[error("the broker did not answer in time")]
    TimedOut,
    #[error("no queue takes the message")]
    Unroutable,
    #[error("the broker refused the message")]
    Refused,
    #[error("the delivery's channel is gone: the broker delivers it again")]
    Stale,
    #[error("the message cannot be written as JSON")]
    Body(#[from] serde_json::Error),
    #[error("the publishing task was stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

impl From<BrokerError> for QueueError {
    fn from(error: BrokerError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// The queue on a RabbitMQ cluster. One connection publishes and each consumer has its own, so that
/// a broker that holds up publishers does not hold up acknowledgements.
pub struct RabbitMqQueue {
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
}

impl RabbitMqQueue {
    /// Reads `amqp[s]://user:password@host[:port][,host[:port]…]/vhost`. Nothing is connected yet:
    /// a service starts while its broker is away. `confirm_timeout` bounds one publish, connecting
    /// included.
    ///
    /// # Errors
    /// A URL that cannot be read; the sentence does not repeat it.
    pub fn new(url: &SecretUrl, confirm_timeout: Duration) -> anyhow::Result<Self> {
        let broker = Arc::new(Broker::parse(url)?);
        let publisher = Arc::new(Publisher::new(Arc::clone(&broker), confirm_timeout));
        Ok(Self { broker, publisher })
    }
}

#[async_trait]
impl Queue for RabbitMqQueue {
    async fn publish(&self, message: &QueueMessage) -> Result<(), QueueError> {
        let body = serde_json::to_vec(message).map_err(BrokerError::from)?;
        let address = Address::work(message.class);
        self.publisher
            .publish(address, &message.message_id, body, None)
            .await?;
        Ok(())
    }

    /// The broker sees a holder die, and needs no `hold`.
    async fn consume(
        &self,
        prefetch: u16,
        _hold: Duration,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        let (broker, publisher) = (Arc::clone(&self.broker), Arc::clone(&self.publisher));
        Ok(Box::new(RabbitConsumer::new(broker, publisher, prefetch)))
    }

    async fn depth(&self, class: Class) -> Result<u64, QueueError> {
        Ok(self.publisher.depth(topology::work(class)).await?)
    }
}
