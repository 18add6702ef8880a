//! Channels to other services, over TLS or inside the process.

use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::caller::Peer;
use crate::config::PeerConfig;
use crate::listener::Conn;

/// A channel that carries the trace of the request it serves. Every call has a deadline.
pub type Outgoing = InterceptedService<Channel, Propagate>;

/// The deadline of a call between services, unless the call sets a shorter one.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Reaches an in-process listener; it connects under a peer's name.
#[derive(Clone, Debug)]
pub struct Dialler {
    sender: mpsc::Sender<Conn>,
}

impl Dialler {
    pub(crate) fn new(sender: mpsc::Sender<Conn>) -> Self {
        Self { sender }
    }

    /// A channel whose calls arrive as the named peer.
    pub fn channel(&self, peer: Peer) -> Outgoing {
        let sender = self.sender.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let (sender, peer) = (sender.clone(), peer.clone());
            async move {
                let (near, far) = tokio::io::duplex(256 * 1024);
                sender.send(Conn::memory(far, peer)).await.map_err(|_| {
                    std::io::Error::other("the service inside the process has ended")
                })?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        });
        let channel = Endpoint::from_static("http://in-process")
            .timeout(DEADLINE)
            .connect_with_connector_lazy(connector);
        InterceptedService::new(channel, Propagate)
    }
}

/// A channel to a service over TCP, with mutual TLS where configured. Connects when first used and
/// again after a loss.
pub fn connect(peer: &PeerConfig) -> Result<Outgoing> {
    let mut endpoint = Endpoint::from_shared(peer.url.clone())
        .with_context(|| format!("{} is not a URL", peer.url))?
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5));
    if let Some(tls) = &peer.tls {
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .with_context(|| format!("TLS file {} cannot be read", path.display()))
        };
        endpoint = endpoint.tls_config(
            ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(read(&tls.ca_file)?))
                .identity(Identity::from_pem(
                    read(&tls.cert_file)?,
                    read(&tls.key_file)?,
                )),
        )?;
    }
    Ok(InterceptedService::new(endpoint.connect_lazy(), Propagate))
}

/// A channel to the operator's unix socket of an all-in-one process.
pub fn connect_unix(path: std::path::PathBuf) -> Outgoing {
    let connector = tower::service_fn(move |_: http::Uri| {
        let path = path.clone();
        async move {
            tokio::net::UnixStream::connect(path)
                .await
                .map(TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("http://unix")
        .timeout(DEADLINE)
        .connect_with_connector_lazy(connector);
    InterceptedService::new(channel, Propagate)
}

/// Writes the present trace context (W3C) into a call's metadata.
#[derive(Debug, Clone, Copy)]
pub struct Propagate;

impl Interceptor for Propagate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in crate::telemetry::context::current() {
            if let (Ok(key), Ok(value)) = (
                tonic::metadata::MetadataKey::from_bytes(key.as_bytes()),
                value.parse(),
            ) {
                request.metadata_mut().insert(key, value);
            }
        }
        Ok(request)
    }
}
