//! Channels to other services, over TLS or inside the process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::caller::Peer;
use crate::config::{PeerConfig, TlsConfig};
use crate::listener::Conn;

/// A channel that carries the trace of the request it serves. Every call has a deadline.
pub type Outgoing = InterceptedService<Channel, Propagate>;

/// The deadline of a call between services, unless the call sets a shorter one.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Reaches an in-process listener; it connects under a peer's name.
#[derive(Clone, Debug)]
pub struct Dialler {
    sender: mpsc::Sender<Conn>,
}

impl Dialler {
    pub(crate) fn new(sender: mpsc::Sender<Conn>) -> Self {
        Self { sender }
    }

    /// A connection under the peer's name.
    pub(crate) async fn dial(&self, peer: Peer) -> std::io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.sender
            .send(Conn::memory(far, peer))
            .await
            .map_err(|_| std::io::Error::other("the service inside the process has ended"))?;
        Ok(near)
    }

    /// A channel whose calls arrive as the named peer.
    pub fn channel(&self, peer: Peer) -> Outgoing {
        let dialler = self.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let (dialler, peer) = (dialler.clone(), peer.clone());
            async move { dialler.dial(peer).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://in-process")
            .timeout(DEADLINE)
            .connect_with_connector_lazy(connector);
        InterceptedService::new(channel, Propagate)
    }
}

/// A channel to the named service over TCP, with mutual TLS where configured: the other side's
/// certificate must come from the authority, be for the URL's host, and name that service by its
/// URI, so that no other service's certificate can stand in for it. Connects when first used and
/// again after a loss.
///
/// # Errors
/// A URL that cannot be one, certificates that cannot be read.
pub fn connect(peer: &PeerConfig, service: &'static str) -> Result<Outgoing> {
    let endpoint = |url: String| -> Result<Endpoint> {
        Ok(Endpoint::from_shared(url)
            .with_context(|| format!("{} is not a URL", peer.url))?
            .timeout(DEADLINE)
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(5)))
    };
    let channel = match (&peer.tls, peer.url.strip_prefix("https://")) {
        (Some(tls), Some(authority)) => {
            let secure = Secure::new(tls, authority, service)?;
            // TLS is the connector's part.
            let endpoint = endpoint(format!("http://{authority}"))?;
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
                let secure = secure.clone();
                async move { secure.dial().await.map(TokioIo::new) }
            }))
        }
        _ => endpoint(peer.url.clone())?.connect_lazy(),
    };
    Ok(InterceptedService::new(channel, Propagate))
}

/// Mutual TLS to one service.
#[derive(Clone)]
struct Secure {
    connector: TlsConnector,
    /// `host:port`
    address: String,
    host: ServerName<'static>,
    expected: Peer,
}

impl Secure {
    fn new(tls: &TlsConfig, authority: &str, service: &str) -> Result<Self> {
        let authority: http::uri::Authority = authority
            .trim_end_matches('/')
            .parse()
            .context("a peer's URL has no host")?;
        let chain = |path: &Path| {
            CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| format!("TLS file {} cannot be read", path.display()))
        };
        let mut roots = RootCertStore::empty();
        for certificate in chain(&tls.ca_file)? {
            roots.add(certificate)?;
        }
        let key = PrivateKeyDer::from_pem_file(&tls.key_file)
            .with_context(|| format!("TLS file {} cannot be read", tls.key_file.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain(&tls.cert_file)?, key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        let port = authority.port_u16().unwrap_or(443);
        let host = authority.host().trim_matches(['[', ']']);
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            address: format!("{}:{port}", authority.host()),
            host: ServerName::try_from(host.to_owned())?,
            expected: Peer::service(service),
        })
    }

    async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let dialled = tokio::time::timeout(CONNECT_LIMIT, async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.connector.connect(self.host.clone(), stream).await
        });
        let stream = dialled
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let (_, session) = stream.get_ref();
        let found = session
            .peer_certificates()
            .and_then(|chain| Peer::from_certificate(chain.first()?));
        if found.as_ref() != Some(&self.expected) {
            tracing::error!(expected = ?self.expected, ?found, "another service answers there");
            return Err(std::io::Error::other("another service answers there"));
        }
        Ok(stream)
    }
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
