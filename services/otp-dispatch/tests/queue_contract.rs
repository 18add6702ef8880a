//! What every queue owes, over SQLite and over a real RabbitMQ; then what each owes alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use otp_dispatch::adapters::queue_rabbitmq::RabbitMqQueue;
use otp_dispatch::adapters::queue_sqlite::SqliteQueue;
use otp_dispatch::domain::message::{Class, QueueMessage};
use otp_dispatch::ports::{Consumer, Delivery, Queue, Wait};
use sallyport_chassis::SecretUrl;
use sallyport_testkit::{ManualClock, RabbitMq};

/// Ends a wait that will never end; nothing is expected to come near it.
const NEVER: Duration = Duration::from_secs(90);
/// How long a delivery is held at most.
const HOLD: Duration = Duration::from_secs(45);
const CONFIRM: Duration = Duration::from_secs(30);

type Dead = Vec<(String, String)>;

/// A queue, how time passes for it, and what is buried in it: (message id, reason).
struct Rig {
    queue: Arc<dyn Queue>,
    a_second_passes: Box<dyn Fn() + Send + Sync>,
    dead: Box<dyn Fn() -> Pin<Box<dyn Future<Output = Dead> + Send>> + Send + Sync>,
}

fn message(id: &str, class: Class) -> QueueMessage {
    QueueMessage {
        message_id: id.to_owned(),
        challenge_id: (class == Class::Code).then(|| "challenge".to_owned()),
        class,
        accepted_at: 1,
        deadline_at: i64::MAX,
        retries: 0,
        number: vec![0, 255, 7],
        text: b"sealed".to_vec(),
        trace: [("traceparent".to_owned(), "00-1-2-01".to_owned())].into(),
    }
}

async fn publish(queue: &dyn Queue, ids: &[&str], class: Class) {
    for id in ids {
        queue.publish(&message(id, class)).await.unwrap();
    }
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Box<dyn Delivery> {
    let next = tokio::time::timeout(NEVER, consumer.next()).await;
    next.expect("nothing comes").unwrap()
}

fn id(delivery: &dyn Delivery) -> &str {
    &delivery.message().message_id
}

async fn ids(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let delivery = next(consumer).await;
        ids.push(id(&*delivery).to_owned());
        delivery.acknowledge().await.unwrap();
    }
    ids
}

async fn arrives_whole_in_order_and_is_gone_once_acknowledged(rig: Rig) {
    publish(&*rig.queue, &["a", "b", "c"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let first = next(&mut consumer).await;
    assert_eq!(*first.message(), message("a", Class::Code));
    assert!(!first.redelivered());
    first.acknowledge().await.unwrap();
    assert_eq!(ids(&mut consumer, 2).await, ["b", "c"]);
    drop(consumer);
    // Whatever came again would come before it.
    publish(&*rig.queue, &["last"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 1).await, ["last"]);
}

async fn a_message_that_comes_later_wakes_the_consumer(rig: Rig) {
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let (delivery, ()) = tokio::join!(
        next(&mut consumer),
        publish(&*rig.queue, &["a"], Class::Code)
    );
    assert_eq!(id(&*delivery), "a");
    delivery.acknowledge().await.unwrap();
}

async fn what_a_lost_consumer_held_comes_again_in_order(rig: Rig) {
    let all = ["a", "b", "c", "d", "e"];
    publish(&*rig.queue, &all, Class::Code).await;
    let mut consumer = rig.queue.consume(4, HOLD).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut consumer).await);
    }
    drop(consumer);
    drop(held);
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    for (index, expected) in all.iter().enumerate() {
        let delivery = next(&mut consumer).await;
        assert_eq!(id(&*delivery), *expected);
        if index < 3 {
            assert!(delivery.redelivered(), "{expected}");
        }
        delivery.acknowledge().await.unwrap();
    }
}

