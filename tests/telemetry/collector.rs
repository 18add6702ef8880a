//! What the processes export: their spans.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

/// A span as the collector got it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The process.
    pub service: String,
    /// What it did.
    pub name: String,
    /// All that it says in words.
    pub texts: Vec<String>,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

/// An OTLP collector in the test's process.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    /// Every span until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().expect("no panic while locked").clone()
    }
}

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
pub fn leads_to_the_carrier(seen: &[Seen], page: &str) -> bool {
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
