//! Small stand-ins for identity, otp-api and account-admin, for the gateway's own tests: one person,
//! one organisation, and a record of every call.

mod admin;
mod identity;
mod otp;
mod two_factor;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sallyport_chassis::channel::{Outgoing, connect};
use sallyport_chassis::clock::to_proto;
use sallyport_chassis::config::PeerConfig;
use sallyport_chassis::{Clock, Refusal, SystemClock};
use sallyport_proto::admin::v1::{Licence, Profile, ProfileFields};
use sallyport_proto::identity::v1::{Challenge, MessageState, Purpose, SessionStage};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Status};

/// The one password that is right.
pub const PASSWORD: &str = "correct horse battery";
/// The one code that is right.
pub const CODE: &str = "042137";
/// The one recovery code that is right.
pub const RECOVERY_CODE: &str = "K7WD2-9RT4X-MQ03Z-8HVNB-5CYJ1";
/// The one code of the authenticator app that is right.
pub const APP_CODE: &str = "314159";
/// What the app is set up with.
pub const APP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// The same, as it is given back.
pub const APP_ENROLMENT: &str = "begun-by-this-session";
/// The one answer of a browser that is right, to either kind of question.
pub const CREDENTIAL: &str = r#"{"id":"right"}"#;
/// What a passkey is asked for or made with.
pub const PASSKEY_OPTIONS: &str = r#"{"challenge":"AAEC","rpId":"localhost"}"#;
/// The question that is open.
pub const CEREMONY: &str = "0198a1b2-0000-7000-8000-00000000c0de";
/// A one-time link that is good.
pub const LINK: &str = "spl_goodlink";

/// One with which a disabled factor is enrolled anew.
pub const ENROLMENT_LINK: &str = "spl_enrolmentlink";

/// How two browsers name themselves.
const LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36";
const PHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1";

/// A call as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// The RPC's name.
    pub rpc: &'static str,
    /// Idempotency key, or another detail that tests look at.
    pub detail: String,
    /// The metadata that the gateway sent.
    pub metadata: HashMap<String, String>,
}

/// Everything that the three services know.
pub struct World {
    pub calls: Vec<Call>,
    pub profile: Profile,
    /// Open sessions by token: stage, and whether the password is fresh.
    pub sessions: HashMap<String, (SessionStage, bool)>,
    pub two_factor: bool,
    /// Whether no factor works any more.
    pub disabled: bool,
    /// Whether sessions that await their second factor may enrol it anew.
    pub may_enrol: bool,
    pub confirmed_number: String,
    /// Whether an authenticator app is set up.
    pub authenticator: bool,
    /// Passkeys: id and name.
    pub passkeys: Vec<(String, String)>,
    pub second_factor_fresh: bool,
    /// Remembered browsers: id and browser.
    pub browsers: Vec<(String, String)>,
    pub challenge: Option<Challenge>,
    pub tries: u32,
    /// A refusal that the next call of an RPC gets.
    pub refuse: HashMap<&'static str, Refusal>,
    /// RPCs whose next call finds its service away.
    pub away: HashSet<&'static str>,
    pub recovery_codes_left: u32,
    pub permissions: Vec<String>,
    tokens: u32,
}

/// The three services.
#[derive(Clone)]
pub struct Fakes(Arc<Mutex<World>>);

