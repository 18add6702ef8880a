//! A queue that refuses, or keeps its confirmation to itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::ToSpan;
use otp_dispatch::ports::{Queue, QueueError};

use super::*;

/// A queue in front of the real one.
struct Faulty {
    real: Arc<dyn Queue>,
    /// Publishes nothing.
    away: AtomicBool,
    /// Publishes and never confirms.
    silent: AtomicBool,
    published: AtomicU32,
}

#[async_trait]
impl Queue for Faulty {
    async fn publish(&self, message: &QueueMessage) -> Result<(), QueueError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(QueueError::Unavailable(Box::new(std::io::Error::other(
                "host mq-3 is away",
            ))));
        }
        self.real.publish(message).await?;
        self.published.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn consume(
        &self,
        prefetch: u16,
        hold: Duration,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        self.real.consume(prefetch, hold).await
    }

    async fn depth(&self, class: Class) -> Result<u64, QueueError> {
        self.real.depth(class).await
    }
}

async fn start(away: bool, silent: bool) -> (Service, Arc<Faulty>) {
    let mut faulty = None;
    let settings = [("OTP__CONFIRM_SECONDS", "1"), ("OTP__SWEEP_SECONDS", "1")];
    let service = Service::start_over(&settings, |backends| {
        let queue = Arc::new(Faulty {
            real: Arc::clone(&backends.queue),
            away: AtomicBool::new(away),
            silent: AtomicBool::new(silent),
            published: AtomicU32::new(0),
        });
        faulty = Some(Arc::clone(&queue));
        Backends { queue, ..backends }
    })
    .await;
    (service, faulty.unwrap())
}

fn assert_unavailable(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable);
    assert!(sallyport_chassis::refusal::is_doubt(status));
    assert!(!format!("{status:?}").contains("mq-3"), "{status:?}");
}

#[tokio::test]
async fn the_same_key_sends_what_the_queue_did_not_take() {
    let (mut service, queue) = start(true, false).await;
    for _ in 0..3 {
        assert_unavailable(&service.create(create("key-1")).await.unwrap_err());
    }
    queue.away.store(false, Ordering::SeqCst);
    let challenge = service.create(create("key-1")).await.unwrap();
    assert_eq!(service.create(create("key-1")).await.unwrap(), challenge);
    let sms = service.phone.next().await;
    assert_eq!(sms.message.message_id, challenge.message_id);
    assert_eq!(queue.published.load(Ordering::SeqCst), 1);
    // Three refused and two answered requests are one send: four more fit the hour.
    for n in 2..6 {
        service.create(create(&format!("key-{n}"))).await.unwrap();
    }
    assert_eq!(
        refusal(&service.create(create("key-6")).await.unwrap_err()).1,
        "sms.quota"
    );
    service.end().await;
}

#[tokio::test]
async fn the_sweep_sends_what_nobody_asks_for_again() {
    let (mut service, queue) = start(true, false).await;
    assert_unavailable(&service.create(create("key-1")).await.unwrap_err());
    queue.away.store(false, Ordering::SeqCst);
    service.clock.advance(2.seconds());
    let sms = service.phone.next().await;
    let challenge = service.create(create("key-1")).await.unwrap();
    assert_eq!(sms.message.message_id, challenge.message_id);
    let verdict = service
        .verify(&challenge.challenge_id, &sms.code(), "request-1")
        .await;
    assert_eq!(verdict.0, pb::Verdict::Right);
    assert_eq!(queue.published.load(Ordering::SeqCst), 1);
    service.end().await;
}

#[tokio::test]
async fn without_a_confirmation_nothing_is_called_sent() {
    let (mut service, queue) = start(false, true).await;
    assert_unavailable(&service.create(create("key-1")).await.unwrap_err());
    // It is in the queue all the same; the dispatcher takes it, and so the store knows.
    let sms = service.phone.next().await;
    queue.silent.store(false, Ordering::SeqCst);
    let challenge = service.create(create("key-1")).await.unwrap();
    assert_eq!(challenge.message_id, sms.message.message_id);
    assert_eq!(challenge.message_state(), pb::MessageState::Submitted);
    assert_eq!(service.waiting().await, 0);
    service.end().await;
}

/// Nothing on a code's way waits for SQL: there the guard keeps what is for operators and for later.
#[tokio::test]
async fn without_its_database_codes_are_sent_and_checked() {
    let nowhere = "postgres://127.0.0.1:1/nothing";
    let mut service = Service::start(&[("DATABASE__URL", nowhere)]).await;
    let untrusted = pb::CreateChallengeRequest {
        client_ip: "192.0.2.1".to_owned(),
        trusted: false,
        ..create("key-1")
    };
    let id = service.create(untrusted).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    let (verdict, _) = service.verify(&id, &code, "request-1").await;
    assert_eq!(verdict, pb::Verdict::Right);
    service.end().await;
}

#[tokio::test]
async fn a_store_that_is_away_refuses_everything() {
    let mut server = sallyport_testkit::Redis::start().await.unwrap();
    let service = Service::start(&[("CHALLENGES__URL", &server.url())]).await;
    let id = service.create(create("key-1")).await.unwrap().challenge_id;
    server.stop().await.unwrap();
    assert_unavailable(&service.create(create("key-2")).await.unwrap_err());
    let request = verify(&id, "123456", "request-1");
    assert_unavailable(
        &service
            .challenges()
            .verify_challenge(request)
            .await
            .unwrap_err(),
    );
    service.end().await;
}
