//! Serving gRPC until stopped.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::caller::{CallerLayer, CallerTable};
use crate::config::Profile;
use crate::listener::Listener;

/// How long a handler may take before the caller gets `CANCELLED`.
const HANDLER_LIMIT: Duration = Duration::from_secs(35);

/// One gRPC server: its services behind the caller table, health, and in development reflection.
pub struct GrpcServer {
    /// Where it is reached.
    pub listener: Listener,
    /// Who may call what.
    pub table: CallerTable,
    /// The services.
    pub routes: Routes,
    /// Full names of the services, for health.
    pub names: &'static [&'static str],
    /// Encoded descriptors, for reflection.
    pub descriptors: &'static [u8],
    /// Reflection answers in development only.
    pub profile: Profile,
}

impl GrpcServer {
    /// Serves until `stop`, then answers NOT_SERVING, takes no more connections and finishes what is
    /// under way.
    pub async fn serve(self, stop: CancellationToken) -> Result<()> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in self.names.iter().chain(&[""]) {
            health
                .set_service_status(name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let mut server = Server::builder()
            .timeout(HANDLER_LIMIT)
            .max_concurrent_streams(1024)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_max_header_list_size(16 * 1024)
            .layer(CallerLayer::new(self.table));
        if let Some(tls) = self.listener.tls.clone() {
            server = server.tls_config(tls).context("TLS")?;
        }
        let reflection = (self.profile == Profile::Development)
            .then(|| {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(self.descriptors)
                    .build_v1()
            })
            .transpose()
            .context("reflection")?;
        let mut routes = self.routes.add_service(health_service);
        if let Some(reflection) = reflection {
            routes = routes.add_service(reflection);
        }
        let names = self.names;
        let stopped = async move {
            stop.cancelled().await;
            for name in names.iter().chain(&[""]) {
                health
                    .set_service_status(name, tonic_health::ServingStatus::NotServing)
                    .await;
            }
        };
        server
            .add_routes(routes)
            .serve_with_incoming_shutdown(self.listener, stopped)
            .await
            .context("gRPC server")
    }
}
