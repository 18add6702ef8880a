//! The service as a process of its own.

use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::supervise::stop_on_signals;
use sallyport_chassis::{SystemClock, channel, telemetry};

use crate::config::Config;
use crate::{Wiring, run};

/// Serves at the configured address until SIGTERM or SIGINT.
pub async fn serve(config: Config) -> Result<()> {
    let telemetry = telemetry::start("identity", &config.telemetry)?;
    let stop = stop_on_signals()?;
    let metrics = &config.telemetry.metrics_address;
    if !metrics.is_empty() {
        telemetry.serve_metrics(metrics, stop.clone()).await?;
    }
    let listen = config
        .listen
        .as_ref()
        .context("section listen is missing")?;
    let peers = config.peers.as_ref().context("section peers is missing")?;
    let wiring = Wiring {
        listener: Listener::bind(listen, config.profile).await?,
        clock: Arc::new(SystemClock),
        otp: channel::connect(&peers.otp_api)?,
        account_admin: channel::connect(&peers.account_admin)?,
    };
    run(config, wiring, stop).await
}
