//! One trace runs from the page in the browser to the carrier. And no log, no trace and no metric
//! holds a number, an e-mail address, a code, a token or a password.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::StatusCode;
use sallyport_tests::portal_client::{Page, PortalClient};
use sallyport_tests::processes::{Invited, Processes};
use sallyport_tests::{code_in, codes_at};
use tonic::{Request, Response, Status};

const PASSWORD: &str = "granite otter walks 47 bridges";
const WRONG_PASSWORD: &str = "no such words were ever chosen 9";
const NEW_PASSWORD: &str = "seven copper kettles sing at 6";
const NUMBER: &str = "+33612345678";
/// As people type it; France.
const TYPED: &str = "06 12 34 56 78";
/// The pages whose forms send a code.
const SENDING: [&str; 2] = ["POST /account", "POST /sign-in"];

// ---- what is exported --------------------------------------------------------------------------

/// A span as the collector got it.
#[derive(Debug, Clone)]
struct Seen {
    service: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    texts: Vec<String>,
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
                .and_then(text_of)
                .unwrap_or_default()
                .to_owned();
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                seen.push(Seen {
                    service: service.clone(),
                    texts: texts_of(&span),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text_of(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// What a span says in words: its name, its attributes, and the log lines that went into it.
fn texts_of(span: &Span) -> Vec<String> {
    let mut texts = vec![span.name.clone()];
    texts.extend(span.status.iter().map(|status| status.message.clone()));
    texts.extend(span.events.iter().map(|event| event.name.clone()));
    let events = span.events.iter().flat_map(|event| &event.attributes);
    for attribute in span.attributes.iter().chain(events) {
        texts.extend(text_of(attribute).map(str::to_owned));
    }
    texts
}

/// One trace leads from the page through every service to the carrier, from parent to child.
fn leads_to_the_carrier(seen: &[Seen], page: &str) -> bool {
    let mut pages = seen
        .iter()
        .filter(|span| span.service == "gateway" && span.name == page);
    pages.any(|page| {
        let trace: Vec<&Seen> = seen
            .iter()
            .filter(|span| span.trace == page.trace)
            .collect();
        let passes = ["identity", "otp-api", "sms-dispatcher"]
            .iter()
            .all(|service| trace.iter().any(|span| span.service == *service));
        let mut submitted = trace
            .iter()
            .filter(|span| span.name == "submit_sm" && span.service == "sms-dispatcher");
        passes && submitted.any(|submit| is_under(&trace, submit, page))
    })
}

fn is_under(trace: &[&Seen], span: &Seen, above: &Seen) -> bool {
    let mut here = span;
    // No trace is as deep as it has spans.
    for _ in trace {
        if here.id == above.id {
            return true;
        }
        match trace.iter().find(|other| other.id == here.parent) {
            Some(parent) => here = parent,
            None => return false,
        }
    }
    here.id == above.id
}

// ---- what must be found nowhere ----------------------------------------------------------------

#[derive(Default)]
struct Secrets {
    texts: Vec<String>,
    codes: Vec<String>,
}

impl Secrets {
    fn found_in(&self, text: &str) -> Option<&str> {
        let part = self
            .texts
            .iter()
            .find(|secret| text.contains(secret.as_str()));
        // Six digits can be part of an instant or of a figure; a code stands alone.
        let word = || {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            words
                .map(|word| word.trim_matches('.'))
                .find_map(|word| self.codes.iter().find(|code| code.as_str() == word))
        };
        part.or_else(word).map(String::as_str)
    }
}

// ---- the journey -------------------------------------------------------------------------------

/// The newest code once the carrier has `count`.
async fn newest_code(processes: &Processes, count: usize) -> Result<String> {
    let codes = codes_at(&processes.smsc, NUMBER, count).await?;
    code_in(codes.last().context("no message")?)
}

/// Six digits that are not the code.
fn other_than(code: &str) -> Result<String> {
    let number: u32 = code.parse()?;
    Ok(format!("{:06}", (number + 1) % 1_000_000))
}

fn recovery_codes(page: &Page) -> Result<Vec<String>> {
    let rest = page.text.split("<li><code>").skip(1);
    let codes: Vec<String> = rest
        .filter_map(|rest| rest.split_once("</code>"))
        .map(|(code, _)| code.to_owned())
        .collect();
    ensure!(codes.len() == 10, "recovery codes: {}", page.words());
    Ok(codes)
}

fn refused(page: &Page, what: &str) -> Result<()> {
    ensure!(
        page.status == StatusCode::UNPROCESSABLE_ENTITY,
        "{what}: {} {}",
        page.status,
        page.words()
    );
    Ok(())
}

/// The token of the mailed reset. The links of all mails to the address are secrets.
async fn reset_token(
    browser: &mut PortalClient,
    email: &str,
    secrets: &mut Secrets,
) -> Result<String> {
    let mut seen = 0;
    loop {
        let path = format!("/dev/inbox?to={email}&wait=20&after={seen}");
        let page = browser.open(&path).await?;
        ensure!(page.status.is_success(), "{path}: {}", page.status);
        let listed: serde_json::Value = serde_json::from_str(&page.text)?;
        let mails = listed["mails"].as_array().context("no list of mails")?;
        ensure!(!mails.is_empty(), "{seen} mails, and none with a reset");
        for mail in mails {
            seen += 1;
            let text = mail["text"].as_str().context("no text")?;
            let Some((_, rest)) = text.split_once("/link/") else {
                continue;
            };
            let token = rest.split_whitespace().next().context("no token")?;
            secrets.texts.push(token.to_owned());
            if mail["subject"] == "Set a new password" {
                return Ok(token.to_owned());
            }
        }
    }
}

/// What a person does at the portal in the first days; gives back everything that was secret in it.
async fn journey(processes: &Processes, user: &Invited) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    let mut browser = PortalClient::new(&processes.portal)?;
    browser.choose_password(&user.link_token, PASSWORD).await?;
    browser.sign_in(&user.email, PASSWORD).await?;
    browser.at("/account")?;

    // 2FA: a wrong code, a resend that comes too early, and the code.
    let typed = [
        ("mobile_number", TYPED),
        ("country", "FR"),
        ("two_factor", "1"),
    ];
    browser.submit("/account", &typed).await?;
    browser.at("/code")?;
    let code = newest_code(processes, 1).await?;
    let wrong = other_than(&code)?;
    let page = browser.submit("/code", &[("code", &wrong)]).await?;
    refused(page, "a wrong code")?;
    browser.submit("/code/resend", &[]).await?;
    ensure!(
        browser.path().contains("why=code.resend_too_early"),
        "at {}",
        browser.path()
    );
    let page = browser.submit("/code", &[("code", &code)]).await?;
    let recovery = recovery_codes(page)?;
    secrets.codes.extend([code, wrong]);

    // Out, and in again by password and code, to be remembered.
    browser.open("/account").await?;
    browser.submit("/sign-out", &[]).await?;
    browser.at("/sign-in?done=out")?;
    browser.sign_in(&user.email, PASSWORD).await?;
    browser.at("/code")?;
    let code = newest_code(processes, 2).await?;
    let typed = [("code", code.as_str()), ("remember_browser", "1")];
    browser.submit("/code", &typed).await?;
    browser.at("/account")?;
    secrets.codes.push(code);

    // In another browser: a wrong password, then a recovery code instead of the message.
    let mut other = PortalClient::new(&processes.portal)?;
    let page = other.sign_in(&user.email, WRONG_PASSWORD).await?;
    refused(page, "a wrong password")?;
    other.sign_in(&user.email, PASSWORD).await?;
    other.at("/code")?;
    secrets.codes.push(newest_code(processes, 3).await?);
    other.open("/recovery").await?;
    let typed = [("recovery_code", recovery[0].as_str())];
    other.submit("/recovery", &typed).await?;
    other.at("/account?done=recovery&left=9")?;

    // The password is forgotten, and set anew by the link in the mail.
    other.open("/forgot").await?;
    other.submit("/forgot", &[("email", &user.email)]).await?;
    other.at("/forgot?done=sent")?;
    let token = reset_token(&mut other, &user.email, &mut secrets).await?;
    other.choose_password(&token, NEW_PASSWORD).await?;

    let known = [
        PASSWORD,
        WRONG_PASSWORD,
        NEW_PASSWORD,
        &user.email,
        &user.link_token,
        // With and without calling code; as it is typed and as it is dialled.
        &NUMBER[3..],
        &TYPED[1..],
    ];
    secrets.texts.extend(known.map(str::to_owned));
    for code in recovery {
        secrets.texts.push(code.replace('-', ""));
        secrets.texts.push(code);
    }
    for browser in [&browser, &other] {
        ensure!(browser.secrets().len() > 3, "hardly a token was given");
        secrets.texts.extend_from_slice(browser.secrets());
    }
    Ok(secrets)
}

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
    ];
    let mut processes = Processes::start(&settings).await?;
    let user = processes
        .organisation("traced", "admin@traced.example")
        .await?;
    let secrets = journey(&processes, &user).await?;

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

    let seen = collector.0.lock().expect("no panic while locked").clone();
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
