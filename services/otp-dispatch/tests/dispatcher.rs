//! The dispatcher over real stores, queues and carriers. A message is accepted as otp-api does it:
//! its state first, then the queue.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "dispatcher/failover.rs"]
mod failover;
#[path = "dispatcher/rig.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use otp_dispatch::config::{RouteConfig, SmppRouteConfig};
use otp_dispatch::dispatcher::Routes;
use otp_dispatch::domain::message::{Class, MessageState};
use otp_dispatch::ports::{Claim, Record, Settle, SmsRoute, Submission};
use sallyport_chassis::Secret;
use sallyport_phone::PhoneNumber;
use sallyport_testkit::{ForeignSmsc, SmscOptions};
use tokio::sync::{Notify, mpsc};

use self::rig::{NEVER, NUMBER, Rig, number};

// ---- memory, SQLite, inbox -------------------------------------------------------------------

#[tokio::test]
async fn a_message_arrives_once_even_if_it_is_published_twice() {
    let (rig, _clock) = Rig::embedded().await;
    let message = rig.message(Class::Notice, "hello");
    rig.accept(&message).await;
    rig.queue.publish(&message).await.unwrap();
    let running = rig.dispatch(&rig.to_inbox());
    rig.accept(&rig.message(Class::Notice, "last")).await;
    rig.arrives("last", 1).await;
    running.stop().await;
    let all = rig.inbox.list(&number(), 0);
    let texts: Vec<_> = all.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["hello", "last"]);
    assert_eq!(all[0].message_id, message.message_id);
    // Its receipt came before its answer was recorded, and was not lost.
    assert_eq!(
        rig.state(&message).await,
        Claim::Settled(MessageState::Delivered)
    );
    assert_eq!(rig.queue.depth(Class::Notice).await.unwrap(), 0);
}

#[tokio::test]
async fn an_expired_message_never_arrives() {
    let (rig, clock) = Rig::embedded().await;
    let late = rig.message(Class::Notice, "late");
    rig.accept(&late).await;
    clock.advance(Duration::from_secs(600));
    let running = rig.dispatch(&rig.to_inbox());
    rig.accept(&rig.message(Class::Notice, "last")).await;
    rig.arrives("last", 1).await;
    running.stop().await;
    assert_eq!(rig.inbox.list(None, 0).len(), 1);
    assert_eq!(
        rig.state(&late).await,
        Claim::Settled(MessageState::Expired)
    );
}

#[tokio::test]
async fn a_code_whose_state_is_lost_is_dropped_and_a_notice_is_sent() {
    let (rig, _clock) = Rig::embedded().await;
    rig.queue
        .publish(&rig.message(Class::Code, "code"))
        .await
        .unwrap();
    rig.queue
        .publish(&rig.message(Class::Notice, "notice"))
        .await
        .unwrap();
    let running = rig.dispatch(&rig.to_inbox());
    // Codes go first: it had its turn.
    rig.arrives("notice", 1).await;
    running.stop().await;
    assert_eq!(rig.inbox.list(None, 0).len(), 1);
    assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 0);
    assert_eq!(rig.queue.depth(Class::Notice).await.unwrap(), 0);
}

#[tokio::test]
async fn what_cannot_be_opened_is_buried_and_failed() {
    let (rig, _clock) = Rig::embedded().await;
    let mut poison = rig.message(Class::Notice, "poison");
    // Sealed for another message: a copy of somebody else's text opens nothing.
    poison.text = rig.message(Class::Notice, "other").text;
    rig.accept(&poison).await;
    rig.accept(&rig.message(Class::Notice, "last")).await;
    let running = rig.dispatch(&rig.to_inbox());
    rig.arrives("last", 1).await;
    running.stop().await;
    assert_eq!(rig.inbox.list(None, 0).len(), 1);
    let failed = MessageState::Failed("unreadable".to_owned());
    assert_eq!(rig.state(&poison).await, Claim::Settled(failed));
    assert_eq!(rig.queue.depth(Class::Notice).await.unwrap(), 0);
}

/// A route that answers from a list, and then accepts.
struct Scripted {
    name: &'static str,
    answers: std::sync::Mutex<Vec<Submission>>,
    submitted: AtomicUsize,
    seen: mpsc::UnboundedSender<&'static str>,
}

