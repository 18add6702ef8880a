//! The gateway as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gateway::Config;

/// The portal's pages and the JSON API of Sallyport.
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
            eprintln!("gateway: {error:#}");
            return ExitCode::from(2);
        }
    };
    match gateway::serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
