//! identity as it runs, with time, mails and events in the tests' hands.

use std::sync::Arc;
use std::time::Duration;

use identity::config::Config;
use identity::{Wiring, run};
use sallyport_chassis::channel::{Dialler, Outgoing};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Peer, Refusal, SecretUrl};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_sql::{Database, DatabaseConfig};
use sallyport_testkit::{ManualClock, TestDatabase};
use sea_orm::{ConnectionTrait, Statement, TryGetable};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::log::Log;

/// Long enough to stand alone (15 code points).
pub const PASSWORD: &str = "sixteen brown foxes jump";
pub const OTHER_PASSWORD: &str = "eleven grey herons wade";
pub const ADDRESS: &str = "192.0.2.7";

pub struct World {
    pub clock: ManualClock,
    pub log: Log,
    pub database: Database,
    pub config: Config,
    dialler: Dialler,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    pub folder: Arc<tempfile::TempDir>,
    _postgres: Option<Arc<TestDatabase>>,
}

#[derive(Clone)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub projection: proto::UserProjection,
}

impl World {
    pub async fn on_sqlite() -> Self {
        Self::start(None).await
    }

    pub async fn on_postgres() -> Self {
        Self::start(Some(sallyport_testkit::postgres().await.unwrap())).await
    }

    async fn start(postgres: Option<TestDatabase>) -> Self {
        let folder = tempfile::tempdir().unwrap();
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
        // Tests run side by side on few cores: what waits for a thread is not what they are about.
        config.identity.password.longest_queue = Duration::from_secs(60);
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let log = Log::default();
        let database = Database::connect(&config.database, "identity")
            .await
            .unwrap();
        let (dialler, stop, running) = serve(&config, &clock, &log);
        Self {
            clock,
            log,
            database,
            config,
            dialler,
            stop,
            running,
            folder: Arc::new(folder),
            _postgres: postgres.map(Arc::new),
        }
    }

    /// Another process of the service, over the same store; its keys are read now.
    pub fn beside(&self) -> Self {
        let (dialler, stop, running) = serve(&self.config, &self.clock, &self.log);
        Self {
            clock: self.clock.clone(),
            log: self.log.clone(),
            database: self.database.clone(),
            config: self.config.clone(),
            dialler,
            stop,
            running,
            folder: self.folder.clone(),
            _postgres: self._postgres.clone(),
        }
    }

    /// Ends the service in order and starts it anew over the same store and keys.
    pub async fn restart(&mut self, change: impl FnOnce(&mut Config)) {
        self.stop.cancel();
        (&mut self.running).await.unwrap().unwrap();
        change(&mut self.config);
        (self.dialler, self.stop, self.running) = serve(&self.config, &self.clock, &self.log);
    }

    /// Ends the service; it must end in order.
    pub async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn as_peer(&self, peer: Peer) -> Outgoing {
        self.dialler.channel(peer)
    }

    pub fn gateway(&self) -> Outgoing {
        self.as_peer(Peer::service("gateway"))
    }

    pub fn passwords(&self) -> PasswordServiceClient<Outgoing> {
        PasswordServiceClient::new(self.gateway())
    }

    pub fn sign_ins(&self) -> SignInServiceClient<Outgoing> {
        SignInServiceClient::new(self.gateway())
    }

    pub fn projections(&self) -> ProjectionServiceClient<Outgoing> {
        ProjectionServiceClient::new(self.as_peer(Peer::service("account-admin")))
    }

