//! Logs, traces and metrics of a process.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogFormat, TelemetryConfig};

/// How often samples are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Flushes what is buffered when the process ends.
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    metrics: PrometheusHandle,
}

/// Starts logs, traces and metrics for a process; call once, in `main`. A collector that cannot be
/// reached later is a warning, never a failed request. Runs inside the process's runtime.
pub fn start(service: &'static str, config: &TelemetryConfig) -> Result<Telemetry> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    // The number library logs what it parses at trace; numbers never reach a log (rule 32).
    let filter = EnvFilter::try_new(format!("{},rlibphonenumber=off", config.log))
        .context("telemetry.log")?;
    let tracer = if config.otlp_endpoint.is_empty() {
        None
    } else {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.otlp_endpoint)
            .build()
            .context("telemetry.otlp_endpoint")?;
        let resource = Resource::builder().with_service_name(service).build();
        Some(
            SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource)
                .build(),
        )
    };
    // The tracing layer is always there, so that the trace context passes through a process that
    // exports nothing itself.
    let provider = tracer
        .clone()
        .unwrap_or_else(|| SdkTracerProvider::builder().build());
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("sallyport"));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines(config.log_format, std::io::stderr))
        .with(spans)
        .init();
    let metrics = PrometheusBuilder::new()
        .set_buckets(&[
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
        ])?
        .install_recorder()
        .context("metrics")?;
    // Samples wait in memory until they are put into their buckets, whether anybody scrapes or not.
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        let mut pace = tokio::time::interval(UPKEEP);
        loop {
            pace.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(Telemetry { tracer, metrics })
}

/// Writes a line for each event.
fn lines<S, W>(
    format: LogFormat,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        // Colours are made of the same characters that a forged line would be.
        .with_ansi(false)
        .with_writer(move || OneLine(writer()));
    match format {
        LogFormat::Pretty => layer.with_target(true).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// Keeps an event on one line, whoever made up the texts in it: the formatter itself lets line feeds
/// pass wherever a value is shown as it is.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// Takes a whole event, as the formatter gives it.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        self.0
            .write_all(one_line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Writes out, in the form of JSON, what would break or bend the line, but for the line feed at its
/// end.
fn one_line(event: &str) -> String {
    let (text, end) = match event.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (event, ""),
    };
    let mut line = String::with_capacity(event.len());
    for c in text.chars() {
        if bends_lines(c) {
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line.push_str(end);
    line
}

/// Whether a terminal or a viewer would do something else with the character than show it: control
/// characters, separators of lines, and marks that turn the direction of writing.
fn bends_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Telemetry {
    /// Answers `GET /metrics` in the Prometheus text format at `address` until `stop`.
    pub async fn serve_metrics(&self, address: &str, stop: CancellationToken) -> Result<()> {
        let socket = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("telemetry.metrics_address {address} cannot be bound"))?;
        let handle = self.metrics.clone();
        let app = axum::Router::new().route(
            "/metrics",
            axum::routing::get(move || {
                let handle = handle.clone();
                async move { handle.render() }
            }),
        );
        tokio::spawn(async move {
            let served = axum::serve(socket, app)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::warn!(%error, "metrics listener ended");
            }
        });
        Ok(())
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(tracer) = &self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(%error, "traces were not flushed");
        }
    }
}

/// W3C trace context through headers, queue messages and outbox rows.
pub mod context {
    use std::collections::HashMap;

    use opentelemetry::propagation::Extractor;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    /// The present span's context as header pairs (`traceparent`, `tracestate`); empty where no
    /// telemetry was started.
    pub fn current() -> HashMap<String, String> {
        let mut carrier = HashMap::new();
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|p| {
            p.inject_context(&context, &mut carrier);
        });
        carrier.retain(|_, value| !value.is_empty());
        carrier
    }

    /// Makes the span a child of the context in the headers.
    pub fn adopt(span: &tracing::Span, headers: &http::HeaderMap) {
        let parent =
            opentelemetry::global::get_text_map_propagator(|p| p.extract(&Headers(headers)));
        // Fails only where no telemetry was started: then there is no trace to join.
        let _ = span.set_parent(parent);
    }

    /// Makes the span a child of the context in the pairs that `current` gave elsewhere.
    pub fn adopt_pairs(span: &tracing::Span, pairs: &HashMap<String, String>) {
        let parent = opentelemetry::global::get_text_map_propagator(|p| p.extract(pairs));
        let _ = span.set_parent(parent);
    }

    struct Headers<'a>(&'a http::HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key).and_then(|v| v.to_str().ok())
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The log of one event that has this text wherever a text can be.
    fn logged(format: LogFormat, text: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(lines(format, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("rpc", of_span = text, shown_in_span = %text);
            let _entered = span.enter();
            tracing::warn!(plain = text, shown = %text, debugged = ?text, "said: {text}");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const FORGED: &str = "a\r\nWARN forged\u{b}\u{c}\u{1b}[2K\u{7}\u{8}\0\u{7f}\u{85}\u{9b}1A\
                          \u{2028}\u{2029}\u{202e}\u{2066}z";

    #[test]
    fn whatever_is_logged_stays_on_one_line() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let log = logged(format, FORGED);
            let line = log.strip_suffix('\n').unwrap();
            let raw: Vec<char> = line.chars().filter(|c| bends_lines(*c)).collect();
            assert!(raw.is_empty(), "{raw:?} in {line:?}");
            assert!(line.matches("WARN forged").count() >= 6, "{line}");
        }
    }

    #[test]
    fn a_line_of_json_says_what_was_said() {
        let log = logged(LogFormat::Json, FORGED);
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(line["shown"], FORGED);
        assert_eq!(line["span"]["of_span"], FORGED);
    }

    #[test]
    fn what_bends_no_line_is_written_as_it_is() {
        assert_eq!(one_line("Müller 中文 \\n 👍\n"), "Müller 中文 \\n 👍\n");
    }
}
