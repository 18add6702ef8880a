//! `make attack`: see `sallyport_tests::attack`.

// A scenario is one long chain of awaits.
#![recursion_limit = "256"]

#[tokio::main]
async fn main() -> std::process::ExitCode {
    sallyport_tests::attack::main().await
}
