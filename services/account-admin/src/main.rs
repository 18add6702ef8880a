//! The `account-admin` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Organisations, users, seats and the event log of Sallyport";
    sallyport_chassis::process::run("account-admin", about, account_admin::serve).await
}
