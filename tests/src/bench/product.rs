//! The services as they are: their own `run` with their own configuration, reached over unix sockets
//! whose peers are known by name, as in the all-in-one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use otp_dispatch::{Backends, run_api};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::supervise::stop_on_signals;
use sallyport_chassis::{Peer, SystemClock, channel, telemetry};

use super::child::say_ready;

/// otp-api.
pub async fn otp_api(config: &Path, identity_socket: &Path) -> Result<()> {
    let config = otp_dispatch::Config::load(Some(config))?;
    let _telemetry = telemetry::start("otp-api", &config.telemetry)?;
    let stop = stop_on_signals()?;
    let listener = Listener::unix(identity_socket, Peer::service("identity"))?;
    say_ready();
    let clock = Arc::new(SystemClock);
    let backends = Backends::open(&config, clock.clone()).await?;
    run_api(config, backends, listener, clock, stop).await
}

/// identity, with a neighbour that takes its events.
pub async fn identity(
    config: &Path,
    gateway_socket: &Path,
    admin_socket: &Path,
    events_socket: PathBuf,
) -> Result<()> {
    let config = identity::config::Config::load(Some(config))?;
    let _telemetry = telemetry::start("identity", &config.telemetry)?;
    let stop = stop_on_signals()?;
    let gateway = Listener::unix(gateway_socket, Peer::service("gateway"))?;
    let admin = Listener::unix(admin_socket, Peer::service("account-admin"))?;
    let wiring = identity::Wiring {
        listener: gateway.and(admin)?,
        clock: Arc::new(SystemClock),
        // Nothing that is measured sends a code.
        otp: channel::connect_unix(PathBuf::from("/nonexistent")),
        account_admin: channel::connect_unix(events_socket),
    };
    say_ready();
    identity::run(config, wiring, stop).await
}