async fn a_dropped_delivery_comes_again(rig: Rig) {
    publish(&*rig.queue, &["a"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!(id(&*again), "a");
    assert!(again.redelivered());
    again.acknowledge().await.unwrap();
    publish(&*rig.queue, &["b"], Class::Code).await;
    assert_eq!(ids(&mut consumer, 1).await, ["b"]);
}

async fn again_waits_and_comes_with_its_new_content(rig: Rig) {
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    for class in Class::ALL {
        publish(&*rig.queue, &["a"], class).await;
        let delivery = next(&mut consumer).await;
        let mut retry = delivery.message().clone();
        retry.retries = 1;
        delivery.again(Wait::Second, retry.clone()).await.unwrap();
        publish(&*rig.queue, &["meanwhile"], class).await;
        assert_eq!(ids(&mut consumer, 1).await, ["meanwhile"]);
        (rig.a_second_passes)();
        let delivery = next(&mut consumer).await;
        assert_eq!(*delivery.message(), retry);
        delivery.acknowledge().await.unwrap();
    }
}

async fn the_buried_stay_with_their_reason(rig: Rig) {
    publish(&*rig.queue, &["a", "b"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let delivery = next(&mut consumer).await;
    delivery.bury("seal").await.unwrap();
    drop(consumer);
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 1).await, ["b"]);
    assert_eq!((rig.dead)().await, [("a".to_owned(), "seal".to_owned())]);
}

async fn no_more_are_open_than_asked_for(rig: Rig) {
    publish(&*rig.queue, &["a", "b", "c"], Class::Code).await;
    publish(&*rig.queue, &["n"], Class::Notice).await;
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 3);
    assert_eq!(rig.queue.depth(Class::Notice).await.unwrap(), 1);
    let mut consumer = rig.queue.consume(2, HOLD).await.unwrap();
    let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 1);
    assert_eq!((id(&*first), id(&*second)), ("a", "b"));
    first.acknowledge().await.unwrap();
    let third = next(&mut consumer).await;
    second.acknowledge().await.unwrap();
    third.acknowledge().await.unwrap();
}

async fn a_flood_of_notices_leaves_room_for_codes(rig: Rig) {
    publish(&*rig.queue, &["n1", "n2", "n3", "n4"], Class::Notice).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let notices = (next(&mut consumer).await, next(&mut consumer).await);
    assert_eq!((id(&*notices.0), id(&*notices.1)), ("n1", "n2"));
    // Two of ten may be notices: the third waits behind a code that comes later.
    publish(&*rig.queue, &["c"], Class::Code).await;
    assert_eq!(ids(&mut consumer, 1).await, ["c"]);
    notices.0.acknowledge().await.unwrap();
    assert_eq!(ids(&mut consumer, 1).await, ["n3"]);
    notices.1.acknowledge().await.unwrap();
    assert_eq!(ids(&mut consumer, 1).await, ["n4"]);
}

async fn many_publish_at_once_and_each_is_there(rig: Rig) {
    let many: Vec<_> = (0..200)
        .map(|n| message(&format!("m{n}"), Class::Code))
        .collect();
    let publishing = many.iter().map(|message| rig.queue.publish(message));
    for published in futures::future::join_all(publishing).await {
        published.unwrap();
    }
    let mut consumer = rig.queue.consume(50, HOLD).await.unwrap();
    let mut arrived = ids(&mut consumer, many.len()).await;
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), many.len());
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let (_folder, rig, _clock) = super::on_sqlite().await;
                super::$name(rig).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test]
            async fn $name() {
                let vhost = sallyport_testkit::rabbitmq().await.unwrap();
                super::$name(super::on_rabbitmq(&vhost.url)).await;
            })*
        }
    };
}

contract!(
    arrives_whole_in_order_and_is_gone_once_acknowledged,
    a_message_that_comes_later_wakes_the_consumer,
    what_a_lost_consumer_held_comes_again_in_order,
    a_dropped_delivery_comes_again,
    again_waits_and_comes_with_its_new_content,
    the_buried_stay_with_their_reason,
    no_more_are_open_than_asked_for,
    a_flood_of_notices_leaves_room_for_codes,
    many_publish_at_once_and_each_is_there,
);

// ---- SQLite alone ----------------------------------------------------------------------------

async fn on_sqlite() -> (tempfile::TempDir, Rig, ManualClock) {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(sallyport_chassis::clock::from_ms(1_764_000_000_000));
    let queue = open(&folder, &clock).await;
    let file = folder.path().join("queue.db");
    let time = clock.clone();
    let rig = Rig {
        queue: Arc::new(queue),
        a_second_passes: Box::new(move || time.advance(Duration::from_secs(1))),
        dead: Box::new(move || Box::pin(dead_rows(file.clone()))),
    };
    (folder, rig, clock)
}

