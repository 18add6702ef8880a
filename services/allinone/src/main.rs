//! `sallyport`: the whole system in one process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use sallyport::{Config, Wiring};
use sallyport_chassis::config::Profile;
use sallyport_chassis::{SystemClock, supervise, telemetry};

/// Sign-in with password and SMS code, and account administration, in one process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML); the environment (SALLYPORT__SECTION__KEY) comes after it.
    #[arg(long)]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::load(Arguments::parse().config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("sallyport: {error:#}");
            return ExitCode::from(2);
        }
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sallyport: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<()> {
    let http = tokio::net::TcpListener::bind(config.listen.address)
        .await
        .with_context(|| format!("listen.address {} cannot be bound", config.listen.address))?;
    let telemetry = telemetry::start("sallyport", &config.telemetry)?;
    let stop = supervise::stop_on_signals()?;
    if !config.telemetry.metrics_address.is_empty() {
        telemetry
            .serve_metrics(&config.telemetry.metrics_address, stop.clone())
            .await?;
    }
    let wiring = Wiring {
        http,
        clock: Arc::new(SystemClock),
    };
    let system = sallyport::start(&config, wiring, stop).await?;
    if config.profile == Profile::Development {
        tell(&config, &system).await?;
    }
    system.wait().await
}

/// What a newcomer needs to know, on standard output.
#[allow(
    clippy::print_stdout,
    reason = "this is the program's greeting, meant for a person"
)]
async fn tell(config: &Config, system: &sallyport::System) -> Result<()> {
    let portal = &config.portal_url;
    println!("Portal             {portal}/sign-in");
    println!("SMS and mail inbox {portal}/dev/inbox");
    match system.first_administrator().await? {
        Some(first) => {
            println!(
                "First sign-in      {portal}/link/{}",
                first.link_token.expose()
            );
            println!(
                "                   sets the password of {} (once)",
                first.email
            );
        }
        None => println!("The first administrator was invited at an earlier start."),
    }
    println!("Stop with Ctrl-C.");
    Ok(())
}