impl Fakes {
    /// Somebody with 2FA on, or off.
    pub fn new(two_factor: bool) -> Self {
        let later = SystemClock.now() + Duration::from_secs(40 * 86_400);
        let number = "+14165550123".to_owned();
        Self(Arc::new(Mutex::new(World {
            calls: Vec::new(),
            profile: Profile {
                user_id: "0199e0a0-0000-7000-8000-000000000001".into(),
                version: 3,
                email: "ada@example.org".into(),
                licence: Some(Licence {
                    plan_id: "p1".into(),
                    plan_name: "Business Standard".into(),
                    expires_at: Some(to_proto(later)),
                }),
                fields: Some(ProfileFields {
                    first_name: "Ada".into(),
                    last_name: "Marchand".into(),
                    mobile_number: number.clone(),
                    default_sms_country: "CA".into(),
                    time_zone: "America/Toronto".into(),
                    date_format: "iso".into(),
                    locale: "en".into(),
                }),
                organisation_id: "0199e0a0-0000-7000-8000-0000000000aa".into(),
                organisation_name: "Example Surveying".into(),
                permissions: Vec::new(),
                two_factor_active: two_factor,
                last_sign_in_at: Some(to_proto(SystemClock.now())),
            },
            sessions: HashMap::new(),
            two_factor,
            disabled: false,
            may_enrol: false,
            confirmed_number: if two_factor { number } else { String::new() },
            authenticator: false,
            passkeys: Vec::new(),
            second_factor_fresh: false,
            browsers: [("b1", LINUX), ("b2", PHONE)]
                .map(|(id, agent)| (id.to_owned(), agent.to_owned()))
                .into(),
            challenge: None,
            tries: 5,
            refuse: HashMap::new(),
            away: HashSet::new(),
            recovery_codes_left: 3,
            permissions: ["user_management", "domain_management", "logs"]
                .map(Into::into)
                .into(),
            tokens: 0,
        })))
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The details of every call of an RPC.
    pub fn details(&self, rpc: &str) -> Vec<String> {
        let world = self.world();
        world
            .calls
            .iter()
            .filter(|c| c.rpc == rpc)
            .map(|c| c.detail.clone())
            .collect()
    }

    /// Refuses the next call of an RPC.
    pub fn refuse(&self, rpc: &'static str, refusal: Refusal) {
        self.world().refuse.insert(rpc, refusal);
    }

    /// Fails the next call of an RPC: nothing is done, and the answer is no refusal.
    pub fn fail(&self, rpc: &'static str) {
        self.world().away.insert(rpc);
    }

    /// Opens a session and gives its token.
    pub fn session(&self, stage: SessionStage) -> String {
        self.world().open(stage, false)
    }

    /// Serves all three on one socket; the channel reaches each.
    pub async fn serve(&self) -> Outgoing {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let router = tonic::transport::Server::builder();
        let router = identity::add(self, router);
        let router = otp::add(self, router);
        let router = admin::add(self, router);
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(socket)));
        connect(&PeerConfig { url, tls: None }, "fake").unwrap()
    }

    /// Records a call, and refuses or fails it where a test said so.
    fn take<T>(
        &self,
        rpc: &'static str,
        request: &Request<T>,
        detail: &str,
    ) -> Result<MutexGuard<'_, World>, Status> {
        let mut world = self.world();
        let metadata = request
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_str().unwrap_or_default().to_owned()))
            .collect();
        world.calls.push(Call {
            rpc,
            detail: detail.to_owned(),
            metadata,
        });
        if world.away.remove(rpc) {
            return Err(Status::unavailable("away"));
        }
        match world.refuse.remove(rpc) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(world),
        }
    }

    /// The same for a call with a session: its token comes with it.
    fn take_session<T>(
        &self,
        rpc: &'static str,
        request: &Request<T>,
        detail: &str,
    ) -> Result<(MutexGuard<'_, World>, String), Status> {
        let header = request.metadata().get("authorization");
        let token = header
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer "))
            .unwrap_or_default()
            .to_owned();
        let world = self.take(rpc, request, detail)?;
        if !world.sessions.contains_key(&token) {
            let reason = if token.is_empty() {
                "session.required"
            } else {
                "session.expired"
            };
            return Err(refused(Code::Unauthenticated, reason));
        }
        Ok((world, token))
    }

    /// The same for a call that needs both steps.
    fn take_signed_in<T>(
        &self,
        rpc: &'static str,
        request: &Request<T>,
        detail: &str,
    ) -> Result<(MutexGuard<'_, World>, String), Status> {
        let (world, token) = self.take_session(rpc, request, detail)?;
        if world.sessions[&token].0 != SessionStage::SignedIn {
            return Err(refused(Code::FailedPrecondition, "second_factor_required"));
        }
        Ok((world, token))
    }
}

impl World {
    fn open(&mut self, stage: SessionStage, fresh: bool) -> String {
        self.tokens += 1;
        let token = format!("sps_token-{}", self.tokens);
        self.sessions.insert(token.clone(), (stage, fresh));
        token
    }

    /// A new token in place of the old one.
    fn replace(&mut self, old: &str, stage: SessionStage, fresh: bool) -> String {
        self.sessions.remove(old);
        self.open(stage, fresh)
    }

    /// A code is under way.
    pub fn send(&mut self, purpose: Purpose) -> Option<Challenge> {
        let now = SystemClock.now();
        self.tries = 5;
        self.challenge = Some(Challenge {
            purpose: purpose.into(),
            reference: "KTR".into(),
            number_ending: "23".into(),
            expires_at: Some(to_proto(now + Duration::from_secs(600))),
            resend_at: Some(to_proto(now + Duration::from_secs(45))),
            sends_left: 2,
            tries_left: 5,
            message_state: MessageState::Submitted.into(),
            failure_reason: String::new(),
        });
        self.challenge.clone()
    }
}

fn refused(code: Code, reason: &str) -> Status {
    Refusal::new(code, reason).into()
}