impl Scripted {
    fn new(
        name: &'static str,
        answers: Vec<Submission>,
        seen: &mpsc::UnboundedSender<&'static str>,
    ) -> Arc<Self> {
        let submitted = AtomicUsize::new(0);
        Arc::new(Self {
            name,
            answers: answers.into(),
            submitted,
            seen: seen.clone(),
        })
    }
}

#[async_trait]
impl SmsRoute for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    async fn submit(
        &self,
        record: Record<'_>,
        id: &str,
        _: &PhoneNumber,
        _: &str,
        _: i64,
    ) -> Submission {
        if !record.await {
            return Submission::NotWritten;
        }
        self.submitted.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.is_empty() {
            true => Submission::Accepted {
                carrier_id: id.to_owned(),
            },
            false => answers.remove(0),
        };
        self.seen.send(self.name).unwrap();
        answer
    }
}

fn refused(reason: &str) -> Submission {
    Submission::RefusedByRoute {
        reason: reason.to_owned(),
    }
}

/// Sends one message over two scripted routes; how often each was asked, and the end.
async fn over(class: Class, a: Vec<Submission>, b: Vec<Submission>) -> (usize, usize, Claim) {
    let (rig, _clock) = Rig::embedded().await;
    let (seen, mut asked) = mpsc::unbounded_channel();
    let (a, b) = (Scripted::new("a", a, &seen), Scripted::new("b", b, &seen));
    let routes = Routes::of(vec![a.clone(), b.clone()], 4, Duration::from_secs(1));
    let message = rig.message(class, "text");
    rig.accept(&message).await;
    let running = rig.dispatch(&routes);
    tokio::time::timeout(NEVER, asked.recv())
        .await
        .unwrap()
        .unwrap();
    running.stop().await;
    let count = |route: &Scripted| route.submitted.load(Ordering::SeqCst);
    (count(&a), count(&b), rig.state(&message).await)
}

#[tokio::test]
async fn the_next_route_gets_what_the_first_did_not_write() {
    for first in [Submission::NotWritten, Submission::Busy, refused("why")] {
        let (a, b, end) = over(Class::Code, vec![first], vec![]).await;
        assert_eq!((a, b, end), (1, 1, Claim::Settled(MessageState::Submitted)));
    }
}

#[tokio::test]
async fn two_refusals_or_one_for_good_are_the_end() {
    let failed = |reason: &str| Claim::Settled(MessageState::Failed(reason.to_owned()));
    let end = over(Class::Code, vec![refused("x")], vec![refused("y")]).await;
    assert_eq!(end, (1, 1, failed("y")));
    let for_good = Submission::RefusedForGood {
        reason: "number_refused".to_owned(),
    };
    let end = over(Class::Code, vec![for_good], vec![]).await;
    assert_eq!(end, (1, 0, failed("number_refused")));
}

#[tokio::test]
async fn in_doubt_a_code_goes_once_to_another_route_and_a_notice_nowhere() {
    let unknown = Claim::Settled(MessageState::OutcomeUnknown);
    let end = over(Class::Code, vec![Submission::Unanswered], vec![]).await;
    assert_eq!(end, (1, 1, Claim::Settled(MessageState::Submitted)));
    let twice = vec![Submission::Unanswered];
    let end = over(Class::Code, twice.clone(), twice.clone()).await;
    assert_eq!(end, (1, 1, unknown.clone()));
    let end = over(Class::Code, twice.clone(), vec![Submission::NotWritten]).await;
    assert_eq!(end, (1, 1, unknown.clone()));
    let end = over(Class::Notice, twice, vec![]).await;
    assert_eq!(end, (1, 0, unknown));
}

