//! The service's two processes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport_chassis::config::TelemetryConfig;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{ProcessConfig, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::{Backends, Config, run_api, run_dispatcher};

impl ProcessConfig for Config {
    fn load(file: Option<&Path>) -> Result<Self> {
        Self::load(file)
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// otp-api, at the configured address, until `stop`.
///
/// # Errors
/// What it needs is missing or fails.
pub async fn serve_api(config: Config, stop: CancellationToken) -> Result<()> {
    let listen = config
        .listen
        .as_ref()
        .context("section listen is missing")?;
    let listener = Listener::bind(listen, config.profile).await?;
    let clock = Arc::new(SystemClock);
    let backends = Backends::open(&config, clock.clone()).await?;
    run_api(config, backends, listener, clock, stop).await
}

/// sms-dispatcher, until `stop`.
///
/// # Errors
/// What it needs is missing or fails.
pub async fn serve_dispatcher(config: Config, stop: CancellationToken) -> Result<()> {
    let clock = Arc::new(SystemClock);
    let backends = Backends::open(&config, clock.clone()).await?;
    run_dispatcher(config, backends, clock, stop).await
}
