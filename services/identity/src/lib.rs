//! identity: passwords, second factors and sessions.
//!
//! This file is the one place where the service is put together; `main`, the all-in-one and the
//! tests call [`run`] alike.

pub mod app;
pub mod config;
pub mod grpc;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::config::Profile;
use sallyport_chassis::keyring::Keyring;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::supervise::Supervisor;
use sallyport_sql::Database;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::app::{App, OutboxWake};
use crate::config::Config;

/// How long calls and relays have to end after the stop.
const GRACE: Duration = Duration::from_secs(20);

/// Names of the gRPC services, for health.
const SERVICES: &[&str] = &[];

/// What the service is given from outside: where it is reached, the time, and its neighbours.
pub struct Wiring {
    /// Where it is reached.
    pub listener: Listener,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The channel to otp-api.
    pub otp: Outgoing,
    /// The channel to account-admin.
    pub account_admin: Outgoing,
}

/// Serves until `stop`.
pub async fn run(config: Config, wiring: Wiring, stop: CancellationToken) -> Result<()> {
    config.check()?;
    let database = Database::connect(&config.database, "identity").await?;
    if config.database.migrate_at_start {
        database.migrate::<store::Migrator>().await?;
    }
    let ring = |name: &str| {
        let path = config.keys.folder.join(name);
        match config.profile {
            Profile::Development => Keyring::load_or_create(&path),
            Profile::Production => Keyring::load(&path),
        }
        .with_context(|| format!("keys {name}"))
        .map(Arc::new)
    };
    let app = App {
        database,
        clock: wiring.clock,
        settings: Arc::new(config.identity.clone()),
        lookup: ring("lookup.keys")?,
        pepper: ring("pepper.keys")?,
        otp: wiring.otp,
        outbox_wake: OutboxWake::default(),
        profile: config.profile,
    };
    let mut tasks = Supervisor::new(stop.clone());
    let server = GrpcServer {
        listener: wiring.listener,
        table: grpc::callers::table(),
        routes: routes(&app),
        names: SERVICES,
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: config.profile,
    };
    tasks.spawn("grpc", server.serve(stop.clone()));
    tasks.run(GRACE).await
}

fn routes(_app: &App) -> Routes {
    Routes::default()
}
