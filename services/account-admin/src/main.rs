//! account-admin as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use account_admin::{Config, run_process};
use clap::Parser;

/// Organisations, users, seats and the event log.
#[derive(Parser)]
struct Arguments {
    /// Configuration file (TOML) over the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let file = Arguments::parse().config;
    let (error, code) = match Config::load(file.as_deref()) {
        Err(error) => (error, 2),
        Ok(config) => match run_process(config).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (error, 1),
        },
    };
    eprintln!("account-admin: {error:#}");
    ExitCode::from(code)
}
