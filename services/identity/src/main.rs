//! The `identity` program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use identity::config::Config;

/// Passwords, second factors and sessions of Sallyport.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML); the environment (SALLYPORT__SECTION__KEY) comes after it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let loaded = Config::load(Arguments::parse().config.as_deref());
    let (code, error) = match loaded.and_then(|config| config.check().map(|()| config)) {
        Err(error) => (2, error),
        Ok(config) => match identity::serve(config).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (1, error),
        },
    };
    eprintln!("identity: {error:#}");
    ExitCode::from(code)
}
