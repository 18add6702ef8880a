//! otp-api through its front door: gRPC over the in-memory transport, with the embedded store and
//! queue. Codes are read where the dispatcher reads them: in the message that waits for a phone.

#![allow(clippy::unwrap_used)]

#[path = "service/bad_input.rs"]
mod bad_input;
#[path = "service/challenges.rs"]
mod challenges;
#[path = "service/door.rs"]
mod door;
#[path = "service/guard.rs"]
mod guard;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/outages.rs"]
mod outages;
#[path = "service/two_processes.rs"]
mod two_processes;
#[path = "service/watching.rs"]
mod watching;

use std::sync::Arc;
use std::time::Duration;

use otp_dispatch::config::{PROCESS, SECRETS, SETTINGS};
use otp_dispatch::domain::message::{Class, QueueMessage};
use otp_dispatch::ports::{Claim, Consumer, Settle};
use otp_dispatch::{Backends, Config, run_api, run_dispatcher};
use sallyport_chassis::channel::{Dialler, Outgoing};
use sallyport_chassis::keyring::Keyring;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Clock, Peer, Refusal};
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::notice_service_client::NoticeServiceClient;
use sallyport_proto::otp::v1::number_service_client::NumberServiceClient;
use sallyport_testkit::ManualClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

const NUMBER: &str = "+33612345678";

/// A running otp-api.
struct Service {
    clock: ManualClock,
    config: Config,
    backends: Backends,
    dialler: Dialler,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    phone: Phone,
    _folder: tempfile::TempDir,
}

/// The defaults in a folder of their own, with these settings (`OTP__SENDS`, `2`) on top.
fn config(folder: &std::path::Path, settings: &[(&str, &str)]) -> Config {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut variables = vec![
        ("SALLYPORT__KEYS__FOLDER".to_owned(), path("keys")),
        (
            "SALLYPORT__CHALLENGES__URL".to_owned(),
            "memory:".to_owned(),
        ),
        (
            "SALLYPORT__QUEUE__URL".to_owned(),
            format!("sqlite://{}", path("data")),
        ),
        (
            "SALLYPORT__DATABASE__URL".to_owned(),
            format!("sqlite://{}", path("sql")),
        ),
    ];
    for (key, value) in settings {
        variables.push((format!("SALLYPORT__{key}"), (*value).to_owned()));
    }
    let defaults = format!("{PROCESS}\n{SETTINGS}");
    sallyport_chassis::config::load(&defaults, SECRETS, None, variables).unwrap()
}