#[tokio::test]
async fn a_message_that_nobody_took_comes_again_after_its_wait() {
    let (rig, clock) = Rig::embedded().await;
    let (seen, mut asked) = mpsc::unbounded_channel();
    let route = Scripted::new("a", vec![Submission::NotWritten, Submission::Busy], &seen);
    let routes = Routes::of(vec![route.clone()], 4, Duration::from_secs(1));
    let message = rig.message(Class::Code, "text");
    rig.accept(&message).await;
    for (tries, wait) in [(1, 1), (2, 3)] {
        let running = rig.dispatch(&routes);
        tokio::time::timeout(NEVER, asked.recv())
            .await
            .unwrap()
            .unwrap();
        running.stop().await;
        assert_eq!(route.submitted.load(Ordering::SeqCst), tries);
        clock.advance(Duration::from_secs(wait) - Duration::from_millis(1));
        assert_eq!(
            rig.queue.depth(Class::Code).await.unwrap(),
            0,
            "waits {wait} s"
        );
        clock.advance(Duration::from_millis(1));
        assert_eq!(rig.queue.depth(Class::Code).await.unwrap(), 1);
    }
    let running = rig.dispatch(&routes);
    tokio::time::timeout(NEVER, asked.recv())
        .await
        .unwrap()
        .unwrap();
    running.stop().await;
    assert_eq!(
        rig.state(&message).await,
        Claim::Settled(MessageState::Submitted)
    );
}

/// A route that tells when it has come as far as it ever does.
struct Silent {
    name: &'static str,
    /// It writes, and waits for an answer; else it waits for a slot.
    writes: bool,
    asked: Notify,
}

#[async_trait]
impl SmsRoute for Silent {
    fn name(&self) -> &str {
        self.name
    }

    async fn submit(
        &self,
        record: Record<'_>,
        _: &str,
        _: &PhoneNumber,
        _: &str,
        _: i64,
    ) -> Submission {
        if self.writes {
            assert!(record.await);
        }
        self.asked.notify_one();
        std::future::pending().await
    }
}

/// A dispatcher dies while it is writing to route a; the next one finds that. If `again`, that one
/// dies as well, while it is writing to route b. How often the last one asked a and b, and the end.
async fn after_a_death(class: Class, again: bool) -> (usize, usize, Settle) {
    let (rig, clock) = Rig::embedded().await;
    let (seen, _asked) = mpsc::unbounded_channel();
    let dying = |a: Arc<dyn SmsRoute>, b: Arc<dyn SmsRoute>, asked: Arc<Silent>| {
        let running = rig.dispatch(&Routes::of(vec![a, b], 4, Duration::from_secs(1)));
        let clock = clock.clone();
        async move {
            tokio::time::timeout(NEVER, asked.asked.notified())
                .await
                .unwrap();
            running.die().await;
            clock.advance(Duration::from_secs(60));
        }
    };
    let message = rig.message(class, "text");
    rig.accept(&message).await;
    let silent = |name| {
        Arc::new(Silent {
            name,
            writes: true,
            asked: Notify::new(),
        })
    };
    let (a, b) = (silent("a"), silent("b"));
    dying(a.clone(), b.clone(), a.clone()).await;
    if again {
        dying(a, b.clone(), b).await;
    }
    let (a, b) = (
        Scripted::new("a", vec![], &seen),
        Scripted::new("b", vec![], &seen),
    );
    let routes = Routes::of(vec![a.clone(), b.clone()], 4, Duration::from_secs(1));
    let running = rig.dispatch(&routes);
    let end = rig.outcome(&message).await;
    running.stop().await;
    assert_eq!(rig.queue.depth(class).await.unwrap(), 0);
    let count = |route: &Scripted| route.submitted.load(Ordering::SeqCst);
    (count(&a), count(&b), end)
}

#[tokio::test]
async fn a_death_while_writing_is_doubt() {
    let (a, b, end) = after_a_death(Class::Code, false).await;
    assert_eq!((a, b), (0, 1));
    assert!(matches!(end, Settle::Accepted { route, .. } if route == "b"));
    let unknown = |route: &str| Settle::Unknown {
        route: route.to_owned(),
    };
    assert_eq!(
        after_a_death(Class::Notice, false).await,
        (0, 0, unknown("a"))
    );
    // The one resend is used up, also when its dispatcher died over it.
    assert_eq!(after_a_death(Class::Code, true).await, (0, 0, unknown("b")));
}

