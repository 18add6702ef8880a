//! The `identity` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Passwords, second factors and sessions of Sallyport";
    sallyport_chassis::process::run("identity", about, identity::serve).await
}
