//! What a dispatcher is tested on: stores that tell what is recorded, queues, and the inbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use otp_dispatch::adapters::queue_rabbitmq::RabbitMqQueue;
use otp_dispatch::adapters::queue_sqlite::SqliteQueue;
use otp_dispatch::adapters::route_inbox::{InboxRoute, SmsInbox};
use otp_dispatch::adapters::store_memory::MemoryStore;
use otp_dispatch::adapters::store_redis::RedisStore;
use otp_dispatch::config::StoreConfig;
use otp_dispatch::dispatcher::{Dispatcher, Routes};
use otp_dispatch::domain::message::{Class, QueueMessage};
use otp_dispatch::ports::{Accepted, Claim, MessageStore, Queue, ReceiptState, Settle, StoreError};
use sallyport_chassis::keyring::{Keyring, random_id};
use sallyport_chassis::{Clock, SecretUrl, SystemClock};
use sallyport_phone::PhoneNumber;
use sallyport_testkit::ManualClock;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ends a wait that will never end; nothing is expected to come near it.
pub const NEVER: Duration = Duration::from_secs(90);
pub const LEASE: Duration = Duration::from_secs(30);
pub const NUMBER: &str = "+33612345678";

pub fn number() -> PhoneNumber {
    PhoneNumber::parse_e164(NUMBER).unwrap()
}

/// Picks what is being recorded.
pub type At = fn(&Settle) -> bool;

/// A store that tells what is recorded in it, can be away, and can fail over.
pub struct Watched {
    pub inner: Arc<dyn MessageStore>,
    pub away: AtomicBool,
    /// Where a replica takes over that has not heard of the claim.
    pub failover: std::sync::Mutex<Option<At>>,
    pub events: mpsc::UnboundedSender<Event>,
}

#[derive(Debug)]
pub enum Event {
    Settled(String, Settle),
    Receipt(String),
    Refused,
    Lost,
}

