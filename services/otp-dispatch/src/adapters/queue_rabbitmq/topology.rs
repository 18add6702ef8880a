//! Queues and exchanges.
//!
//! | queue | what waits there | leaves it |
//! |---|---|---|
//! | `sms.code`, `sms.notice` | messages to send | by acknowledgement; to `sms.dead` after too many deliveries |
//! | `sms.wait.1s`, `.3s`, `.10s` | copies to be tried again | after that time, back to the work queue named by the routing key |
//! | `sms.dead` | what can never work, with its reason | by an operator |
//!
//! A wait has a fixed time for the whole queue: the broker looks at a queue's head only, so a short
//! time of one's own behind a long one would wait for the long one.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use crate::domain::message::Class;
use crate::ports::Wait;

/// Where an operator finds what can never work.
pub(super) const DEAD: &str = "sms.dead";

/// Deliveries after which a message is taken for poison. High, because a crash loop counts
/// against the neighbours of the message that causes it.
const DELIVERY_LIMIT: i64 = 50;

/// The work queue of a class.
pub(super) fn work(class: Class) -> &'static str {
    match class {
        Class::Code => "sms.code",
        Class::Notice => "sms.notice",
    }
}

/// The name of both the wait queue and the fan-out exchange in front of it. The exchange lets a
/// copy keep its work queue's name as routing key, by which it is dead-lettered home.
pub(super) fn wait(wait: Wait) -> &'static str {
    match wait {
        Wait::Second => "sms.wait.1s",
        Wait::Three => "sms.wait.3s",
        Wait::Ten => "sms.wait.10s",
    }
}

fn milliseconds(wait: Wait) -> i64 {
    match wait {
        Wait::Second => 1_000,
        Wait::Three => 3_000,
        Wait::Ten => 10_000,
    }
}

/// Declares everything; what is there already is left as it is. The broker closes the channel if
/// a queue is there with other arguments.
pub(super) async fn declare(channel: &Channel) -> Result<(), lapin::Error> {
    queue(channel, DEAD, quorum()).await?;
    for class in Class::ALL {
        let mut arguments = dead_lettering(quorum());
        arguments.insert("x-dead-letter-routing-key".into(), text(DEAD));
        arguments.insert(
            "x-delivery-limit".into(),
            AMQPValue::LongLongInt(DELIVERY_LIMIT),
        );
        queue(channel, work(class), arguments).await?;
    }
    for each in [Wait::Second, Wait::Three, Wait::Ten] {
        let name = wait(each);
        let mut arguments = dead_lettering(quorum());
        arguments.insert(
            "x-message-ttl".into(),
            AMQPValue::LongLongInt(milliseconds(each)),
        );
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .exchange_declare(
                name.into(),
                ExchangeKind::Fanout,
                durable,
                FieldTable::default(),
            )
            .await?;
        queue(channel, name, arguments).await?;
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(name.into(), name.into(), "".into(), options, none)
            .await?;
    }
    Ok(())
}

async fn queue(
    channel: &Channel,
    name: &'static str,
    arguments: FieldTable,
) -> Result<(), lapin::Error> {
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
        .await
        .map(drop)
}

/// A quorum queue that refuses, towards the publisher, what it cannot keep.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// Dead letters go through the default exchange and leave only once the other queue has them.
fn dead_lettering(mut arguments: FieldTable) -> FieldTable {
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