    /// A user without a password.
    pub async fn invited(
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
            permissions: vec!["user_management".to_owned(), "logs".to_owned()],
            two_factor_required: false,
            locale: "en".to_owned(),
            licensed: true,
            context_words: vec!["Norrland Timber".to_owned()],
        };
        change(&mut projection);
        let user = User {
            id,
            email: projection.email.clone(),
            projection,
        };
        self.put(&user.projection).await.unwrap();
        user
    }

    /// A user with a password.
    pub async fn user(&self, name: &str) -> User {
        let user = self.invited(name, |_| {}).await;
        let link = self.invite(&user, "first").await.unwrap();
        self.set_by_link(&link.link_token, PASSWORD).await.unwrap();
        user
    }

    pub async fn put(&self, user: &proto::UserProjection) -> Result<u64, Status> {
        let user = Some(user.clone());
        let put = self
            .projections()
            .put_user(proto::PutUserRequest { user })
            .await?;
        Ok(put.into_inner().version)
    }

    /// The user's next version, changed.
    pub async fn change(&self, user: &mut User, change: impl FnOnce(&mut proto::UserProjection)) {
        user.projection.version += 1;
        change(&mut user.projection);
        self.put(&user.projection).await.unwrap();
    }

    pub async fn invite(
        &self,
        user: &User,
        key: &str,
    ) -> Result<proto::InviteUserResponse, Status> {
        let request = proto::InviteUserRequest {
            user_id: user.id.to_string(),
            idempotency_key: key.to_owned(),
        };
        Ok(self.projections().invite_user(request).await?.into_inner())
    }

    pub async fn set_by_link(&self, link: &str, password: &str) -> Result<String, Status> {
        let request = proto::SetPasswordByLinkRequest {
            link_token: link.to_owned(),
            password: password.to_owned(),
        };
        let set = self.passwords().set_password_by_link(request).await?;
        Ok(set.into_inner().email)
    }

    pub async fn request_reset(&self, email: &str) -> Result<(), Status> {
        self.request_reset_from(email, ADDRESS).await
    }

    pub async fn request_reset_from(&self, email: &str, address: &str) -> Result<(), Status> {
        let mut request = Request::new(proto::RequestPasswordResetRequest {
            email: email.to_owned(),
        });
        request
            .metadata_mut()
            .insert("x-client-ip", address.parse().unwrap());
        self.passwords().request_password_reset(request).await?;
        Ok(())
    }

    /// Signs in from an address with a browser's token.
    pub async fn try_sign_in(
        &self,
        email: &str,
        password: &str,
        address: &str,
        browser_token: &str,
    ) -> Result<proto::SignInResponse, Status> {
        let mut request = Request::new(proto::SignInRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            browser_token: browser_token.to_owned(),
        });
        request
            .metadata_mut()
            .insert("x-client-ip", address.parse().unwrap());
        request
            .metadata_mut()
            .insert("x-user-agent", "Firefox".parse().unwrap());
        Ok(self.sign_ins().sign_in(request).await?.into_inner())
    }

    pub async fn guess(&self, email: &str, address: &str) -> Status {
        self.try_sign_in(email, "not the password", address, "")
            .await
            .unwrap_err()
    }

    pub async fn sign_in(&self, user: &User) -> Session {
        let opened = self
            .try_sign_in(&user.email, PASSWORD, ADDRESS, "")
            .await
            .unwrap();
        self.session(&opened.session_token)
    }

    pub fn session(&self, token: &str) -> Session {
        Session {
            gateway: self.gateway(),
            token: token.to_owned(),
        }
    }

    /// Waits until there are so many mails to the address, and returns them.
    pub async fn mails(&self, to: &str, count: usize) -> Vec<proto::Mail> {
        let mut inbox = MailInboxServiceClient::new(self.gateway());
        let mut mails = Vec::new();
        while mails.len() < count {
            let request = proto::ListMailsRequest {
                to: to.to_owned(),
                wait_seconds: 8,
                after: mails.len() as u32,
            };
            let more = inbox.list_mails(request).await.unwrap().into_inner().mails;
            assert!(
                !more.is_empty(),
                "{count} mails to {to} arrive, there are {}",
                mails.len()
            );
            mails.extend(more);
        }
        mails
    }

    /// Waits until every mail job so far was done, and returns the mails to the address.
    pub async fn all_mails(&self, to: &str) -> Vec<proto::Mail> {
        let left = "SELECT COUNT(*) FROM outbox WHERE topic = 'mail'";
        while self.value::<i64>(left).await > 0 {
            tokio::task::yield_now().await;
        }
        let request = proto::ListMailsRequest {
            to: to.to_owned(),
            wait_seconds: 0,
            after: 0,
        };
        let mut inbox = MailInboxServiceClient::new(self.gateway());
        inbox.list_mails(request).await.unwrap().into_inner().mails
    }

    pub async fn execute(&self, sql: &str) -> u64 {
        let connection = self.database.connection();
        connection
            .execute_unprepared(sql)
            .await
            .unwrap()
            .rows_affected()
    }

    /// The only value of a query's only row.
    pub async fn value<T: TryGetable>(&self, sql: &str) -> T {
        let statement = Statement::from_string(self.database.backend(), sql);
        let connection = self.database.connection();
        let row = connection
            .query_one_raw(statement)
            .await
            .unwrap()
            .expect("a row");
        row.try_get_by_index(0).unwrap()
    }
}

