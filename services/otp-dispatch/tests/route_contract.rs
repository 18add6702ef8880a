//! What every route owes, over the development inbox and over SMPP to a carrier that somebody else
//! wrote; then what SMPP owes alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use otp_dispatch::adapters::route_inbox::{InboxMessage, InboxRoute, SmsInbox};
use otp_dispatch::adapters::route_smpp::SmppRoute;
use otp_dispatch::adapters::store_memory::MemoryStore;
use otp_dispatch::config::SmppRouteConfig;
use otp_dispatch::domain::message::{Class, MessageState, QueueMessage};
use otp_dispatch::ports::{
    Accepted, Claim, MessageStore, ReceiptState, Settle, SmsRoute, StoreError, Submission,
};
use sallyport_chassis::{Clock, Secret};
use sallyport_phone::PhoneNumber;
use sallyport_smpp::BindState;
use sallyport_testkit::{ForeignSmsc, ManualClock, SmscMessage, SmscOptions};
use tokio::sync::watch;

/// Ends a wait that will never end; nothing is expected to come near it.
const NEVER: Duration = Duration::from_secs(90);
const LEASE: Duration = Duration::from_secs(30);
/// How long a message lives, in milliseconds.
const LIFE: i64 = 600_000;
const NUMBER: &str = "+33612345678";

/// A store that tells which receipts it has taken.
struct Receipts {
    inner: MemoryStore,
    /// The carrier's ids.
    taken: watch::Sender<Vec<String>>,
}

impl Receipts {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            taken: watch::Sender::new(Vec::new()),
        })
    }

    async fn took(&self, carrier_id: &str) {
        let mut taken = self.taken.subscribe();
        let found = taken.wait_for(|taken| taken.iter().any(|id| id == carrier_id));
        let found = tokio::time::timeout(NEVER, found).await;
        found.expect("no receipt").unwrap();
    }
}

#[async_trait]
impl MessageStore for Receipts {
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
        self.inner.claim(message, lease, now).await
    }

    async fn settle(
        &self,
        message_id: &str,
        fence: u64,
        settle: Settle,
        now: i64,
    ) -> Result<bool, StoreError> {
        self.inner.settle(message_id, fence, settle, now).await
    }

    async fn receipt(
        &self,
        route: &str,
        carrier_id: &str,
        state: ReceiptState,
        now: i64,
    ) -> Result<(), StoreError> {
        self.inner.receipt(route, carrier_id, state, now).await?;
        self.taken
            .send_modify(|taken| taken.push(carrier_id.to_owned()));
        Ok(())
    }
}

/// The other end of a route.
enum Phones {
    Inbox(SmsInbox),
    Carrier(Box<ForeignSmsc>),
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrived {
    id: String,
    to: String,
    text: String,
}

struct Rig {
    route: Arc<dyn SmsRoute>,
    phones: Phones,
    store: Arc<Receipts>,
    clock: ManualClock,
}

impl Rig {
    fn inbox() -> Self {
        let (store, clock, inbox) = (Receipts::new(), clock(), SmsInbox::new());
        let time = Arc::new(clock.clone());
        let route = InboxRoute::new("inbox", inbox.clone(), store.clone(), time);
        Self {
            route: Arc::new(route),
            phones: Phones::Inbox(inbox),
            store,
            clock,
        }
    }

    /// Over SMPP; `validity`: whether the carrier is told how long it may try.
    async fn carrier(validity: bool) -> Self {
        let smsc = ForeignSmsc::start(SmscOptions::default()).await.unwrap();
        let address = smsc.address();
        let (host, port) = address.rsplit_once(':').unwrap();
        let config = SmppRouteConfig {
            name: "carrier".to_owned(),
            priority: 0,
            host: host.to_owned(),
            port: port.parse().unwrap(),
            tls: false,
            tls_ca_file: None,
            tls_server_name: None,
            system_id: "sallyport".to_owned(),
            password: Secret::new("secret"),
            password_file: None,
            system_type: String::new(),
            window: 10,
            response_timeout_seconds: 30,
            source: "SALLYPORT".to_owned(),
            source_ton: None,
            source_npi: None,
            validity,
        };
        let (store, clock) = (Receipts::new(), clock());
        let time = Arc::new(clock.clone());
        let route = SmppRoute::start(&config, store.clone(), time).unwrap();
        let mut state = route.state();
        let bound = state.wait_for(|state| *state == BindState::Bound);
        let bound = tokio::time::timeout(NEVER, bound).await;
        bound.expect("not bound").unwrap();
        Self {
            route: Arc::new(route),
            phones: Phones::Carrier(Box::new(smsc)),
            store,
            clock,
        }
    }

