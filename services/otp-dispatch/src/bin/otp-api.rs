//! otp-api: challenges, limits and message states over gRPC.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use otp_dispatch::{Backends, Config, run_api};
use sallyport_chassis::{SystemClock, listener::Listener, supervise, telemetry};

/// Decides one-time codes (gRPC sallyport.otp.v1).
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML); the environment (SALLYPORT__SECTION__KEY) wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::load(Args::parse().config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("otp-api: {error:#}");
            return ExitCode::from(2);
        }
    };
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("otp-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: Config) -> Result<()> {
    let telemetry = telemetry::start("otp-api", &config.telemetry)?;
    let stop = supervise::stop_on_signals()?;
    let listen = config
        .listen
        .as_ref()
        .context("listen.address must be set")?;
    let listener = Listener::bind(listen, config.profile).await?;
    if !config.telemetry.metrics_address.is_empty() {
        telemetry
            .serve_metrics(&config.telemetry.metrics_address, stop.clone())
            .await?;
    }
    let clock = Arc::new(SystemClock);
    let backends = Backends::open(&config, clock.clone()).await?;
    run_api(config, backends, listener, clock, stop).await
}
