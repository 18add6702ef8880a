//! `make attack`: see `sallyport_tests::attack`.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    sallyport_tests::attack::main().await
}
