//! Logs, traces and metrics of a process.

use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
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
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Pretty => lines.with_target(true).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // The tracing layer is always there, so that the trace context passes through a process that
    // exports nothing itself.
    let provider = tracer
        .clone()
        .unwrap_or_else(|| SdkTracerProvider::builder().build());
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("sallyport"));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
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