/// Who waits for a slot has written nothing: a notice is sent, and a code by the first route.
#[tokio::test]
async fn a_death_before_there_is_a_slot_is_no_doubt() {
    for class in [Class::Code, Class::Notice] {
        let (rig, clock) = Rig::embedded().await;
        let message = rig.message(class, "text");
        rig.accept(&message).await;
        let full = Arc::new(Silent {
            name: "a",
            writes: false,
            asked: Notify::new(),
        });
        let routes = Routes::of(vec![full.clone()], 4, Duration::from_secs(1));
        let running = rig.dispatch(&routes);
        tokio::time::timeout(NEVER, full.asked.notified())
            .await
            .unwrap();
        running.die().await;
        clock.advance(Duration::from_secs(60));

        let (seen, _asked) = mpsc::unbounded_channel();
        let a = Scripted::new("a", vec![], &seen);
        let routes = Routes::of(vec![a.clone()], 4, Duration::from_secs(1));
        let running = rig.dispatch(&routes);
        let end = rig.outcome(&message).await;
        running.stop().await;
        assert!(
            matches!(&end, Settle::Accepted { route, .. } if route == "a"),
            "{end:?}"
        );
        assert_eq!(a.submitted.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn without_the_store_nothing_is_sent_and_nothing_is_lost() {
    let (rig, clock) = Rig::embedded().await;
    let message = rig.message(Class::Code, "text");
    rig.accept(&message).await;
    rig.watched.away.store(true, Ordering::SeqCst);
    let running = rig.dispatch(&rig.to_inbox());
    rig.refusal().await;
    running.stop().await;
    assert!(rig.inbox.list(None, 0).is_empty());
    rig.watched.away.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(3));
    let running = rig.dispatch(&rig.to_inbox());
    rig.arrives("text", 1).await;
    running.stop().await;
}

// ---- Redis, RabbitMQ, a carrier of other people's making ----------------------------------------

fn to_carrier(rig: &Rig, smsc: &ForeignSmsc) -> Routes {
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
        validity: true,
    };
    let configs = [RouteConfig::Smpp(Box::new(config))];
    Routes::start(&configs, None, &rig.store, &rig.clock).unwrap()
}

const TEXT: &str =
    "Votre code Sallyport (KTR) est là : 012345, à saisir {ici}.\n\n@localhost #012345";

#[tokio::test]
async fn a_carrier_gets_it_once_and_its_receipt_makes_it_delivered() {
    let (redis, vhost) =
        tokio::try_join!(sallyport_testkit::redis(), sallyport_testkit::rabbitmq()).unwrap();
    let smsc = ForeignSmsc::start(SmscOptions::default()).await.unwrap();
    let rig = Rig::real(&redis.url, &vhost.url).await;
    let routes = to_carrier(&rig, &smsc);
    let running = rig.dispatch(&routes);
    let message = rig.message(Class::Code, TEXT);
    rig.accept(&message).await;
    let arrived = smsc.wait_for(NUMBER, 1).await.unwrap();
    assert_eq!(
        (arrived[0].text.as_str(), arrived[0].from.as_str()),
        (TEXT, "SALLYPORT")
    );
    let Settle::Accepted { route, carrier_id } = rig.outcome(&message).await else {
        panic!("not accepted");
    };
    assert_eq!((route.as_str(), &carrier_id), ("carrier", &arrived[0].id));
    rig.receipt(&carrier_id).await;
    running.stop().await;
    routes.shutdown(NEVER).await;
    assert_eq!(
        rig.state(&message).await,
        Claim::Settled(MessageState::Delivered)
    );
    assert_eq!(smsc.messages(NUMBER).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_carrier_that_is_away_gets_it_once_when_it_is_back() {
    let (redis, vhost) =
        tokio::try_join!(sallyport_testkit::redis(), sallyport_testkit::rabbitmq()).unwrap();
    let mut smsc = ForeignSmsc::start(SmscOptions::default()).await.unwrap();
    let rig = Rig::real(&redis.url, &vhost.url).await;
    smsc.stop().await.unwrap();
    let routes = to_carrier(&rig, &smsc);
    let running = rig.dispatch(&routes);
    let message = rig.message(Class::Code, TEXT);
    rig.accept(&message).await;
    // It was tried, and put back.
    rig.released(&message).await;
    smsc.start_again().await.unwrap();
    let end = rig.outcome(&message).await;
    assert!(matches!(end, Settle::Accepted { .. }), "{end:?}");
    running.stop().await;
    routes.shutdown(NEVER).await;
    assert_eq!(smsc.messages(NUMBER).await.unwrap().len(), 1);
}
