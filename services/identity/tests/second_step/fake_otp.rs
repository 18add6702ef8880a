//! otp-api as its proto describes it, in memory, with the faults that matter: no answer before a
//! decision, no answer after one, and a store that has forgotten what it decided.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Clock, IdempotencyKey, Peer, Refusal, clock};
use sallyport_proto::otp::v1 as proto;
use sallyport_proto::otp::v1::challenge_service_server::{
    ChallengeService, ChallengeServiceServer,
};
use sallyport_proto::otp::v1::notice_service_server::{NoticeService, NoticeServiceServer};
use sallyport_testkit::ManualClock;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status};

/// What happens to the next question about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not arrive.
    Away,
    /// It is decided, and the answer is lost.
    LostAnswer,
    /// It is decided by a replica that was promoted and has heard of no attempt.
    FailedOver,
}

/// One SMS with a code.
#[derive(Debug, Clone)]
pub struct Sms {
    pub to: String,
    pub code: String,
    pub purpose: proto::Purpose,
}

struct Made {
    binding: proto::Binding,
    code: String,
    expires_at_ms: i64,
    resend_at_ms: i64,
    /// The key of the last resend, which repeated makes no other message.
    resent_as: String,
    sends_left: u32,
    tries: u32,
    tries_left: u32,
    used: bool,
    cancelled: bool,
    state: watch::Sender<proto::MessageState>,
}

#[derive(Default)]
struct Inner {
    made: HashMap<String, Made>,
    by_key: HashMap<String, (Vec<u8>, String)>,
    answers: HashMap<String, (proto::Verdict, u32)>,
    creates: Vec<proto::CreateChallengeRequest>,
    sent: Vec<Sms>,
    faults: VecDeque<Fault>,
    decisions: u32,
    right: u32,
    asked: u32,
    request_ids: HashSet<String>,
    notices: Vec<proto::SendNoticeRequest>,
    notice_keys: HashSet<String>,
    deaf_to_cancel: bool,
    tries: u32,
}

#[derive(Clone)]
pub struct FakeOtp {
    inner: Arc<Mutex<Inner>>,
    clock: ManualClock,
    /// Whether questions about attempts are answered, or held back.
    open: Arc<watch::Sender<bool>>,
    arrivals: Arc<watch::Sender<u32>>,
    noticed: Arc<watch::Sender<usize>>,
}

impl FakeOtp {
    pub fn new(clock: ManualClock) -> Self {
        let inner = Inner {
            tries: 5,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            clock,
            open: Arc::new(watch::Sender::new(true)),
            arrivals: Arc::new(watch::Sender::new(0)),
            noticed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Serves in a task of the test; the channel reaches it as identity.
    pub fn serve(&self) -> Outgoing {
        let (dialler, listener) = Listener::memory();
        let server = tonic::transport::Server::builder()
            .add_service(ChallengeServiceServer::new(self.clone()))
            .add_service(NoticeServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(listener));
        dialler.channel(Peer::service("identity"))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Tries of challenges made from now on: many, where identity's own count is to be seen.
    pub fn set_tries(&self, tries: u32) {
        self.inner().tries = tries;
    }

    pub fn fail_next(&self, faults: &[Fault]) {
        self.inner().faults.extend(faults);
    }

    /// As if its store were restored from a copy that was made before any code was used.
    pub fn forget_uses(&self) {
        let mut inner = self.inner();
        inner.answers.clear();
        for made in inner.made.values_mut() {
            made.used = false;
        }
    }

    /// Cancelling has no effect from now on, as if the calls were lost.
    pub fn ignore_cancels(&self) {
        self.inner().deaf_to_cancel = true;
    }

    /// Questions about attempts are held back until `release`.
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many questions about attempts have arrived in all.
    pub async fn arrived(&self, count: u32) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|have| *have >= count).await.unwrap();
    }

    /// Attempts that were decided: repeated questions count once.
    pub fn decisions(&self) -> u32 {
        self.inner().decisions
    }

    /// Attempts decided as right.
    pub fn right_decisions(&self) -> u32 {
        self.inner().right
    }

    /// Questions that came, repeated and failed ones included.
    pub fn questions(&self) -> u32 {
        self.inner().asked
    }

    /// Different request ids seen.
    pub fn request_ids(&self) -> usize {
        self.inner().request_ids.len()
    }

    /// How many challenges were cancelled.
    pub fn cancelled(&self) -> usize {
        let inner = self.inner();
        inner.made.values().filter(|made| made.cancelled).count()
    }

    pub fn sent(&self) -> Vec<Sms> {
        self.inner().sent.clone()
    }

    /// The code of the newest SMS to a number.
    pub fn newest_code(&self, number: &str) -> String {
        let inner = self.inner();
        let sms = inner.sent.iter().rev().find(|sms| sms.to == number);
        sms.expect("an SMS to the number").code.clone()
    }

    pub fn newest_create(&self) -> proto::CreateChallengeRequest {
        self.inner().creates.last().expect("a create").clone()
    }

    /// The message of the newest challenge changes its state.
    pub fn deliver_newest(&self, state: proto::MessageState) {
        let inner = self.inner();
        // Challenges made at the same instant differ by whether they are over.
        let live = inner
            .made
            .values()
            .filter(|made| !made.used && !made.cancelled);
        let made = live.max_by_key(|made| made.expires_at_ms);
        made.expect("a challenge").state.send_replace(state);
    }

    /// Waits until there are so many notices, and returns them.
    pub async fn notices(&self, count: usize) -> Vec<(proto::Notice, String)> {
        let mut seen = self.noticed.subscribe();
        let wait = seen.wait_for(|have| *have >= count);
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("the notices arrive")
            .unwrap();
        let inner = self.inner();
        inner
            .notices
            .iter()
            .map(|notice| (notice.notice(), notice.number.clone()))
            .collect()
    }
}

fn described(id: &str, made: &Made) -> proto::Challenge {
    proto::Challenge {
        challenge_id: id.to_owned(),
        message_id: format!("message-of-{id}"),
        reference: "KTR".into(),
        expires_at: Some(clock::to_proto(clock::from_ms(made.expires_at_ms))),
        resend_at: Some(clock::to_proto(clock::from_ms(made.resend_at_ms))),
        sends_left: made.sends_left,
        tries_left: made.tries_left,
        message_state: (*made.state.borrow()).into(),
        failure_reason: String::new(),
    }
}

fn not_found() -> Status {
    Refusal::new(Code::NotFound, "code.none").into()
}

/// A question that got no answer.
fn silence() -> Status {
    Status::unavailable("unavailable")
}

impl Inner {
    fn find(&mut self, id: &str, binding: Option<&proto::Binding>) -> Result<&mut Made, Status> {
        self.made
            .get_mut(id)
            .filter(|made| Some(&made.binding) == binding)
            .ok_or_else(not_found)
    }

