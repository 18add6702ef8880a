//! A program of ours, from its arguments to its exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser};
use tokio_util::sync::CancellationToken;

use crate::config::TelemetryConfig;
use crate::{supervise, telemetry};

#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML); the environment (SALLYPORT__SECTION__KEY) wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The configuration of a program.
pub trait ProcessConfig: Sized {
    /// The defaults, then the file, then the environment; what must not start is refused by a
    /// sentence that says what to set.
    ///
    /// # Errors
    /// That sentence.
    fn load(file: Option<&Path>) -> Result<Self>;

    /// The `[telemetry]` section.
    fn telemetry(&self) -> &TelemetryConfig;
}

/// Reads arguments and configuration, starts telemetry, and serves until SIGTERM or SIGINT. The
/// exit code is 2 where the configuration is refused, and 1 where serving fails.
pub async fn run<C: ProcessConfig>(
    name: &'static str,
    about: &'static str,
    serve: impl AsyncFnOnce(C, CancellationToken) -> Result<()>,
) -> ExitCode {
    let matches = Arguments::command().name(name).about(about).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let (code, error) = match C::load(arguments.config.as_deref()) {
        Err(error) => (2, error),
        Ok(config) => match observed(name, config, serve).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (1, error),
        },
    };
    eprintln!("{name}: {error:#}");
    ExitCode::from(code)
}

async fn observed<C: ProcessConfig>(
    name: &'static str,
    config: C,
    serve: impl AsyncFnOnce(C, CancellationToken) -> Result<()>,
) -> Result<()> {
    let telemetry = telemetry::start(name, config.telemetry())?;
    let stop = supervise::stop_on_signals()?;
    let metrics = &config.telemetry().metrics_address;
    if !metrics.is_empty() {
        telemetry.serve_metrics(metrics, stop.clone()).await?;
    }
    serve(config, stop).await
}
