//! The `otp-api` program: challenges, limits and message states over gRPC.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let about = "One-time codes of Sallyport: challenges, limits and message states";
    sallyport_chassis::process::run("otp-api", about, otp_dispatch::serve_api).await
}
