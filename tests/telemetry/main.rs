//! One trace runs from the page in the browser to the carrier. And no log, no trace and no metric
//! holds a number, an e-mail address, a code, a token or a password.

mod collector;
mod journey;
mod secrets;

use anyhow::{Result, bail, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use sallyport_tests::processes::Processes;

use crate::collector::{Collector, leads_to_the_carrier};

/// The pages whose forms send a code.
const SENDING: [&str; 2] = ["POST /account", "POST /sign-in"];

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_page_to_the_carrier_and_no_secret_in_what_is_observed() -> Result<()> {
    let collector = Collector::default();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", socket.local_addr()?);
    // At debug a batch of spans is large.
    let service = TraceServiceServer::new(collector.clone()).max_decoding_message_size(64 << 20);
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(socket));
    let serving = tokio::spawn(server);

    let settings = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("TELEMETRY__LOG", "debug"),
        // A hundred wrong codes in one sitting: few messages, within the quotas, and one lock, which
        // can be waited out.
        ("OTP__TRIES", journey::TRIES),
        ("OTP__LIMITS__NUMBER__PER_DAY", "50"),
        ("OTP__LIMITS__NUMBER__PER_HOUR", "50"),
        ("OTP__LIMITS__USER__PER_DAY", "50"),
        ("OTP__LIMITS__USER__PER_HOUR", "50"),
        ("IDENTITY__SECOND_STEP__FAILURES_PER_LOCK", "50"),
        ("IDENTITY__SECOND_STEP__FIRST_LOCK_SECONDS", "30"),
    ];
    let mut processes = Processes::start(&settings).await?;
    let user = processes
        .organisation("traced", "admin@traced.example")
        .await?;
    let secrets = journey::walk(&processes, &user).await?;

    for (program, own) in [
        ("identity", "password_hash_seconds"),
        ("otp-api", "otp_challenges_created_total"),
        ("sms-dispatcher", "sms_submitted_total"),
        ("account-admin", "events_appended_total"),
        ("gateway", "http_requests_total"),
    ] {
        let metrics = processes.metrics(program).await?;
        ensure!(metrics.has(own), "{program} has no {own}");
        for (series, _) in metrics.series() {
            if let Some(secret) = secrets.found_in(series) {
                bail!("{program} measures {secret:?}: {series}");
            }
        }
    }

    // Ending flushes the spans that wait.
    let mut logs = Vec::new();
    let mut ended = vec![
        ("gateway", processes.gateway),
        ("identity", processes.identity),
        ("otp-api", processes.otp_api),
        ("account-admin", processes.account_admin),
        ("sms-dispatcher", processes.dispatchers.remove(0)),
    ];
    for (name, process) in &mut ended {
        let status = process.term().await?;
        ensure!(
            status.success(),
            "{name} ended with {status}: {}",
            process.log()?
        );
        logs.push((*name, process.log()?));
    }
    serving.abort();

    let seen = collector.seen();
    for page in SENDING {
        ensure!(
            leads_to_the_carrier(&seen, page),
            "no trace leads from {page} to the carrier; the pages: {:?}; {} submit_sm",
            seen.iter()
                .filter(|span| span.service == "gateway" && span.name.starts_with("POST"))
                .map(|span| &span.name)
                .collect::<Vec<_>>(),
            seen.iter().filter(|span| span.name == "submit_sm").count()
        );
    }
    for span in &seen {
        for text in &span.texts {
            if let Some(secret) = secrets.found_in(text) {
                bail!(
                    "{} traces {secret:?} in {}: {text}",
                    span.service,
                    span.name
                );
            }
        }
    }
    for (name, log) in &logs {
        ensure!(
            log.contains("\"level\""),
            "{name} logs lines of JSON:\n{log}"
        );
        for line in log.lines() {
            if let Some(secret) = secrets.found_in(line) {
                bail!("{name} logs {secret:?}: {line}");
            }
        }
    }
    Ok(())
}
