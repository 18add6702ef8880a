//! identity as it runs, between an otp-api and an event log that the tests hold in their hands.

use std::sync::Arc;
use std::time::Duration;

use identity::config::Config;
use identity::store::second_steps;
use identity::{Wiring, run};
use sallyport_chassis::channel::{Dialler, Outgoing};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Clock, Peer, Refusal, SecretUrl};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_sql::{Database, DatabaseConfig};
use sallyport_testkit::{ManualClock, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::fake_log::FakeLog;
use crate::fake_otp::FakeOtp;
use crate::session::Answer;
pub use crate::session::Session;

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
    config: Config,
    dialler: Dialler,
    pub database: Database,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    pub folder: Arc<tempfile::TempDir>,
    _postgres: Option<Arc<TestDatabase>>,
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
        let database = Database::connect(&config.database, "identity")
            .await
            .unwrap();
        let (dialler, stop, running) = serve(&config, &clock, &otp, &log);
        Self {
            clock,
            otp,
            log,
            config,
            dialler,
            database,
            stop,
            running,
            folder: Arc::new(folder),
            _postgres: postgres.map(Arc::new),
        }
    }

    /// Another process of the service, over the same store, keys and otp-api.
    pub fn beside(&self) -> Self {
        let (dialler, stop, running) = serve(&self.config, &self.clock, &self.otp, &self.log);
        Self {
            clock: self.clock.clone(),
            otp: self.otp.clone(),
            log: self.log.clone(),
            config: self.config.clone(),
            dialler,
            database: self.database.clone(),
            stop,
            running,
            folder: self.folder.clone(),
            _postgres: self._postgres.clone(),
        }
    }

    /// Ends the service in order and starts it anew over the same store; its keys are read then.
    pub async fn restart(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap().unwrap();
        (self.dialler, self.stop, self.running) =
            serve(&self.config, &self.clock, &self.otp, &self.log);
    }

    /// Ends the service; it must end in order.
    pub async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    fn gateway(&self) -> Outgoing {
        self.dialler.channel(Peer::service("gateway"))
    }

    /// The present instant, unix seconds.
    pub fn clock_seconds(&self) -> i64 {
        self.clock.now().as_second()
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

    /// Waits until no event is on its way to the log.
    pub async fn events_delivered(&self) {
        while self.rows("outbox WHERE topic = 'events'").await > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until there are so many mails of this subject to the user, and returns the newest.
    pub async fn mail(&self, user: &User, subject: &str, count: usize) -> proto::Mail {
        let mut inbox = MailInboxServiceClient::new(self.gateway());
        let mut mails: Vec<proto::Mail> = Vec::new();
        let found = |mails: &[proto::Mail]| mails.iter().filter(|m| m.subject == subject).count();
        while found(&mails) < count {
            let request = proto::ListMailsRequest {
                to: user.email.clone(),
                wait_seconds: 8,
                after: u32::try_from(mails.len()).unwrap(),
            };
            let more = inbox.list_mails(request).await.unwrap().into_inner().mails;
            assert!(!more.is_empty(), "{count} mails “{subject}” arrive");
            mails.extend(more);
        }
        mails.retain(|mail| mail.subject == subject);
        mails.pop().unwrap()
    }

    /// The token of the newest link to enrol anew, which is the n-th.
    pub async fn enrolment_link(&self, user: &User, nth: usize) -> String {
        link_of(&self.mail(user, "Set up your codes again", nth).await)
    }

    /// Sets another password by a mailed link, as somebody does who has the mailbox alone.
    pub async fn reset_password(&self, user: &User, new: &str) {
        self.reset_password_for_the(1, user, new).await;
    }

    /// The same for the n-th time.
    pub async fn reset_password_for_the(&self, nth: usize, user: &User, new: &str) {
        let mut passwords = PasswordServiceClient::new(self.gateway());
        let request = proto::RequestPasswordResetRequest {
            email: user.email.clone(),
        };
        passwords.request_password_reset(request).await.unwrap();
        let link = link_of(&self.mail(user, "Set a new password", nth).await);
        self.set_password_by_link(&link, new).await.unwrap();
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

    /// Tries to set a password with a link.
    pub async fn set_password_by_link(&self, link_token: &str, new: &str) -> Answer<()> {
        PasswordServiceClient::new(self.gateway())
            .set_password_by_link(proto::SetPasswordByLinkRequest {
                link_token: link_token.into(),
                password: new.into(),
            })
            .await?;
        Ok(())
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

    /// A session as this process meets it.
    pub fn here(&self, session: &Session) -> Session {
        Session {
            channel: self.gateway(),
            ..session.clone()
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

fn serve(
    config: &Config,
    clock: &ManualClock,
    otp: &FakeOtp,
    log: &FakeLog,
) -> (Dialler, CancellationToken, JoinHandle<anyhow::Result<()>>) {
    let (dialler, listener) = Listener::memory();
    let wiring = Wiring {
        listener,
        clock: Arc::new(clock.clone()),
        otp: otp.serve(),
        account_admin: log.serve(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config.clone(), wiring, stop.clone()));
    (dialler, stop, running)
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

/// The token of the link in a mail.
fn link_of(mail: &proto::Mail) -> String {
    let mut words = mail.text.split_whitespace();
    let link = words.find_map(|word| word.split_once("/link/"));
    link.expect("a link").1.to_owned()
}