fn serve(
    config: &Config,
    clock: &ManualClock,
    log: &Log,
) -> (Dialler, CancellationToken, JoinHandle<anyhow::Result<()>>) {
    let (dialler, listener) = Listener::memory();
    // Nobody answers there: the first step asks nothing of otp-api.
    let (nobody, _) = Listener::memory();
    let wiring = Wiring {
        listener,
        clock: Arc::new(clock.clone()),
        otp: nobody.channel(Peer::service("identity")),
        account_admin: log.serve(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(config.clone(), wiring, stop.clone()));
    (dialler, stop, running)
}

#[derive(Clone)]
pub struct Session {
    gateway: Outgoing,
    pub token: String,
}

impl Session {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
            .metadata_mut()
            .insert("x-client-ip", ADDRESS.parse().unwrap());
        request
    }

    fn sign_ins(&self) -> SignInServiceClient<Outgoing> {
        SignInServiceClient::new(self.gateway.clone())
    }

    fn passwords(&self) -> PasswordServiceClient<Outgoing> {
        PasswordServiceClient::new(self.gateway.clone())
    }

    pub async fn who(&self) -> Result<proto::Session, Status> {
        let request = self.request(proto::GetSessionRequest {});
        let answer = self.sign_ins().get_session(request).await?;
        Ok(answer.into_inner().session.unwrap())
    }

    pub async fn list(&self) -> Result<Vec<proto::OpenSession>, Status> {
        let request = self.request(proto::ListSessionsRequest {});
        Ok(self
            .sign_ins()
            .list_sessions(request)
            .await?
            .into_inner()
            .sessions)
    }

    pub async fn revoke(&self, session_id: &str) -> Result<u32, Status> {
        let session_id = session_id.to_owned();
        let request = self.request(proto::RevokeSessionsRequest { session_id });
        Ok(self
            .sign_ins()
            .revoke_sessions(request)
            .await?
            .into_inner()
            .ended)
    }

    pub async fn sign_out(&self) -> Result<(), Status> {
        let request = self.request(proto::SignOutRequest {});
        self.sign_ins().sign_out(request).await.map(|_| ())
    }

    pub async fn confirm(&self, password: &str) -> Result<String, Status> {
        let password = password.to_owned();
        let request = self.request(proto::ConfirmPasswordRequest { password });
        let answer = self.passwords().confirm_password(request).await?;
        Ok(answer.into_inner().session_token)
    }

    pub async fn change(&self, current: &str, new: &str) -> Result<String, Status> {
        let request = self.request(proto::ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: new.to_owned(),
        });
        let answer = self.passwords().change_password(request).await?;
        Ok(answer.into_inner().session_token)
    }
}

pub fn refusal(status: &Status) -> Refusal {
    Refusal::from_status(status).unwrap_or_else(|| panic!("a refusal, not {status:?}"))
}

pub fn reason<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => "accepted".to_owned(),
        Err(status) => refusal(&status).reason,
    }
}

pub fn inner<T>(answer: Result<Response<T>, Status>) -> Result<T, Status> {
    answer.map(Response::into_inner)
}

/// The token of the link in a mail.
pub fn link_of(mail: &proto::Mail) -> String {
    let link = mail
        .text
        .split_whitespace()
        .find_map(|word| word.split_once("/link/"))
        .expect("a link");
    link.1.to_owned()
}

/// The same of the newest mail with one: a batch of mails leaves in any order, so that a notice of
/// what came before may stand behind it.
pub fn newest_link(mails: &[proto::Mail]) -> String {
    links_in(mails).pop().expect("a mail with a link")
}

/// The tokens of all links in mails.
pub fn links_in(mails: &[proto::Mail]) -> Vec<String> {
    let with_link = mails.iter().filter(|mail| mail.text.contains("/link/"));
    with_link.map(link_of).collect()
}
