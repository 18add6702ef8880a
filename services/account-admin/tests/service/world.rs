//! The running service and its callers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use account_admin::{Config, Settings, Wiring};
use sallyport_chassis::channel::{Dialler, Outgoing, connect_unix};
use sallyport_chassis::config::{LogFormat, Profile, TelemetryConfig};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Clock, Peer, Refusal, SecretUrl};
use sallyport_proto::admin::v1 as pb;
use sallyport_proto::identity::v1::{Session, SessionStage};
use sallyport_sql::{Database, DatabaseConfig};
use sallyport_testkit::{ManualClock, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use pb::domain_service_client::DomainServiceClient;
use pb::event_service_client::EventServiceClient;
use pb::licence_service_client::LicenceServiceClient;
use pb::organisation_service_client::OrganisationServiceClient;
use pb::profile_service_client::ProfileServiceClient;
use pb::user_service_client::UserServiceClient;

use crate::fake_identity::FakeIdentity;

pub const START: &str = "2026-11-24T03:00:00Z";

pub struct World {
    dialler: Dialler,
    pub identity: FakeIdentity,
    pub clock: ManualClock,
    config: DatabaseConfig,
    stop: CancellationToken,
    _task: JoinHandle<()>,
    _folder: tempfile::TempDir,
    _database: Option<TestDatabase>,
}

/// An organisation and its administrator's token.
#[derive(Clone, Debug)]
pub struct Org {
    pub id: String,
    pub admin: String,
    pub token: String,
    pub domain: String,
    pub plan: String,
}

impl World {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().display());
        Self::start(url, folder, None).await
    }

    pub async fn postgres() -> Self {
        let database = sallyport_testkit::postgres().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self::start(database.url.clone(), folder, Some(database)).await
    }

    async fn start(url: String, folder: tempfile::TempDir, database: Option<TestDatabase>) -> Self {
        let socket = folder.path().join("identity.sock");
        let identity = FakeIdentity::start(socket.clone());
        let clock = ManualClock::new(START.parse().unwrap());
        let database_config = DatabaseConfig {
            url: SecretUrl::new(url),
            max_connections: 16,
            migrate_at_start: true,
        };
        let config = Config {
            profile: Profile::Development,
            listen: None,
            database: database_config.clone(),
            telemetry: TelemetryConfig {
                log: "off".into(),
                log_format: LogFormat::Json,
                otlp_endpoint: String::new(),
                metrics_address: String::new(),
            },
            peers: None,
            account_admin: Settings {
                session_cache_milliseconds: 1000,
                invitation_retry_seconds: 1,
                more_public_providers: vec!["isp.example".into()],
                restorable_days: 30,
            },
        };
        let (dialler, listener) = Listener::memory();
        let wiring = Wiring {
            listener,
            clock: Arc::new(clock.clone()),
            identity: connect_unix(socket),
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = account_admin::run(config, wiring, token).await {
                panic!("the service failed: {error:#}");
            }
        });
        Self {
            dialler,
            identity,
            clock,
            config: database_config,
            stop,
            _task: task,
            _folder: folder,
            _database: database,
        }
    }

    /// Lets the clock run, ten times as fast as the world's, for what waits between tries; until
    /// the world ends.
    pub fn let_time_run(&self) {
        let (clock, stop) = (self.clock.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !stop.is_cancelled() {
                ticks.tick().await;
                clock.advance(Duration::from_millis(200));
            }
        });
    }

    pub fn clock_now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// A connection of the test's own to the service's store.
    pub async fn database(&self) -> Database {
        account_admin::open(&self.config).await.unwrap()
    }

    pub fn channel(&self, peer: Peer) -> Outgoing {
        self.dialler.channel(peer)
    }

    fn front(&self) -> Outgoing {
        self.channel(Peer::service("gateway"))
    }

    pub fn organisations(&self) -> OrganisationServiceClient<Outgoing> {
        OrganisationServiceClient::new(self.channel(Peer::Operator("mia".into())))
    }

    pub fn profiles(&self) -> ProfileServiceClient<Outgoing> {
        ProfileServiceClient::new(self.front())
    }

    pub fn users(&self) -> UserServiceClient<Outgoing> {
        UserServiceClient::new(self.front())
    }

    pub fn licences(&self) -> LicenceServiceClient<Outgoing> {
        LicenceServiceClient::new(self.front())
    }

    pub fn domains(&self, peer: Peer) -> DomainServiceClient<Outgoing> {
        DomainServiceClient::new(self.channel(peer))
    }

    pub fn events(&self, peer: Peer) -> EventServiceClient<Outgoing> {
        EventServiceClient::new(self.channel(peer))
    }

    /// An organisation whose administrator has signed in.
    pub async fn organisation(&self, domain: &str, seats: u32) -> Org {
        let made = self
            .organisations()
            .create_organisation(creation(domain, seats))
            .await
            .unwrap()
            .into_inner();
        let token = self.sign_in(&made.organisation_id, &made.user_id, 2);
        let plans = self
            .licences()
            .list_plans(by(&token, pb::ListPlansRequest {}))
            .await
            .unwrap()
            .into_inner()
            .plans;
        Org {
            id: made.organisation_id,
            admin: made.user_id,
            token,
            domain: domain.to_owned(),
            plan: plans[0].plan_id.clone(),
        }
    }

    /// Opens a session; its token.
    pub fn sign_in(&self, organisation: &str, user: &str, assurance: u32) -> String {
        let token = format!("sps_{}", Uuid::now_v7());
        let session = Session {
            session_id: token.clone(),
            user_id: user.to_owned(),
            organisation_id: organisation.to_owned(),
            stage: SessionStage::SignedIn.into(),
            assurance,
            ..Session::default()
        };
        self.identity
            .change(|state| state.sessions.insert(token.clone(), session));
        token
    }

    /// Adds a user; his id.
    pub async fn add(&self, org: &Org, local: &str) -> String {
        self.users()
            .add_user(by(&org.token, addition(org, local)))
            .await
            .unwrap()
            .into_inner()
            .user
            .unwrap()
            .user_id
    }

    /// Adds a user without permissions who has signed in; id and token.
    pub async fn member(&self, org: &Org, local: &str) -> (String, String) {
        let id = self.add(org, local).await;
        let token = self.sign_in(&org.id, &id, 1);
        (id, token)
    }

    /// Adds an administrator who has signed in; id and token.
    pub async fn administrator(&self, org: &Org, local: &str) -> (String, String) {
        let (id, token) = self.member(org, local).await;
        let set = event(org, "authn_password_change", &id, self.clock_now());
        self.append(vec![set]).await.unwrap();
        let mut read = self.read(&org.token, &id).await;
        read.fields.as_mut().unwrap().role_group_ids = vec![self.administrators(org).await];
        self.edit(&org.token, &id, &read).await.unwrap();
        (id, token)
    }

    /// The id of the group that holds every permission.
    pub async fn administrators(&self, org: &Org) -> String {
        let request = by(&org.token, pb::ListRoleGroupsRequest {});
        let groups = self.users().list_role_groups(request).await.unwrap();
        let groups = groups.into_inner().role_groups;
        groups
            .into_iter()
            .find(|group| group.built_in)
            .unwrap()
            .role_group_id
    }

    /// A user as User Management reads him.
    pub async fn read(&self, token: &str, user: &str) -> pb::GetUserResponse {
        let user_id = user.to_owned();
        let request = by(token, pb::GetUserRequest { user_id });
        self.users().get_user(request).await.unwrap().into_inner()
    }

    /// Saves what was read and changed.
    pub async fn edit(
        &self,
        token: &str,
        user: &str,
        read: &pb::GetUserResponse,
    ) -> Result<pb::UpdateUserResponse, Status> {
        let request = pb::UpdateUserRequest {
            user_id: user.to_owned(),
            fields: read.fields.clone(),
            version: read.version,
        };
        let updated = self.users().update_user(by(token, request)).await?;
        Ok(updated.into_inner())
    }

    /// Deletes a user, his address typed again.
    pub async fn delete(
        &self,
        token: &str,
        user: &str,
        email: &str,
    ) -> Result<pb::DeleteUserResponse, Status> {
        let request = pb::DeleteUserRequest {
            user_id: user.to_owned(),
            email: email.to_owned(),
        };
        let deleted = self.users().delete_user(by(token, request)).await?;
        Ok(deleted.into_inner())
    }

    /// A user's events, newest first, as his administrator reads them.
    pub async fn log_of(&self, org: &Org, user: &str) -> Vec<pb::LoggedEvent> {
        let request = pb::ListEventsRequest {
            user_id: user.to_owned(),
            page_size: 200,
            page_token: String::new(),
        };
        self.events(Peer::service("gateway"))
            .list_events(by(&org.token, request))
            .await
            .unwrap()
            .into_inner()
            .events
    }

    /// Sends events as identity does.
    pub async fn append(&self, events: Vec<pb::Event>) -> Result<(), Status> {
        self.events(Peer::service("identity"))
            .append_events(pb::AppendEventsRequest { events })
            .await
            .map(|_| ())
    }

    /// An event of an organisation that is known by its id alone.
    pub fn event_of(&self, organisation: &str, kind: &str, user: &str) -> pb::Event {
        let org = Org {
            id: organisation.to_owned(),
            admin: user.to_owned(),
            token: String::new(),
            domain: String::new(),
            plan: String::new(),
        };
        event(&org, kind, user, self.clock_now())
    }

    /// Verifies the organisation's chain in the store.
    pub async fn verify(&self, org: &Org) -> account_admin::chain::Report {
        let database = self.database().await;
        account_admin::verify_chain(&database, org.id.parse().unwrap(), None)
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn creation(domain: &str, seats: u32) -> pb::CreateOrganisationRequest {
    pb::CreateOrganisationRequest {
        name: format!("Firm of {domain}"),
        administrator_email: format!("Admin@{domain}"),
        first_name: "Ada".into(),
        last_name: "Roy".into(),
        locale: "en".into(),
        time_zone: "America/Toronto".into(),
        plan: "Standard".into(),
        seats,
        plan_expires_at: None,
        idempotency_key: format!("create-{domain}"),
    }
}

pub fn addition(org: &Org, local: &str) -> pb::AddUserRequest {
    pb::AddUserRequest {
        email: format!("{local}@{}", org.domain),
        first_name: format!("First {local}"),
        last_name: "Last".into(),
        locale: "fr".into(),
        time_zone: "Europe/Paris".into(),
        plan_id: String::new(),
        idempotency_key: format!("add-{local}"),
    }
}

/// An event as identity makes it.
pub fn event(org: &Org, kind: &str, user: &str, occurred_at: jiff::Timestamp) -> pb::Event {
    pb::Event {
        event_id: Uuid::now_v7().to_string(),
        organisation_id: org.id.clone(),
        occurred_at: Some(sallyport_chassis::clock::to_proto(occurred_at)),
        r#type: kind.to_owned(),
        result: pb::EventResult::Success.into(),
        actor: user.to_owned(),
        target: user.to_owned(),
        reason: String::new(),
        client_ip: "192.0.2.7".into(),
        user_agent: "Firefox".into(),
        request_id: "request-1".into(),
        details: HashMap::new(),
    }
}

/// A request with a session's token, through the gateway.
pub fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    metadata.insert("x-client-ip", "198.51.100.4".parse().unwrap());
    metadata.insert("x-user-agent", "Portal".parse().unwrap());
    request
}

pub trait Reason {
    /// The refusal that came back.
    fn refusal(self) -> Refusal;
    /// Its reason.
    fn reason(self) -> String;
}

impl<T: std::fmt::Debug> Reason for Result<T, Status> {
    fn refusal(self) -> Refusal {
        let status = self.expect_err("a refusal");
        Refusal::from_status(&status).unwrap_or_else(|| panic!("a failure: {status:?}"))
    }

    fn reason(self) -> String {
        self.refusal().reason
    }
}
