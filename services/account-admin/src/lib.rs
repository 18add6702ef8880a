//! account-admin: organisations, users, seats, domains, role groups and the event log.
//!
//! [`run`] puts the parts together; the split binary, the all-in-one process and the tests call it
//! alike.

mod app;
mod clients;
mod config;
mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grpc;
mod process;
mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::supervise::Supervisor;
use sallyport_sql::outbox::Relay;
use sallyport_sql::{Database, DatabaseConfig};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use app::verify_chain::verify_chain;
pub use config::{Config, PROCESS, Peers, SETTINGS, Settings};
pub use domain::chain;
pub use grpc::callers;
pub use process::serve;

use app::App;
use app::tell_identity::{
    INVITATION, PASSWORD_RESET, PROJECTION, deliver_invitations, deliver_password_resets,
    deliver_projections,
};
use clients::Identity;

/// The schema (PostgreSQL) or file (SQLite) of this service.
pub const SCHEMA: &str = "admin";
/// How long what is under way may take after the stop.
const GRACE: Duration = Duration::from_secs(20);

/// What the surroundings bring.
pub struct Wiring {
    /// Where the service is reached.
    pub listener: Listener,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Channel to identity.
    pub identity: Outgoing,
}

/// Opens the store of this service.
pub async fn open(config: &DatabaseConfig) -> Result<Database> {
    Database::connect(config, SCHEMA).await
}

/// Brings the schema up to date.
pub async fn migrate(database: &Database) -> Result<()> {
    database
        .migrate::<store::Migrator>()
        .await
        .context("schema admin")
}

/// Runs the service until `stop`.
pub async fn run(config: Config, wiring: Wiring, stop: CancellationToken) -> Result<()> {
    config.check()?;
    let database = open(&config.database).await?;
    if config.database.migrate_at_start {
        migrate(&database).await?;
    }
    let clock = wiring.clock;
    let app = App {
        identity: Identity::new(
            wiring.identity,
            clock.clone(),
            config.account_admin.session_cache_milliseconds,
        ),
        database: database.clone(),
        clock: clock.clone(),
        settings: config.account_admin,
        projections_owed: Arc::new(Notify::new()),
        invitations_owed: Arc::new(Notify::new()),
        resets_owed: Arc::new(Notify::new()),
    };
    let server = GrpcServer {
        listener: wiring.listener,
        table: grpc::callers::table(),
        routes: grpc::routes(&app),
        names: grpc::NAMES,
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: config.profile,
    };
    let relay = |topic, wake| Relay::new(database.clone(), topic, clock.clone(), wake);
    let projections = relay(PROJECTION, app.projections_owed.clone());
    let invitations = relay(INVITATION, app.invitations_owed.clone());
    let resets = relay(PASSWORD_RESET, app.resets_owed.clone());

    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("gRPC", server.serve(stop.clone()));
    let (its_app, its_stop) = (app.clone(), stop.clone());
    tasks.spawn("projections", async move {
        projections
            .run(its_stop, |rows| deliver_projections(its_app.clone(), rows))
            .await;
        Ok(())
    });
    let (its_app, its_stop) = (app.clone(), stop.clone());
    tasks.spawn("password resets", async move {
        resets
            .run(its_stop, |rows| {
                deliver_password_resets(its_app.clone(), rows)
            })
            .await;
        Ok(())
    });
    tasks.spawn("invitations", async move {
        invitations
            .run(stop, |rows| deliver_invitations(app.clone(), rows))
            .await;
        Ok(())
    });
    let outcome = tasks.run(GRACE).await;
    database.close().await.context("closing the store")?;
    outcome
}