    async fn submit(&self, id: &str, to: &PhoneNumber, text: &str) -> Submission {
        let deadline_at = self.clock.now_ms() + LIFE;
        let record = Box::pin(std::future::ready(true));
        self.route.submit(record, id, to, text, deadline_at).await
    }

    /// Submits what must be accepted; the carrier's id.
    async fn accepted(&self, id: &str, to: &PhoneNumber, text: &str) -> String {
        match self.submit(id, to, text).await {
            Submission::Accepted { carrier_id } => carrier_id,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// What has arrived at a number, oldest first, once it is at least `count`.
    async fn arrived(&self, to: &PhoneNumber, count: usize) -> Vec<Arrived> {
        match &self.phones {
            Phones::Inbox(inbox) => {
                let mut found = inbox.list(to, 0);
                while found.len() < count {
                    let newest = found.last().map_or(0, |message| message.sequence);
                    let more = inbox.wait(to, newest, NEVER).await;
                    assert!(!more.is_empty(), "{} of {count} messages", found.len());
                    found.extend(more);
                }
                let arrived = |message: InboxMessage| Arrived {
                    id: message.message_id,
                    to: message.to.e164().to_owned(),
                    text: message.text,
                };
                found.into_iter().map(arrived).collect()
            }
            Phones::Carrier(smsc) => {
                let found = smsc.wait_for(to.e164(), count).await.unwrap();
                let arrived = |message: SmscMessage| Arrived {
                    id: message.id,
                    to: message.to,
                    text: message.text,
                };
                found.into_iter().map(arrived).collect()
            }
        }
    }

    /// The texts that have arrived at a number.
    async fn texts(&self, to: &PhoneNumber, count: usize) -> Vec<String> {
        let arrived = self.arrived(to, count).await;
        arrived.into_iter().map(|message| message.text).collect()
    }
}

fn clock() -> ManualClock {
    ManualClock::new(sallyport_chassis::clock::from_ms(1_764_000_000_000))
}

fn number(e164: &str) -> PhoneNumber {
    PhoneNumber::parse_e164(e164).unwrap()
}

// ---- the contract ------------------------------------------------------------------------------

async fn an_accepted_message_carries_an_id_of_its_own(rig: Rig) {
    let to = number(NUMBER);
    let first = rig.accepted("m1", &to, "the same").await;
    let second = rig.accepted("m2", &to, "the same").await;
    assert!(!first.is_empty() && !second.is_empty());
    assert_ne!(first, second);
    let arrived = rig.arrived(&to, 2).await;
    let ids: Vec<_> = arrived.iter().map(|message| &message.id).collect();
    assert_eq!(ids, [&first, &second]);
}

async fn the_text_arrives_unchanged(rig: Rig) {
    let to = number(NUMBER);
    let texts = [
        "Votre code Sallyport (KTR) est là : 012345, à saisir {ici}.\n\n@localhost #012345",
        "é è à ù ì ò Ç Ñ ñ ß £ ¥ € ^ { } [ ] ~ \\ |",
        "une ligne\nune deuxième\r\n\nla quatrième\n",
        " deux espaces  et un @ à la fin @",
        // Not in GSM 7 bit.
        "Forêt, garçon, cœur\n2e ligne «\u{a0}ici\u{a0}»",
        "Привет 😀 日本語",
    ];
    for (place, text) in texts.iter().enumerate() {
        rig.accepted(&format!("m{place}"), &to, text).await;
    }
    assert_eq!(rig.texts(&to, texts.len()).await, texts);
}

async fn the_number_arrives_as_it_was_given(rig: Rig) {
    let numbers = [
        "+33612345678",
        "+14165550123",
        "+447400123456",
        // Italy keeps its zero elsewhere, and its mobiles have none.
        "+393123456789",
        "+819012345678",
    ];
    for e164 in numbers {
        rig.accepted(e164, &number(e164), e164).await;
    }
    for e164 in numbers {
        let arrived = rig.arrived(&number(e164), 1).await;
        let arrived: Vec<_> = arrived
            .iter()
            .map(|message| (message.to.as_str(), message.text.as_str()))
            .collect();
        assert_eq!(arrived, [(e164, e164)]);
    }
}

async fn a_message_past_its_deadline_is_not_written(rig: Rig) {
    let (to, now) = (number(NUMBER), rig.clock.now_ms());
    for deadline_at in [now, now - 1, now - LIFE] {
        let record = Box::pin(std::future::ready(true));
        let submission = rig.route.submit(record, "late", &to, "late", deadline_at);
        let submission = submission.await;
        let late = now - deadline_at;
        assert_eq!(submission, Submission::NotWritten, "{late} ms late");
    }
    // What was written before it would have arrived before it.
    rig.accepted("last", &to, "last").await;
    assert_eq!(rig.texts(&to, 1).await, ["last"]);
}

async fn a_message_that_arrived_is_delivered_in_the_store(rig: Rig) {
    let (to, now) = (number(NUMBER), rig.clock.now_ms());
    let message = QueueMessage {
        message_id: "m1".to_owned(),
        challenge_id: None,
        class: Class::Notice,
        accepted_at: now,
        deadline_at: now + LIFE,
        retries: 0,
        number: Vec::new(),
        text: Vec::new(),
        trace: Default::default(),
    };
    let (id, store) = (message.message_id.as_str(), &rig.store);
    let new = store.accept_notice(id, "body", &message, now).await;
    assert_eq!(new.unwrap(), Accepted::New);
    store.queued(id).await.unwrap();
    // As a dispatcher does it: the route is recorded before, the answer after.
    let Claim::Send { fence } = store.claim(&message, LEASE, now).await.unwrap() else {
        panic!("not to be sent");
    };
    let route = rig.route.name().to_owned();
    let writing = Settle::Writing {
        route: route.clone(),
    };
    assert!(store.settle(id, fence, writing, now).await.unwrap());
    let carrier_id = rig.accepted(id, &to, "hello").await;
    let accepted = Settle::Accepted {
        route,
        carrier_id: carrier_id.clone(),
    };
    assert!(store.settle(id, fence, accepted, now).await.unwrap());
    store.took(&carrier_id).await;
    assert_eq!(
        store.claim(&message, LEASE, now).await.unwrap(),
        Claim::Settled(MessageState::Delivered)
    );
}

async fn many_submitted_at_once_arrive_once_each(rig: Rig) {
    let to = number(NUMBER);
    let mut waiting: Vec<_> = (0..200).map(|n| format!("message {n:03}")).collect();
    let mut expected = Vec::new();
    // A window is narrower than this crowd: who finds no place in time has not been written, and
    // comes again.
    for _round in 0..10 {
        let submitting = waiting.iter().map(|text| rig.submit(text, &to, text));
        let submissions = futures::future::join_all(submitting).await;
        let mut again = Vec::new();
        for (text, submission) in waiting.into_iter().zip(submissions) {
            match submission {
                Submission::Accepted { carrier_id } => expected.push(Arrived {
                    id: carrier_id,
                    to: NUMBER.to_owned(),
                    text,
                }),
                Submission::NotWritten => again.push(text),
                other => panic!("{text}: {other:?}"),
            }
        }
        waiting = again;
    }
    assert!(waiting.is_empty(), "{} are never taken", waiting.len());
    let mut arrived = rig.arrived(&to, expected.len()).await;
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected);
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod inbox {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Rig::inbox()).await;
            })*
        }
        mod smpp {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Rig::carrier(true).await).await;
            })*
        }
    };
}

contract!(
    an_accepted_message_carries_an_id_of_its_own,
    the_text_arrives_unchanged,
    the_number_arrives_as_it_was_given,
    a_message_past_its_deadline_is_not_written,
    a_message_that_arrived_is_delivered_in_the_store,
    many_submitted_at_once_arrive_once_each,
);

// ---- SMPP alone --------------------------------------------------------------------------------

#[tokio::test]
async fn a_carrier_that_is_not_told_the_validity_gets_nothing_late_either() {
    a_message_past_its_deadline_is_not_written(Rig::carrier(false).await).await;
}