async fn open(folder: &tempfile::TempDir, clock: &ManualClock) -> SqliteQueue {
    let url = SecretUrl::new(format!("sqlite://{}", folder.path().display()));
    SqliteQueue::open(&url, Arc::new(clock.clone()))
        .await
        .unwrap()
}

async fn dead_rows(file: std::path::PathBuf) -> Dead {
    use sea_orm::{ConnectionTrait, DbBackend, Statement};
    let database = sea_orm::Database::connect(format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let query = Statement::from_string(
        DbBackend::Sqlite,
        "SELECT body, reason FROM dead ORDER BY id",
    );
    let rows = database.query_all_raw(query).await.unwrap();
    let row = |row: sea_orm::QueryResult| {
        let body: String = row.try_get("", "body").unwrap();
        let message: QueueMessage = serde_json::from_str(&body).unwrap();
        (message.message_id, row.try_get("", "reason").unwrap())
    };
    rows.into_iter().map(row).collect()
}

#[tokio::test]
async fn sqlite_serves_codes_before_older_notices() {
    let (_folder, rig, _clock) = on_sqlite().await;
    publish(&*rig.queue, &["n1", "n2"], Class::Notice).await;
    publish(&*rig.queue, &["c1", "c2"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 4).await, ["c1", "c2", "n1", "n2"]);
}

#[tokio::test]
async fn sqlite_gives_a_dead_holders_message_to_another_after_its_lease() {
    let (_folder, rig, clock) = on_sqlite().await;
    publish(&*rig.queue, &["a"], Class::Code).await;
    let mut dead = rig.queue.consume(1, HOLD).await.unwrap();
    let late = next(&mut dead).await;
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 0);
    clock.advance(HOLD);
    let mut alive = rig.queue.consume(1, HOLD).await.unwrap();
    let again = next(&mut alive).await;
    assert!(again.redelivered());
    late.acknowledge()
        .await
        .expect_err("the lease is another's");
    again.acknowledge().await.unwrap();
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 0);
}

#[tokio::test]
async fn sqlite_keeps_everything_over_a_restart() {
    let (folder, rig, clock) = on_sqlite().await;
    publish(&*rig.queue, &["a", "b"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let held = next(&mut consumer).await;
    let queue = open(&folder, &clock).await;
    drop((consumer, rig));
    // Killed: nobody gave anything back.
    std::mem::forget(held);
    clock.advance(HOLD);
    let mut consumer = queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 2).await, ["a", "b"]);
}