impl Service {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_over(settings, |backends| backends).await
    }

    /// Starts with backends that the test has changed.
    async fn start_over(
        settings: &[(&str, &str)],
        change: impl FnOnce(Backends) -> Backends,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), settings);
        let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let opened = Backends::open(&config, Arc::clone(&shared)).await.unwrap();
        let consumer = opened
            .queue
            .consume(1, Duration::from_secs(60))
            .await
            .unwrap();
        let backends = change(opened);
        let seal = Keyring::load_or_create(&config.keys.folder.join("seal.keys")).unwrap();
        let phone = Phone {
            consumer,
            seal,
            backends: backends.clone(),
            clock: clock.clone(),
        };
        let (dialler, listener) = Listener::memory();
        let stop = CancellationToken::new();
        let run = run_api(
            config.clone(),
            backends.clone(),
            listener,
            shared,
            stop.clone(),
        );
        let task = tokio::spawn(run);
        Self {
            clock,
            config,
            backends,
            dialler,
            stop,
            task,
            phone,
            _folder: folder,
        }
    }

    fn channel(&self, peer: &str) -> Outgoing {
        self.dialler.channel(Peer::service(peer))
    }

    fn challenges(&self) -> ChallengeServiceClient<Outgoing> {
        ChallengeServiceClient::new(self.channel("identity"))
    }

    fn notices(&self) -> NoticeServiceClient<Outgoing> {
        NoticeServiceClient::new(self.channel("identity"))
    }

    fn numbers(&self) -> NumberServiceClient<Outgoing> {
        NumberServiceClient::new(self.channel("gateway"))
    }

    async fn create(&self, request: pb::CreateChallengeRequest) -> Result<pb::Challenge, Status> {
        let answer = self.challenges().create_challenge(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    async fn resend(&self, request: pb::ResendChallengeRequest) -> Result<pb::Challenge, Status> {
        let answer = self.challenges().resend_challenge(request).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// Verdict and tries left.
    async fn verify(&self, id: &str, code: &str, request_id: &str) -> (pb::Verdict, u32) {
        let answer = self
            .challenges()
            .verify_challenge(verify(id, code, request_id))
            .await
            .unwrap();
        let answer = answer.into_inner();
        (answer.verdict(), answer.tries_left)
    }

    async fn waiting(&self) -> u64 {
        self.backends.queue.depth(Class::Code).await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Does the dispatcher's part for one message at a time.
struct Phone {
    consumer: Box<dyn Consumer>,
    seal: Keyring,
    backends: Backends,
    clock: ManualClock,
}

/// A text that arrived.
struct Sms {
    message: QueueMessage,
    number: String,
    text: String,
}

impl Sms {
    /// As a browser reads it: the last line.
    fn code(&self) -> String {
        let last = self.text.lines().next_back().unwrap();
        last.strip_prefix("@localhost #").unwrap().to_owned()
    }
}

impl Phone {
    async fn next(&mut self) -> Sms {
        let delivery = self.consumer.next().await.unwrap();
        let message = delivery.message().clone();
        let (store, now) = (&self.backends.messages, self.clock.now_ms());
        let claim = store
            .claim(&message, Duration::from_secs(30), now)
            .await
            .unwrap();
        let Claim::Send { fence } = claim else {
            panic!("{claim:?}")
        };
        let (route, carrier_id) = ("phone".to_owned(), message.message_id.clone());
        let accepted = Settle::Accepted { route, carrier_id };
        assert!(
            store
                .settle(&message.message_id, fence, accepted, now)
                .await
                .unwrap()
        );
        delivery.acknowledge().await.unwrap();
        let open = |sealed: &[u8]| {
            let plain = self
                .seal
                .open(message.message_id.as_bytes(), sealed)
                .unwrap();
            String::from_utf8(plain.to_vec()).unwrap()
        };
        let (number, text) = (open(&message.number), open(&message.text));
        Sms {
            message,
            number,
            text,
        }
    }
}

fn binding() -> pb::Binding {
    pb::Binding {
        purpose: pb::Purpose::SignIn.into(),
        user_id: "user-1".to_owned(),
        session_id: "session-1".to_owned(),
        number: NUMBER.to_owned(),
    }
}

/// A trusted request: the code of a confirmed factor.
fn create(key: &str) -> pb::CreateChallengeRequest {
    pb::CreateChallengeRequest {
        binding: Some(binding()),
        idempotency_key: key.to_owned(),
        locale: "en-GB".to_owned(),
        organisation_id: "organisation-1".to_owned(),
        client_ip: String::new(),
        trusted: true,
    }
}

fn resend(id: &str, key: &str) -> pb::ResendChallengeRequest {
    pb::ResendChallengeRequest {
        challenge_id: id.to_owned(),
        binding: Some(binding()),
        idempotency_key: key.to_owned(),
        locale: "en-GB".to_owned(),
        client_ip: String::new(),
        trusted: true,
    }
}

fn verify(id: &str, code: &str, request_id: &str) -> pb::VerifyChallengeRequest {
    pb::VerifyChallengeRequest {
        challenge_id: id.to_owned(),
        binding: Some(binding()),
        code: code.to_owned(),
        request_id: request_id.to_owned(),
    }
}

/// Another code than the right one.
fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

/// gRPC code and reason of a refusal.
fn refusal(status: &Status) -> (Code, String) {
    let refusal = Refusal::from_status(status).unwrap_or_else(|| panic!("a failure: {status:?}"));
    (refusal.code, refusal.reason)
}

fn retry_after(status: &Status) -> Duration {
    Refusal::from_status(status).unwrap().retry_after.unwrap()
}
