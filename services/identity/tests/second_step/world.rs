//! identity as it runs, between an otp-api and an event log that the tests hold in their hands.

use std::sync::Arc;
use std::time::Duration;

use identity::config::Config;
use identity::store::second_steps;
use identity::{Wiring, run};
use sallyport_chassis::channel::{Dialler, Outgoing};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Peer, Refusal, SecretUrl};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_sql::{Database, DatabaseConfig};
use sallyport_testkit::{ManualClock, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::fake_log::FakeLog;
use crate::fake_otp::FakeOtp;

/// Long enough to stand alone (15 code points).
pub const PASSWORD: &str = "sixteen brown foxes jump";
pub const NUMBER: &str = "+33612345678";
pub const OTHER_NUMBER: &str = "+33698765432";
pub const WRONG: &str = "999999";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

pub struct World {
    pub clock: ManualClock,
    pub otp: FakeOtp,
    pub log: FakeLog,
    dialler: Dialler,
    pub database: Database,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
    _postgres: Option<TestDatabase>,
}

impl World {
    pub async fn start(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(sallyport_testkit::postgres().await.unwrap()),
        };
        let url = match &postgres {
            None => format!("sqlite://{}", folder.path().join("data").display()),
            Some(database) => database.url.clone(),
        };
        let mut config = Config::load(None).unwrap();
        config.database = DatabaseConfig {
            url: SecretUrl::new(url),
            max_connections: 10,
            migrate_at_start: true,
        };
        config.keys.folder = folder.path().join("keys");
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let otp = FakeOtp::new(clock.clone());
        let log = FakeLog::default();
        let (dialler, listener) = Listener::memory();
        let wiring = Wiring {
            listener,
            clock: Arc::new(clock.clone()),
            otp: otp.serve(),
            account_admin: log.serve(),
        };
        let database = Database::connect(&config.database, "identity")
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(config, wiring, stop.clone()));
        Self {
            clock,
            otp,
            log,
            dialler,
            database,
            stop,
            running,
            _folder: folder,
            _postgres: postgres,
        }
    }

    /// Ends the service; it must end in order.
    pub async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    fn gateway(&self) -> Outgoing {
        self.dialler.channel(Peer::service("gateway"))
    }

    pub fn advance_seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn advance_minutes(&self, minutes: u64) {
        self.advance_seconds(minutes * 60);
    }

    /// The user's row of the second step, as it is stored.
    pub async fn step(&self, user: &User) -> second_steps::Model {
        second_steps::find(self.database.connection(), user.id)
            .await
            .unwrap()
            .expect("a row")
    }

    /// How many rows a table has.
    pub async fn rows(&self, table: &str) -> i64 {
        use sea_orm::ConnectionTrait;
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        let row = self.database.connection();
        let statement = sea_orm::Statement::from_string(self.database.backend(), sql);
        row.query_one_raw(statement)
            .await
            .unwrap()
            .unwrap()
            .try_get("", "n")
            .unwrap()
    }

    /// Whether the call comes to wait for a row lock of PostgreSQL, rather than to its end.
    pub async fn waits<T>(&self, call: &JoinHandle<T>) -> bool {
        loop {
            // In this order: a call that ended did not wait.
            let ended = call.is_finished();
            let waiting = "pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock'";
            if self.rows(waiting).await > 0 {
                return true;
            }
            if ended {
                return false;
            }
            tokio::task::yield_now().await;
        }
    }

    pub async fn user(&self, name: &str) -> User {
        self.user_with(name, |_| {}).await
    }

    /// A user with a password.
    pub async fn user_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut proto::UserProjection),
    ) -> User {
        let id = Uuid::now_v7();
        let mut projection = proto::UserProjection {
            user_id: id.to_string(),
            organisation_id: Uuid::now_v7().to_string(),
            version: 1,
            email: format!("{name}@example.com"),
            status: proto::UserStatus::Active.into(),
            permissions: Vec::new(),
            two_factor_required: false,
            locale: "en".into(),
            licensed: true,
            context_words: Vec::new(),
        };
        change(&mut projection);
        let user = User {
            id,
            email: projection.email.clone(),
            projection,
        };
        self.put(&user).await;
        let mut admin =
            ProjectionServiceClient::new(self.dialler.channel(Peer::service("account-admin")));
        let link = admin
            .invite_user(proto::InviteUserRequest {
                user_id: id.to_string(),
                idempotency_key: "invitation".into(),
            })
            .await
            .unwrap()
            .into_inner()
            .link_token;
        PasswordServiceClient::new(self.gateway())
            .set_password_by_link(proto::SetPasswordByLinkRequest {
                link_token: link,
                password: PASSWORD.into(),
            })
            .await
            .unwrap();
        user
    }

    /// Tells identity of the user.
    pub async fn put(&self, user: &User) {
        ProjectionServiceClient::new(self.dialler.channel(Peer::service("account-admin")))
            .put_user(proto::PutUserRequest {
                user: Some(user.projection.clone()),
            })
            .await
            .unwrap();
    }

    pub async fn sign_in(&self, user: &User) -> Session {
        self.sign_in_with(user, PASSWORD, "").await
    }

    pub async fn sign_in_with(&self, user: &User, password: &str, browser: &str) -> Session {
        let answer = SignInServiceClient::new(self.gateway())
            .sign_in(proto::SignInRequest {
                email: user.email.clone(),
                password: password.into(),
                browser_token: browser.into(),
            })
            .await
            .unwrap()
            .into_inner();
        Session {
            stage: answer.stage(),
            token: answer.session_token,
            channel: self.gateway(),
        }
    }

    /// A user with two-factor authentication on `NUMBER`, the session that switched it on, and the
    /// recovery codes.
    pub async fn enrolled(&self, name: &str) -> (User, Session, Vec<String>) {
        let user = self.user(name).await;
        let mut session = self.sign_in(&user).await;
        let codes = session.enrol(&self.otp, NUMBER).await;
        (user, session, codes)
    }

    /// A session that awaits its second factor, with a code sent.
    pub async fn awaiting(&self, user: &User) -> Session {
        let session = self.sign_in(user).await;
        assert_eq!(session.stage, proto::SessionStage::AwaitingSecondFactor);
        session.send_sign_in(&new_key()).await.unwrap();
        session
    }

    /// A session through both steps.
    pub async fn signed_in_twice(&self, user: &User, number: &str) -> Session {
        let mut session = self.awaiting(user).await;
        session.give(&self.otp.newest_code(number)).await.unwrap();
        session
    }
}