#[tokio::test]
async fn sqlite_buries_a_message_that_kills_every_holder() {
    let (_folder, rig, _clock) = on_sqlite().await;
    publish(&*rig.queue, &["poison", "good"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    let mut first = next(&mut consumer).await;
    let mut deliveries = 1;
    while id(&*first) == "poison" {
        drop(first);
        first = next(&mut consumer).await;
        deliveries += 1;
    }
    assert_eq!(deliveries, 51);
    first.acknowledge().await.unwrap();
    assert_eq!(
        (rig.dead)().await,
        [("poison".to_owned(), "delivery_limit".to_owned())]
    );
}

// ---- RabbitMQ alone --------------------------------------------------------------------------

fn on_rabbitmq(url: &str) -> Rig {
    let queue = RabbitMqQueue::new(&SecretUrl::new(url), CONFIRM).unwrap();
    let url = url.to_owned();
    Rig {
        queue: Arc::new(queue),
        // Real time passes by itself.
        a_second_passes: Box::new(|| ()),
        dead: Box::new(move || Box::pin(dead_letters(url.clone()))),
    }
}

async fn channel(url: &str) -> (lapin::Connection, lapin::Channel) {
    let connection = lapin::Connection::connect(url, Default::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn dead_letters(url: String) -> Dead {
    let (_connection, channel) = channel(&url).await;
    let mut dead = Dead::new();
    let options = lapin::options::BasicGetOptions { no_ack: true };
    while let Some(got) = channel.basic_get("sms.dead".into(), options).await.unwrap() {
        let headers = got.properties.headers().as_ref().unwrap();
        let Some(lapin::types::AMQPValue::LongString(reason)) = headers.inner().get("reason")
        else {
            panic!("{headers:?}");
        };
        let message: QueueMessage = serde_json::from_slice(&got.data).unwrap();
        dead.push((message.message_id, reason.to_string()));
    }
    dead
}

#[tokio::test]
async fn rabbitmq_publishes_again_after_its_queue_was_deleted() {
    let vhost = sallyport_testkit::rabbitmq().await.unwrap();
    let rig = on_rabbitmq(&vhost.url);
    publish(&*rig.queue, &["a"], Class::Code).await;
    let (_connection, channel) = channel(&vhost.url).await;
    channel
        .queue_delete("sms.code".into(), Default::default())
        .await
        .unwrap();
    let lost = rig.queue.publish(&message("b", Class::Code)).await;
    lost.expect_err("no queue took it");
    publish(&*rig.queue, &["c"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 1).await, ["c"]);
    // The broker cancels the consumer; it comes back by itself.
    channel
        .queue_delete("sms.code".into(), Default::default())
        .await
        .unwrap();
    rig.queue
        .publish(&message("d", Class::Code))
        .await
        .expect_err("no queue took it");
    publish(&*rig.queue, &["e"], Class::Code).await;
    assert_eq!(ids(&mut consumer, 1).await, ["e"]);
}

#[tokio::test]
async fn rabbitmq_buries_what_is_no_message() {
    let vhost = sallyport_testkit::rabbitmq().await.unwrap();
    let rig = on_rabbitmq(&vhost.url);
    publish(&*rig.queue, &["a"], Class::Code).await;
    let (_connection, channel) = channel(&vhost.url).await;
    // Confirmed, so that it stands before the one that follows on another connection.
    channel.confirm_select(Default::default()).await.unwrap();
    let (options, properties) = Default::default();
    let confirm = channel
        .basic_publish(
            "".into(),
            "sms.code".into(),
            options,
            b"no JSON",
            properties,
        )
        .await
        .unwrap();
    assert!(confirm.await.unwrap().is_ack());
    publish(&*rig.queue, &["b"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 2).await, ["a", "b"]);
    let get = lapin::options::BasicGetOptions { no_ack: true };
    let dead = channel
        .basic_get("sms.dead".into(), get)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(dead.data, b"no JSON");
}

#[tokio::test]
async fn rabbitmq_errors_in_bounded_time_while_it_is_away_and_works_after() {
    let mut broker = RabbitMq::start().await.unwrap();
    let rig = on_rabbitmq(&broker.url());
    publish(&*rig.queue, &["a"], Class::Code).await;
    broker.stop().await.unwrap();
    let away = tokio::time::timeout(NEVER, rig.queue.publish(&message("b", Class::Code))).await;
    away.expect("not bounded").expect_err("nobody confirmed");
    broker.start_again().await.unwrap();
    publish(&*rig.queue, &["c"], Class::Code).await;
    let mut consumer = rig.queue.consume(10, HOLD).await.unwrap();
    assert_eq!(ids(&mut consumer, 2).await, ["a", "c"]);
}

#[tokio::test]
async fn rabbitmq_consumers_come_back_by_themselves_and_nothing_confirmed_is_lost() {
    let mut broker = RabbitMq::start().await.unwrap();
    let rig = on_rabbitmq(&broker.url());
    let waiting: Vec<_> = (0..20).map(|n| format!("m{n:02}")).collect();
    let all: Vec<_> = waiting.iter().map(String::as_str).collect();
    publish(&*rig.queue, &all, Class::Code).await;
    let mut consumer = rig.queue.consume(5, HOLD).await.unwrap();
    let stale = next(&mut consumer).await;
    assert_eq!(id(&*stale), "m00");
    next(&mut consumer).await.acknowledge().await.unwrap();
    broker.kill9().await.unwrap();
    broker.start_again().await.unwrap();
    // The same consumer; the first is redelivered, since it was not acknowledged.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 19 {
        let delivery = next(&mut consumer).await;
        let id = id(&*delivery).to_owned();
        // What the old connection had handed out is refused an acknowledgement, and comes again.
        if delivery.acknowledge().await.is_ok() {
            seen.insert(id);
        }
    }
    stale.acknowledge().await.expect_err("its channel is gone");
    let expected = all
        .iter()
        .filter(|id| **id != "m01")
        .map(|id| (*id).to_owned());
    assert!(expected.eq(seen), "every message but the acknowledged one");
}
