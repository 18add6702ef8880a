//! The `sms-dispatcher` program: hands messages from the queue to carriers.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Hands one-time codes and notices of Sallyport to SMS carriers";
    sallyport_chassis::process::run("sms-dispatcher", about, otp_dispatch::serve_dispatcher).await
}
