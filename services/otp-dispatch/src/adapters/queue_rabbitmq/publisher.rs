//! Publishing with confirms: each message has a time-out of its own and none waits for another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;

use super::broker::Broker;
use super::{BrokerError, topology};
use crate::domain::message::Class;
use crate::ports::Wait;

/// Kept on disk (AMQP 0-9-1, basic properties).
const PERSISTENT: u8 = 2;

/// Where a message is published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Address {
    exchange: &'static str,
    key: &'static str,
}

impl Address {
    pub(super) fn work(class: Class) -> Self {
        Self {
            exchange: "",
            key: topology::work(class),
        }
    }

    pub(super) fn wait(wait: Wait, class: Class) -> Self {
        Self {
            exchange: topology::wait(wait),
            key: topology::work(class),
        }
    }

    pub(super) fn dead() -> Self {
        Self {
            exchange: "",
            key: topology::DEAD,
        }
    }
}

/// One connection with one channel for each address.
///
/// A channel for each address, because the client matches a returned message to a confirm by order
/// alone: with one queue behind a channel a return can only be laid at the door of a message that
/// was returned as well.
pub(super) struct Publisher {
    broker: Arc<Broker>,
    confirm_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    channels: HashMap<Address, Arc<Channel>>,
}

impl State {
    fn forget(&mut self, address: Address, channel: &Arc<Channel>) {
        if self
            .channels
            .get(&address)
            .is_some_and(|held| Arc::ptr_eq(held, channel))
        {
            self.channels.remove(&address);
        }
    }
}

impl Publisher {
    pub(super) fn new(broker: Arc<Broker>, confirm_timeout: Duration) -> Self {
        Self {
            broker,
            confirm_timeout,
            state: Mutex::default(),
        }
    }

    /// Publishes durably; `Ok` only once the broker has confirmed. An error leaves open whether the
    /// broker has the message.
    ///
    /// Runs in a task of its own: a caller that gives up leaves no confirm behind that nobody
    /// collects.
    pub(super) async fn publish(
        self: &Arc<Self>,
        address: Address,
        message_id: &str,
        body: Vec<u8>,
        reason: Option<&str>,
    ) -> Result<(), BrokerError> {
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(message_id.into());
        if let Some(reason) = reason {
            let mut headers = FieldTable::default();
            headers.insert(
                "reason".into(),
                AMQPValue::LongString(LongString::from(reason)),
            );
            properties = properties.with_headers(headers);
        }
        let publisher = Arc::clone(self);
        tokio::spawn(async move { publisher.publish_bounded(address, &body, properties).await })
            .await?
    }

    async fn publish_bounded(
        &self,
        address: Address,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let mut used = None;
        let attempt = async {
            let channel = self.channel(address).await?;
            used = Some(Arc::clone(&channel));
            send(&channel, address, body, properties).await
        };
        let outcome = tokio::time::timeout(self.confirm_timeout, attempt)
            .await
            .unwrap_or(Err(BrokerError::TimedOut));
        if let (Err(error), Some(channel)) = (&outcome, &used) {
            let mut state = self.state.lock().await;
            // Others may still be waiting for confirms on it: it closes with the last of them.
            state.forget(address, channel);
            if matches!(error, BrokerError::Unroutable) {
                // A queue is missing: the next publish connects and declares it anew.
                *state = State::default();
            }
        }
        outcome
    }

    /// The channel of an address; connects, declares and opens what is missing. The lock is held
    /// while connecting, so that a crowd of publishers makes one connection.
    async fn channel(&self, address: Address) -> Result<Arc<Channel>, BrokerError> {
        let mut state = self.state.lock().await;
        if let Some(channel) = state.channels.get(&address)
            && channel.status().connected()
        {
            return Ok(Arc::clone(channel));
        }
        let connection = self.connection(&mut state).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let channel = Arc::new(channel);
        state.channels.insert(address, Arc::clone(&channel));
        Ok(channel)
    }

    async fn connection<'a>(&self, state: &'a mut State) -> Result<&'a Connection, BrokerError> {
        let alive = state
            .connection
            .take_if(|connection| connection.status().connected());
        let connection = match alive {
            Some(connection) => connection,
            None => {
                *state = State::default();
                let connection = self.broker.connect("publisher").await?;
                let channel = connection.create_channel().await?;
                topology::declare(&channel).await?;
                connection
            }
        };
        Ok(state.connection.insert(connection))
    }

    /// Messages ready in a queue; those that a consumer holds do not count.
    pub(super) async fn depth(&self, queue: &'static str) -> Result<u64, BrokerError> {
        let asking = async {
            // A channel of its own: the broker closes it if the queue is missing.
            let channel = {
                let mut state = self.state.lock().await;
                self.connection(&mut state).await?.create_channel().await?
            };
            let passive = QueueDeclareOptions::durable().passive();
            let queue = channel
                .queue_declare(queue.into(), passive, FieldTable::default())
                .await?;
            Ok(u64::from(queue.message_count()))
        };
        tokio::time::timeout(self.confirm_timeout, asking)
            .await
            .unwrap_or(Err(BrokerError::TimedOut))
    }
}

async fn send(
    channel: &Channel,
    address: Address,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), BrokerError> {
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let (exchange, key) = (address.exchange.into(), address.key.into());
    let confirm = channel
        .basic_publish(exchange, key, mandatory, body, properties)
        .await?;
    match confirm.await? {
        Confirmation::Ack(None) => Ok(()),
        // Confirmed, and lost, were it not returned to us.
        Confirmation::Ack(Some(_)) => Err(BrokerError::Unroutable),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(BrokerError::Refused),
    }
}
