//! An otp-api that refuses: what it says reaches the caller whole, and nothing is kept of what it
//! refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use identity::config::Config;
use identity::{Wiring, run};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Peer, Refusal, SecretUrl};
use sallyport_proto::otp::v1 as proto;
use sallyport_proto::otp::v1::challenge_service_server::{
    ChallengeService, ChallengeServiceServer,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::world::{Backend, NUMBER, Session, World, new_key, refusal};

/// Refuses whatever it is asked, with what the test says.
#[derive(Clone)]
struct Refusing(Arc<Mutex<Refusal>>);

impl Refusing {
    fn say<T>(&self) -> Result<Response<T>, Status> {
        Err(self.0.lock().unwrap().clone().into())
    }
}

#[tonic::async_trait]
impl ChallengeService for Refusing {
    async fn create_challenge(
        &self,
        _: Request<proto::CreateChallengeRequest>,
    ) -> Result<Response<proto::CreateChallengeResponse>, Status> {
        self.say()
    }

    async fn verify_challenge(
        &self,
        _: Request<proto::VerifyChallengeRequest>,
    ) -> Result<Response<proto::VerifyChallengeResponse>, Status> {
        self.say()
    }

    async fn resend_challenge(
        &self,
        _: Request<proto::ResendChallengeRequest>,
    ) -> Result<Response<proto::ResendChallengeResponse>, Status> {
        self.say()
    }

    async fn cancel_challenge(
        &self,
        _: Request<proto::CancelChallengeRequest>,
    ) -> Result<Response<proto::CancelChallengeResponse>, Status> {
        self.say()
    }

    async fn get_challenge(
        &self,
        _: Request<proto::GetChallengeRequest>,
    ) -> Result<Response<proto::GetChallengeResponse>, Status> {
        self.say()
    }

    type WatchChallengeStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchChallengeResponse, Status>> + Send>>;

    async fn watch_challenge(
        &self,
        _: Request<proto::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        self.say()
    }
}

/// What the database is has no part in this.
#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_otp_api_reaches_the_caller_whole_and_nothing_is_kept() {
    let world = World::start(Backend::Sqlite).await;
    let (user, signed_in, _) = world.enrolled("ada").await;
    let mut awaiting = world.awaiting(&user).await;
    let bob = world.user("bob").await;
    let bob = world.sign_in(&bob).await;
    let before = (awaiting.challenge().await.unwrap(), world.otp.sent().len());

    // Another process of the service over the same store, in front of the otp-api that refuses.
    let otp = Refusing(Arc::new(Mutex::new(Refusal::new(Code::NotFound, ""))));
    let (dialler, incoming) = Listener::memory();
    let server =
        tonic::transport::Server::builder().add_service(ChallengeServiceServer::new(otp.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut config = Config::load(None).unwrap();
    let data = world.folder.path().join("data");
    config.database.url = SecretUrl::new(format!("sqlite://{}", data.display()));
    config.keys.folder = world.folder.path().join("keys");
    let (front, listener) = Listener::memory();
    let wiring = Wiring {
        listener,
        clock: Arc::new(world.clock.clone()),
        otp: dialler.channel(Peer::service("identity")),
        account_admin: world.log.serve(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config, wiring, stop.clone()));
    let there = |session: &Session| Session {
        channel: front.channel(Peer::service("gateway")),
        ..session.clone()
    };

    let slower = |reason: &str, seconds: u64| {
        Refusal::new(Code::ResourceExhausted, reason).retry_after(Duration::from_secs(seconds))
    };
    for said in [
        slower("sms.quota", 1_800),
        slower("sms.limit", 600),
        slower("code.resend_too_early", 42),
        slower("watch.busy", 5),
        Refusal::new(Code::FailedPrecondition, "code.no_sends_left"),
        Refusal::new(Code::AlreadyExists, "idempotency.conflict"),
        Refusal::field("mobile_number", "phone.country_not_served").with("country", "FR"),
    ] {
        *otp.0.lock().unwrap() = said.clone();
        for told in [
            refusal(there(&awaiting).send_sign_in(&new_key()).await),
            refusal(there(&awaiting).resend().await),
            refusal(there(&awaiting).challenge().await),
            refusal(there(&awaiting).watch().await),
            refusal(there(&signed_in).send_step_up().await),
            refusal(there(&bob).enable(NUMBER, &new_key()).await),
        ] {
            assert_eq!(told, said);
        }
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    let after = (awaiting.challenge().await.unwrap(), world.otp.sent().len());
    assert_eq!(after, before);
    assert_eq!(world.rows("pending_enrolments").await, 0);
    // The code that was under way signs in.
    awaiting.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    world.end().await;
}
