//! The `gateway` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "The portal's pages and the JSON API of Sallyport";
    sallyport_chassis::process::run("gateway", about, gateway::serve).await
}
