//! `make bench`: see `sallyport_tests::bench`.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    sallyport_tests::bench::main().await
}
