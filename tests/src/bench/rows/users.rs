//! identity with users who have passwords.

use anyhow::{Context, Result};
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::{
    InviteUserRequest, PutUserRequest, SetPasswordByLinkRequest, SignInRequest, UserProjection,
    UserStatus,
};
use sallyport_testkit::Postgres;
use tonic::Request;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::bench::bare::hash::{MEMORY_KIB, PASSES};
use crate::bench::child::{Child, Sockets, connect};

/// How many users there are. Each has an e-mail of its own, so that no count of failures fills up.
pub const USERS: usize = 200;

/// Somebody who can sign in.
#[derive(Clone)]
pub struct User {
    /// What he types first.
    pub email: String,
    /// What he types then.
    pub password: String,
}

/// identity on PostgreSQL, with a neighbour that takes its events.
pub struct Identity {
    /// The service's process.
    pub child: Child,
    /// Connections of the gateway to it.
    pub channels: Vec<Channel>,
    /// Who can sign in.
    pub users: Vec<User>,
    /// For other servers of the row.
    pub sockets: Sockets,
    /// The same server that the limit uses.
    pub postgres: Postgres,
    _events: Child,
}

impl Identity {
    /// Starts everything; `hash_threads` as in its configuration.
    pub async fn start(hash_threads: usize) -> Result<Self> {
        let sockets = Sockets::new()?;
        let postgres = Postgres::start().await?;
        let database = postgres.create_database("product").await?;
        let (config, gateway) = (sockets.text("identity.toml")?, sockets.text("gateway")?);
        let (admin, events) = (sockets.text("admin")?, sockets.text("events")?);
        let keys = sockets.text("keys")?;
        std::fs::write(
            &config,
            format!(
                "profile = \"development\"\n\
                 [database]\nurl = \"{database}\"\n\
                 [keys]\nfolder = \"{keys}\"\n\
                 [identity.password]\nmemory_kib = {MEMORY_KIB}\npasses = {PASSES}\n\
                 hash_threads = {hash_threads}\n"
            ),
        )?;
        let events_child = Child::start(&["events", "--socket", &events]).await?;
        let child = Child::start(&[
            "identity",
            "--config",
            &config,
            "--gateway-socket",
            &gateway,
            "--admin-socket",
            &admin,
            "--events-socket",
            &events,
        ])
        .await?;
        let channels = connect(&sockets.path("gateway")).await?;
        let admin = connect(&sockets.path("admin")).await?;
        let admin = admin.first().context("no connection")?;
        let gateway = channels.first().context("no connection")?;
        let mut users = Vec::with_capacity(USERS);
        let organisation_id = Uuid::now_v7().to_string();
        for number in 0..USERS {
            users.push(invited(admin, gateway, &organisation_id, number).await?);
        }
        Ok(Self {
            child,
            channels,
            users,
            sockets,
            postgres,
            _events: events_child,
        })
    }

    /// Signs every user in; their tokens.
    pub async fn sign_all_in(&self) -> Result<Vec<String>> {
        let channel = self.channels.first().context("no connection")?;
        let mut client = SignInServiceClient::new(channel.clone());
        let mut tokens = Vec::with_capacity(self.users.len());
        for User { email, password } in &self.users {
            let request = SignInRequest {
                email: email.clone(),
                password: password.clone(),
                browser_token: String::new(),
            };
            let answer = client
                .sign_in(Request::new(request))
                .await
                .context("SignIn")?;
            tokens.push(answer.into_inner().session_token);
        }
        Ok(tokens)
    }
}

/// Makes a user as account-admin does, and sets the password as he does by his link.
async fn invited(
    admin: &Channel,
    gateway: &Channel,
    organisation_id: &str,
    number: usize,
) -> Result<User> {
    let user_id = Uuid::now_v7().to_string();
    let user = User {
        email: format!("user-{number}@bench.example"),
        password: format!("Lantern quay {} {number}", Uuid::now_v7().simple()),
    };
    let mut projections = ProjectionServiceClient::new(admin.clone());
    let projection = UserProjection {
        user_id: user_id.clone(),
        organisation_id: organisation_id.to_owned(),
        version: 1,
        email: user.email.clone(),
        status: UserStatus::Active.into(),
        permissions: vec!["user_management".to_owned()],
        two_factor_required: false,
        locale: "en".to_owned(),
        licensed: true,
        context_words: Vec::new(),
    };
    projections
        .put_user(PutUserRequest {
            user: Some(projection),
        })
        .await
        .context("PutUser")?;
    let invitation = InviteUserRequest {
        idempotency_key: user_id.clone(),
        user_id,
    };
    let invited = projections
        .invite_user(invitation)
        .await
        .context("InviteUser")?
        .into_inner();
    let chosen = SetPasswordByLinkRequest {
        link_token: invited.link_token,
        password: user.password.clone(),
    };
    PasswordServiceClient::new(gateway.clone())
        .set_password_by_link(chosen)
        .await
        .context("SetPasswordByLink")?;
    Ok(user)
}
