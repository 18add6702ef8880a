//! The gateway as a process of its own.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport_chassis::channel::connect;
use sallyport_chassis::config::TelemetryConfig;
use sallyport_chassis::{ProcessConfig, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::{Config, Wiring, run};

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
/// What the gateway needs is missing or fails.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<()> {
    let peers = config.peers.as_ref().context("section peers is missing")?;
    let listen = config
        .listen
        .as_ref()
        .context("section listen is missing")?;
    let http = tokio::net::TcpListener::bind(listen.address)
        .await
        .with_context(|| format!("listen.address {} cannot be bound", listen.address))?;
    let wiring = Wiring {
        http,
        clock: Arc::new(SystemClock),
        identity: connect(&peers.identity, "identity")?,
        otp: connect(&peers.otp_api, "otp-api")?,
        admin: connect(&peers.account_admin, "account-admin")?,
    };
    tracing::info!(portal = config.gateway.portal_url, "serving");
    run(config, wiring, stop).await
}
