//! sms-dispatcher: hands messages from the queue to carriers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use otp_dispatch::{Backends, Config, run_dispatcher};
use sallyport_chassis::{SystemClock, supervise, telemetry};

/// Hands one-time codes and notices to SMS carriers.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML); the environment (SALLYPORT__SECTION__KEY) wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let loaded = Config::load(Args::parse().config.as_deref()).and_then(|config| {
        config.check()?;
        Ok(config)
    });
    let (code, error) = match loaded {
        Err(error) => (ExitCode::from(2), error),
        Ok(config) => match start(config).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (ExitCode::FAILURE, error),
        },
    };
    eprintln!("sms-dispatcher: {error:#}");
    code
}

async fn start(config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::start("sms-dispatcher", &config.telemetry)?;
    let stop = supervise::stop_on_signals()?;
    if !config.telemetry.metrics_address.is_empty() {
        let address = &config.telemetry.metrics_address;
        telemetry.serve_metrics(address, stop.clone()).await?;
    }
    let clock = Arc::new(SystemClock);
    let backends = Backends::open(&config, clock.clone()).await?;
    run_dispatcher(config, backends, clock, stop).await
}