    fn forget_attempts(&mut self) {
        self.answers.clear();
        for made in self.made.values_mut() {
            made.tries_left = made.tries;
            made.used = false;
        }
    }

    fn decide(
        &mut self,
        request: &proto::VerifyChallengeRequest,
        now_ms: i64,
    ) -> (proto::Verdict, u32) {
        if let Some(answer) = self.answers.get(&request.request_id) {
            return *answer;
        }
        self.decisions += 1;
        let answer = match self.find(&request.challenge_id, request.binding.as_ref()) {
            Err(_) => (proto::Verdict::NotFound, 0),
            Ok(made) => {
                let right = made.code == request.code;
                let verdict = if right && made.used {
                    proto::Verdict::Used
                } else if made.cancelled || made.tries_left == 0 {
                    proto::Verdict::Ended
                } else if right && now_ms >= made.expires_at_ms {
                    proto::Verdict::Expired
                } else if right {
                    made.used = true;
                    proto::Verdict::Right
                } else {
                    made.tries_left -= 1;
                    proto::Verdict::Wrong
                };
                (verdict, made.tries_left)
            }
        };
        if answer.0 == proto::Verdict::Right {
            self.right += 1;
        }
        self.answers.insert(request.request_id.clone(), answer);
        answer
    }
}

#[tonic::async_trait]
impl ChallengeService for FakeOtp {
    async fn create_challenge(
        &self,
        request: Request<proto::CreateChallengeRequest>,
    ) -> Result<Response<proto::CreateChallengeResponse>, Status> {
        use prost::Message;
        assert!(
            request.metadata().get("authorization").is_none(),
            "otp-api never sees sessions"
        );
        let request = request.into_inner();
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner();
        IdempotencyKey::parse(request.idempotency_key.as_str())?;
        let body = request.encode_to_vec();
        if let Some((known, id)) = inner.by_key.get(&request.idempotency_key) {
            if *known != body {
                return Err(Refusal::new(Code::AlreadyExists, "idempotency.conflict").into());
            }
            let challenge = described(id, &inner.made[id]);
            return Ok(Response::new(proto::CreateChallengeResponse {
                challenge: Some(challenge),
            }));
        }
        let binding = request.binding.clone().expect("a binding");
        let id = format!("challenge-{}", inner.made.len());
        let code = format!("{:06}", 100_000 + inner.made.len() * 7);
        let made = Made {
            code: code.clone(),
            expires_at_ms: now_ms + 600_000,
            resend_at_ms: now_ms + 60_000,
            resent_as: String::new(),
            sends_left: 2,
            tries: inner.tries,
            tries_left: inner.tries,
            used: false,
            cancelled: false,
            state: watch::Sender::new(proto::MessageState::Queued),
            binding: binding.clone(),
        };
        let challenge = described(&id, &made);
        inner.sent.push(Sms {
            to: binding.number.clone(),
            code,
            purpose: binding.purpose(),
        });
        inner
            .by_key
            .insert(request.idempotency_key.clone(), (body, id.clone()));
        inner.made.insert(id, made);
        inner.creates.push(request);
        Ok(Response::new(proto::CreateChallengeResponse {
            challenge: Some(challenge),
        }))
    }

