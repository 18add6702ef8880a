//! The whole system in one process: every service as it is, joined in memory instead of by TLS.
//!
//! The in-memory transport names the caller, so the caller tables hold here as they do between
//! processes.

mod config;
mod first_start;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::supervise::Supervisor;
use sallyport_chassis::{Clock, Peer};
use tokio_util::sync::CancellationToken;

pub use crate::config::{Config, Listen, Operator, defaults};
pub use crate::first_start::FirstAdministrator;

/// How long the services have to end after the stop.
const GRACE: Duration = Duration::from_secs(25);

/// What the process gives.
pub struct Wiring {
    /// The bound socket of the portal.
    pub http: tokio::net::TcpListener,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The running system, before it is waited for.
pub struct System {
    tasks: Supervisor,
    operator: sallyport_chassis::channel::Outgoing,
    clock: Arc<dyn Clock>,
}

/// Puts the services together and starts them.
pub async fn start(config: &Config, wiring: Wiring, stop: CancellationToken) -> Result<System> {
    let clock = wiring.clock;
    let (identity, identity_listener) = Listener::memory();
    let (otp, otp_listener) = Listener::memory();
    let (admin, admin_listener) = Listener::memory();
    if let Some(folder) = config.operator.socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let door = |path: &Path| Listener::unix(path, Peer::Operator("local".to_owned()));
    let admin_door = door(&config.operator.socket)?;
    let otp_door = door(&config.operator.otp_socket())?;
    let backends = otp_dispatch::Backends::open(&config.otp(), clock.clone())
        .await
        .context("opening challenges and queue")?;

    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn(
        "identity",
        identity::run(
            config.identity(),
            identity::Wiring {
                listener: identity_listener,
                clock: clock.clone(),
                otp: otp.channel(Peer::service("identity")),
                account_admin: admin.channel(Peer::service("identity")),
            },
            stop.clone(),
        ),
    );
    tasks.spawn(
        "otp-api",
        otp_dispatch::run_api(
            config.otp(),
            backends.clone(),
            otp_listener.and(otp_door)?,
            clock.clone(),
            stop.clone(),
        ),
    );
    tasks.spawn(
        "sms-dispatcher",
        otp_dispatch::run_dispatcher(config.otp(), backends, clock.clone(), stop.clone()),
    );
    tasks.spawn(
        "account-admin",
        account_admin::run(
            config.account_admin(),
            account_admin::Wiring {
                listener: admin_listener.and(admin_door)?,
                clock: clock.clone(),
                identity: identity.channel(Peer::service("account-admin")),
            },
            stop.clone(),
        ),
    );
    tasks.spawn(
        "gateway",
        gateway::run(
            config.gateway(),
            gateway::Wiring {
                http: wiring.http,
                clock: clock.clone(),
                identity: identity.channel(Peer::service("gateway")),
                otp: otp.channel(Peer::service("gateway")),
                admin: admin.channel(Peer::service("gateway")),
            },
            stop,
        ),
    );
    let operator = admin.channel(Peer::Operator("first-start".to_owned()));
    Ok(System {
        tasks,
        operator,
        clock,
    })
}

impl System {
    /// Makes the first organisation where there is none, and invites its administrator.
    pub async fn first_administrator(&self) -> Result<Option<FirstAdministrator>> {
        first_start::make(self.operator.clone(), self.clock.as_ref()).await
    }

    /// Waits until it is stopped, or a service fails.
    pub async fn wait(self) -> Result<()> {
        self.tasks.run(GRACE).await
    }
}