impl Watched {
    pub fn there(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            self.events.send(Event::Refused).unwrap();
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl MessageStore for Watched {
    async fn accept_notice(
        &self,
        key: &str,
        body_hash: &str,
        message: &QueueMessage,
        now: i64,
    ) -> Result<Accepted, StoreError> {
        self.inner.accept_notice(key, body_hash, message, now).await
    }

    async fn queued(&self, message_id: &str) -> Result<(), StoreError> {
        self.inner.queued(message_id).await
    }

    async fn unconfirmed(
        &self,
        now: i64,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<QueueMessage>, StoreError> {
        self.inner.unconfirmed(now, older_than, limit).await
    }

    async fn claim(
        &self,
        message: &QueueMessage,
        lease: Duration,
        now: i64,
    ) -> Result<Claim, StoreError> {
        self.there()?;
        self.inner.claim(message, lease, now).await
    }

    async fn settle(
        &self,
        message_id: &str,
        fence: u64,
        settle: Settle,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.there()?;
        let failover = self.failover.lock().unwrap().take_if(|at| at(&settle));
        if failover.is_some() {
            let forgotten = self
                .inner
                .settle(message_id, fence, Settle::Released, now)
                .await?;
            assert!(forgotten);
        }
        let recorded = self
            .inner
            .settle(message_id, fence, settle.clone(), now)
            .await?;
        if recorded {
            // Nobody may listen any more.
            let _ = self
                .events
                .send(Event::Settled(message_id.to_owned(), settle));
        } else {
            let _ = self.events.send(Event::Lost);
        }
        Ok(recorded)
    }

    async fn receipt(
        &self,
        route: &str,
        carrier_id: &str,
        state: ReceiptState,
        now: i64,
    ) -> Result<(), StoreError> {
        self.inner.receipt(route, carrier_id, state, now).await?;
        let _ = self.events.send(Event::Receipt(carrier_id.to_owned()));
        Ok(())
    }
}

/// What a dispatcher stands on.
pub struct Rig {
    pub folder: tempfile::TempDir,
    pub store: Arc<dyn MessageStore>,
    pub watched: Arc<Watched>,
    pub events: Mutex<mpsc::UnboundedReceiver<Event>>,
    pub queue: Arc<dyn Queue>,
    pub clock: Arc<dyn Clock>,
    pub inbox: SmsInbox,
}

impl Rig {
    /// Memory and SQLite, on a clock moved by hand.
    pub async fn embedded() -> (Self, ManualClock) {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(sallyport_chassis::clock::from_ms(1_764_000_000_000));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let url = SecretUrl::new(format!("sqlite://{}", folder.path().display()));
        let queue = SqliteQueue::open(&url, Arc::clone(&shared)).await.unwrap();
        let store = Arc::new(MemoryStore::new());
        (Self::new(folder, store, Arc::new(queue), shared), clock)
    }

    pub fn new(
        folder: tempfile::TempDir,
        store: Arc<dyn MessageStore>,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let watched = Arc::new(Watched {
            inner: store,
            away: AtomicBool::new(false),
            failover: std::sync::Mutex::new(None),
            events,
        });
        let (store, inbox) = (watched.clone(), SmsInbox::new());
        Self {
            folder,
            store,
            watched,
            events: Mutex::new(receiver),
            queue,
            clock,
            inbox,
        }
    }

    /// Redis and RabbitMQ.
    pub async fn real(redis: &str, amqp: &str) -> Self {
        let timeout = Duration::from_secs(10);
        let place = StoreConfig::at(SecretUrl::new(redis));
        let store = RedisStore::open(&place, timeout).await.unwrap();
        let queue = RabbitMqQueue::new(&SecretUrl::new(amqp), Duration::from_secs(30)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self::new(
            folder,
            Arc::new(store),
            Arc::new(queue),
            Arc::new(SystemClock),
        )
    }

    pub fn seal(&self) -> Keyring {
        Keyring::load_or_create(&self.folder.path().join("seal.keys")).unwrap()
    }

    /// A notice: the class that needs no challenge. `code` makes it one in the queue.
    pub fn message(&self, class: Class, text: &str) -> QueueMessage {
        let (id, now, seal) = (random_id(), self.clock.now_ms(), self.seal());
        QueueMessage {
            number: seal.seal(id.as_bytes(), NUMBER.as_bytes()),
            text: seal.seal(id.as_bytes(), text.as_bytes()),
            message_id: id,
            challenge_id: None,
            class,
            accepted_at: now,
            deadline_at: now + 600_000,
            retries: 0,
            trace: Default::default(),
        }
    }

    /// Stores its state and publishes it, as otp-api does.
    pub async fn accept(&self, message: &QueueMessage) {
        self.store_only(message).await;
        self.queue.publish(message).await.unwrap();
        self.store.queued(&message.message_id).await.unwrap();
    }

    pub async fn store_only(&self, message: &QueueMessage) {
        let key = &message.message_id;
        let accepted = self
            .store
            .accept_notice(key, "body", message, self.clock.now_ms())
            .await;
        assert_eq!(accepted.unwrap(), Accepted::New);
    }

    /// The inbox alone.
    pub fn to_inbox(&self) -> Routes {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let route = InboxRoute::new("inbox", self.inbox.clone(), store, clock);
        Routes::of(vec![Arc::new(route)], 16, Duration::ZERO)
    }

    pub fn dispatch(&self, routes: &Routes) -> Running {
        let (queue, store) = (Arc::clone(&self.queue), Arc::clone(&self.store));
        let clock = Arc::clone(&self.clock);
        let dispatcher = Dispatcher::new(queue, store, routes, self.seal(), clock);
        let stop = CancellationToken::new();
        let run = Arc::new(dispatcher).run(stop.clone(), Duration::from_secs(10));
        let task = tokio::spawn(async move { run.await.unwrap() });
        Running { stop, task }
    }

    /// What a claim says: how the tests read a state, since it changes no settled one.
    pub async fn state(&self, message: &QueueMessage) -> Claim {
        self.store
            .claim(message, LEASE, self.clock.now_ms())
            .await
            .unwrap()
    }

    /// Waits for an event.
    pub async fn until<T>(&self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let mut events = self.events.lock().await;
        let waiting = async {
            loop {
                if let Some(found) = wanted(events.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(NEVER, waiting)
            .await
            .expect("it never happens")
    }

    /// What was recorded of the message in the end.
    pub async fn outcome(&self, message: &QueueMessage) -> Settle {
        self.until(|event| match event {
            Event::Settled(_, Settle::Writing { .. } | Settle::Released) => None,
            Event::Settled(id, settle) => (id == message.message_id).then_some(settle),
            _ => None,
        })
        .await
    }

    pub async fn released(&self, message: &QueueMessage) {
        self.until(|event| match event {
            Event::Settled(id, Settle::Released) => (id == message.message_id).then_some(()),
            _ => None,
        })
        .await
    }

    pub async fn receipt(&self, wanted: &str) {
        self.until(|event| match event {
            Event::Receipt(id) => (id == wanted).then_some(()),
            _ => None,
        })
        .await
    }

    pub async fn refusal(&self) {
        self.until(|event| matches!(event, Event::Refused).then_some(()))
            .await
    }

    /// Something could not be recorded under its claim.
    pub async fn lost_a_claim(&self) {
        self.until(|event| matches!(event, Event::Lost).then_some(()))
            .await
    }

    /// A message behind all others has arrived: so have those before it, or they never will.
    pub async fn arrives(&self, text: &str, count: usize) {
        let arriving = async {
            let mut seen = 0;
            loop {
                let found = self.inbox.wait(None, seen, NEVER).await;
                seen = found.last().expect("nothing arrives").sequence;
                let all = self.inbox.list(None, 0);
                if all.iter().filter(|message| message.text == text).count() >= count {
                    return;
                }
            }
        };
        tokio::time::timeout(NEVER, arriving)
            .await
            .expect("it never arrives");
    }
}

/// A dispatcher at work.
pub struct Running {
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Running {
    /// Stops politely: whatever was taken has been settled.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(NEVER, self.task)
            .await
            .expect("it does not stop")
            .unwrap();
    }

    /// Dies in the middle of everything.
    pub async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