    async fn verify_challenge(
        &self,
        request: Request<proto::VerifyChallengeRequest>,
    ) -> Result<Response<proto::VerifyChallengeResponse>, Status> {
        let request = request.into_inner();
        self.arrivals.send_modify(|count| *count += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner();
        inner.asked += 1;
        inner.request_ids.insert(request.request_id.clone());
        let fault = inner.faults.pop_front();
        if fault == Some(Fault::Away) {
            return Err(silence());
        }
        if fault == Some(Fault::FailedOver) {
            inner.forget_attempts();
        }
        let (verdict, tries_left) = inner.decide(&request, now_ms);
        if fault == Some(Fault::LostAnswer) {
            return Err(silence());
        }
        Ok(Response::new(proto::VerifyChallengeResponse {
            verdict: verdict.into(),
            tries_left,
        }))
    }

    async fn resend_challenge(
        &self,
        request: Request<proto::ResendChallengeRequest>,
    ) -> Result<Response<proto::ResendChallengeResponse>, Status> {
        let request = request.into_inner();
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner();
        let made = inner.find(&request.challenge_id, request.binding.as_ref())?;
        if made.resent_as == request.idempotency_key {
            return Ok(Response::new(proto::ResendChallengeResponse {
                challenge: Some(described(&request.challenge_id, made)),
            }));
        }
        if now_ms < made.resend_at_ms {
            let wait = Duration::from_millis((made.resend_at_ms - now_ms) as u64);
            return Err(
                Refusal::new(Code::ResourceExhausted, "code.resend_too_early")
                    .retry_after(wait)
                    .into(),
            );
        }
        if made.sends_left == 0 {
            return Err(Refusal::new(Code::FailedPrecondition, "code.no_sends_left").into());
        }
        made.sends_left -= 1;
        made.resend_at_ms = now_ms + 60_000;
        made.resent_as.clone_from(&request.idempotency_key);
        let sms = Sms {
            to: made.binding.number.clone(),
            code: made.code.clone(),
            purpose: made.binding.purpose(),
        };
        let challenge = described(&request.challenge_id, made);
        inner.sent.push(sms);
        Ok(Response::new(proto::ResendChallengeResponse {
            challenge: Some(challenge),
        }))
    }

    async fn cancel_challenge(
        &self,
        request: Request<proto::CancelChallengeRequest>,
    ) -> Result<Response<proto::CancelChallengeResponse>, Status> {
        let request = request.into_inner();
        let mut inner = self.inner();
        if !inner.deaf_to_cancel {
            inner
                .find(&request.challenge_id, request.binding.as_ref())?
                .cancelled = true;
        }
        Ok(Response::new(proto::CancelChallengeResponse {}))
    }

    async fn get_challenge(
        &self,
        request: Request<proto::GetChallengeRequest>,
    ) -> Result<Response<proto::GetChallengeResponse>, Status> {
        let request = request.into_inner();
        let mut inner = self.inner();
        let made = inner.find(&request.challenge_id, request.binding.as_ref())?;
        Ok(Response::new(proto::GetChallengeResponse {
            challenge: Some(described(&request.challenge_id, made)),
        }))
    }

    type WatchChallengeStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchChallengeResponse, Status>> + Send>>;

    async fn watch_challenge(
        &self,
        request: Request<proto::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        let request = request.into_inner();
        let mut inner = self.inner();
        let made = inner.find(&request.challenge_id, request.binding.as_ref())?;
        let mut challenge = described(&request.challenge_id, made);
        let changes = WatchStream::new(made.state.subscribe()).map(move |state| {
            challenge.message_state = state.into();
            Ok(proto::WatchChallengeResponse {
                challenge: Some(challenge.clone()),
            })
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

#[tonic::async_trait]
impl NoticeService for FakeOtp {
    async fn send_notice(
        &self,
        request: Request<proto::SendNoticeRequest>,
    ) -> Result<Response<proto::SendNoticeResponse>, Status> {
        let request = request.into_inner();
        let mut inner = self.inner();
        if inner.notice_keys.insert(request.idempotency_key.clone()) {
            inner.notices.push(request);
            self.noticed.send_replace(inner.notices.len());
        }
        Ok(Response::new(proto::SendNoticeResponse {
            message_id: "m".into(),
        }))
    }
}