pub struct User {
    pub id: Uuid,
    pub email: String,
    pub projection: proto::UserProjection,
}

/// A new idempotency key.
pub fn new_key() -> String {
    Uuid::now_v7().to_string()
}

#[derive(Clone)]
pub struct Session {
    pub stage: proto::SessionStage,
    pub token: String,
    channel: Outgoing,
}

type Answer<T> = Result<T, Status>;

impl Session {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
            .metadata_mut()
            .insert("x-client-ip", "203.0.113.9".parse().unwrap());
        request
    }

    fn codes(&self) -> CodeServiceClient<Outgoing> {
        CodeServiceClient::new(self.channel.clone())
    }

    fn two_factor(&self) -> TwoFactorServiceClient<Outgoing> {
        TwoFactorServiceClient::new(self.channel.clone())
    }

    fn sign_in_service(&self) -> SignInServiceClient<Outgoing> {
        SignInServiceClient::new(self.channel.clone())
    }

    pub async fn send_sign_in(&self, key: &str) -> Answer<proto::Challenge> {
        let message = proto::SendSignInCodeRequest {
            idempotency_key: key.into(),
        };
        let answer = self
            .codes()
            .send_sign_in_code(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn send_step_up(&self) -> Answer<proto::Challenge> {
        let message = proto::SendStepUpCodeRequest {
            idempotency_key: new_key(),
        };
        let answer = self
            .codes()
            .send_step_up_code(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// Sends a step-up code and gives it.
    pub async fn step_up(&mut self, world: &World, number: &str) {
        self.send_step_up().await.unwrap();
        self.give(&world.otp.newest_code(number)).await.unwrap();
    }

    /// Gives a code without keeping the new token.
    pub async fn verify(&self, code: &str) -> Answer<proto::VerifyCodeResponse> {
        let message = proto::VerifyCodeRequest {
            code: code.into(),
            remember_browser: false,
        };
        let answer = self.codes().verify_code(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Gives a code and goes on with the new token.
    pub async fn give(&mut self, code: &str) -> Answer<proto::VerifyCodeResponse> {
        let answer = self.verify(code).await?;
        self.token.clone_from(&answer.session_token);
        Ok(answer)
    }

    /// Gives a code and has the browser remembered; its token.
    pub async fn give_and_remember(&mut self, code: &str) -> String {
        let message = proto::VerifyCodeRequest {
            code: code.into(),
            remember_browser: true,
        };
        let answer = self
            .codes()
            .verify_code(self.request(message))
            .await
            .unwrap()
            .into_inner();
        self.token = answer.session_token;
        answer.browser_token
    }

    pub async fn resend(&self) -> Answer<proto::Challenge> {
        let message = proto::ResendCodeRequest {
            idempotency_key: new_key(),
        };
        let answer = self.codes().resend_code(self.request(message)).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn cancel(&self) -> Answer<()> {
        let message = proto::CancelChallengeRequest {};
        self.codes().cancel_challenge(self.request(message)).await?;
        Ok(())
    }

    pub async fn challenge(&self) -> Answer<proto::Challenge> {
        let message = proto::GetChallengeRequest {};
        let answer = self.codes().get_challenge(self.request(message)).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn watch(&self) -> Answer<tonic::Streaming<proto::WatchChallengeResponse>> {
        let message = proto::WatchChallengeRequest {};
        Ok(self
            .codes()
            .watch_challenge(self.request(message))
            .await?
            .into_inner())
    }

    pub async fn recover(&mut self, code: &str) -> Answer<u32> {
        let message = proto::UseRecoveryCodeRequest {
            recovery_code: code.into(),
        };
        let answer = self
            .codes()
            .use_recovery_code(self.request(message))
            .await?
            .into_inner();
        self.token = answer.session_token;
        Ok(answer.recovery_codes_left)
    }

    pub async fn two_factor_state(&self) -> Answer<proto::GetTwoFactorResponse> {
        let message = proto::GetTwoFactorRequest {};
        Ok(self
            .two_factor()
            .get_two_factor(self.request(message))
            .await?
            .into_inner())
    }

    pub async fn enable(&self, number: &str, key: &str) -> Answer<proto::EnableTwoFactorResponse> {
        let message = proto::EnableTwoFactorRequest {
            number: number.into(),
            idempotency_key: key.into(),
        };
        Ok(self
            .two_factor()
            .enable_two_factor(self.request(message))
            .await?
            .into_inner())
    }

    /// Ticks the box and gives the code; the recovery codes.
    pub async fn enrol(&mut self, otp: &FakeOtp, number: &str) -> Vec<String> {
        let answer = self.enable(number, &new_key()).await.unwrap();
        assert!(!answer.active && answer.challenge.is_some());
        let answer = self.give(&otp.newest_code(number)).await.unwrap();
        assert_eq!(answer.purpose(), proto::Purpose::Enrolment);
        answer.recovery_codes
    }

    pub async fn change_number(&self, number: &str) -> Answer<proto::Challenge> {
        let message = proto::ChangeNumberRequest {
            number: number.into(),
            idempotency_key: new_key(),
        };
        let answer = self
            .two_factor()
            .change_number(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn disable(&mut self) -> Answer<()> {
        let message = proto::DisableTwoFactorRequest {};
        let answer = self
            .two_factor()
            .disable_two_factor(self.request(message))
            .await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    pub async fn remake_codes(&self) -> Answer<Vec<String>> {
        let message = proto::RemakeRecoveryCodesRequest {};
        let answer = self
            .two_factor()
            .remake_recovery_codes(self.request(message))
            .await?;
        Ok(answer.into_inner().recovery_codes)
    }

    pub async fn confirm_password(&mut self) {
        let message = proto::ConfirmPasswordRequest {
            password: PASSWORD.into(),
        };
        let answer = PasswordServiceClient::new(self.channel.clone())
            .confirm_password(self.request(message))
            .await
            .unwrap();
        self.token = answer.into_inner().session_token;
    }

    pub async fn change_password(&mut self, new: &str) {
        self.change_password_from(PASSWORD, new).await;
    }

    pub async fn change_password_from(&mut self, current: &str, new: &str) {
        let message = proto::ChangePasswordRequest {
            current_password: current.into(),
            new_password: new.into(),
        };
        let answer = PasswordServiceClient::new(self.channel.clone())
            .change_password(self.request(message))
            .await
            .unwrap();
        self.token = answer.into_inner().session_token;
    }

    pub async fn who(&self) -> Answer<proto::Session> {
        let message = proto::GetSessionRequest {};
        let answer = self
            .sign_in_service()
            .get_session(self.request(message))
            .await?;
        Ok(answer.into_inner().session.unwrap())
    }

    pub async fn sign_out(&self) {
        let message = proto::SignOutRequest {};
        self.sign_in_service()
            .sign_out(self.request(message))
            .await
            .unwrap();
    }
}

/// The stable reason of a refusal; the bare message of a failure.
pub fn reason(status: &Status) -> String {
    Refusal::from_status(status)
        .map_or_else(|| status.message().to_owned(), |refusal| refusal.reason)
}

/// The reason of a call that must have been refused.
pub fn refused<T>(answer: Answer<T>) -> String {
    match answer {
        Ok(_) => panic!("the call was not refused"),
        Err(status) => reason(&status),
    }
}

/// The refusal of a call that must have been refused.
pub fn refusal<T>(answer: Answer<T>) -> Refusal {
    match answer {
        Ok(_) => panic!("the call was not refused"),
        Err(status) => Refusal::from_status(&status).expect("a refusal, no failure"),
    }
}
