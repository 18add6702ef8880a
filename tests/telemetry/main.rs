//! One trace runs from the caller of the gateway to the carrier, and no log holds a number, a code, a
//! token or a password.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use sallyport_tests::code_in;
use sallyport_tests::processes::Processes;
use serde_json::{Value as Json, json};
use tonic::{Request, Response, Status};

const PASSWORD: &str = "granite otter walks 47 bridges";
const NUMBER: &str = "+33612345678";

/// A span as the collector got it.
#[derive(Debug, Clone)]
struct Seen {
    service: String,
    name: String,
    trace: Vec<u8>,
}

/// An OTLP collector in the test's process.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut seen = self.0.lock().expect("no panic while locked");
        for resource in request.into_inner().resource_spans {
            let service = resource
                .resource
                .iter()
                .flat_map(|r| &r.attributes)
                .find(|a| a.key == "service.name")
                .and_then(|a| a.value.as_ref()?.value.as_ref())
                .map_or(String::new(), |value| match value {
                    Value::StringValue(name) => name.clone(),
                    _ => String::new(),
                });
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                seen.push(Seen {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A program that calls the JSON API.
struct Program {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Program {
    async fn post(&self, path: &str, body: Json) -> Result<Json> {
        let mut request = self
            .client
            .post(format!("{}/api/v1{path}", self.base))
            .header(
                "idempotency-key",
                format!("telemetry{}", path.replace('/', "-")),
            )
            .json(&body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(if text.is_empty() {
            Json::Null
        } else {
            serde_json::from_str(&text)?
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_page_to_the_carrier_and_no_secret_in_any_log() -> Result<()> {
    let collector = Collector::default();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", socket.local_addr()?);
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(socket));
    let serving = tokio::spawn(server);

    let settings = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("TELEMETRY__LOG", "debug"),
    ];
    let mut processes = Processes::start(&settings).await?;
    let user = processes
        .organisation("traced", "admin@traced.example")
        .await?;
    let mut program = Program {
        client: reqwest::Client::new(),
        base: processes.portal.clone(),
        token: String::new(),
    };
    let mut secrets = vec![PASSWORD.to_owned(), user.link_token.clone()];
    program
        .post(
            "/links/set-password",
            json!({"link_token": user.link_token, "password": PASSWORD}),
        )
        .await?;
    let sign_in = json!({"email": user.email, "password": PASSWORD});
    let text_of = |answer: &Json, key: &str| -> Result<String> {
        Ok(answer[key]
            .as_str()
            .with_context(|| format!("no {key} in {answer}"))?
            .to_owned())
    };
    program.token = text_of(&program.post("/sign-in", sign_in).await?, "session_token")?;
    secrets.push(program.token.clone());
    program
        .post("/two-factor/enable", json!({"number": NUMBER}))
        .await?;
    let messages = processes.smsc.wait_for(NUMBER, 1).await?;
    let code = code_in(&messages[0].text)?;
    let verified = program.post("/code/verify", json!({"code": code})).await?;
    secrets.push(text_of(&verified, "session_token")?);
    let codes = verified["recovery_codes"]
        .as_array()
        .context("no recovery codes")?;
    secrets.extend(codes.iter().filter_map(|c| c.as_str().map(str::to_owned)));

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

    let seen = collector.0.lock().expect("no panic while locked").clone();
    let submitted: Vec<_> = seen
        .iter()
        .filter(|span| span.name == "submit_sm")
        .collect();
    ensure!(
        !submitted.is_empty(),
        "no submit_sm among {} spans",
        seen.len()
    );
    let whole = submitted.iter().any(|submit| {
        ["gateway", "identity", "otp-api", "sms-dispatcher"]
            .iter()
            .all(|service| {
                seen.iter()
                    .any(|span| span.service == *service && span.trace == submit.trace)
            })
    });
    ensure!(whole, "no trace holds all four services: {seen:#?}");

    for (name, log) in &logs {
        ensure!(
            log.contains("\"level\""),
            "{name} logs lines of JSON:\n{log}"
        );
        for secret in &secrets {
            ensure!(
                !log.contains(secret.as_str()),
                "{name} logs a secret:\n{log}"
            );
        }
        for digits in [&NUMBER[1..], &NUMBER[3..], "06 12 34 56 78"] {
            ensure!(!log.contains(digits), "{name} logs a number:\n{log}");
        }
        // Six digits can be part of an instant; the code itself stands alone.
        let alone = log
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == code);
        ensure!(!alone, "{name} logs the code:\n{log}");
    }
    Ok(())
}
