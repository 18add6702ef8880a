//! `sallyport`: the whole system in one process.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport::{Config, Wiring};
use sallyport_chassis::config::Profile;
use sallyport_chassis::{SystemClock, process};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Sign-in with password and SMS code, and account administration, in one process";
    process::run("sallyport", about, serve).await
}

async fn serve(config: Config, stop: CancellationToken) -> Result<()> {
    let http = tokio::net::TcpListener::bind(config.listen.address)
        .await
        .with_context(|| format!("listen.address {} cannot be bound", config.listen.address))?;
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
