//! The service as a process of its own.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport_chassis::config::TelemetryConfig;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{ProcessConfig, SystemClock, channel};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::{Wiring, run};

impl ProcessConfig for Config {
    fn load(file: Option<&Path>) -> Result<Self> {
        Self::load(file)
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// Serves at the configured address until `stop`.
///
/// # Errors
/// What the service needs is missing or fails.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<()> {
    let listen = config
        .listen
        .as_ref()
        .context("section listen is missing")?;
    let peers = config.peers.as_ref().context("section peers is missing")?;
    let wiring = Wiring {
        listener: Listener::bind(listen, config.profile).await?,
        clock: Arc::new(SystemClock),
        otp: channel::connect(&peers.otp_api, "otp-api")?,
        account_admin: channel::connect(&peers.account_admin, "account-admin")?,
    };
    run(config, wiring, stop).await
}
