//! The public socket: plain or TLS, HTTP/1.1, with limits on what a silent client can hold.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sallyport_chassis::seats::Seats;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::config::{Network, PublicTls, Settings};

/// How long a client may take to send a request's head, or to finish a TLS handshake.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// How long requests under way may take once the process was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(pub SocketAddr);

/// Reads certificate and key.
pub(crate) fn tls(config: &PublicTls) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&config.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("gateway.tls.cert_file {}", config.cert_file.display()))?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .with_context(|| format!("gateway.tls.key_file {}", config.key_file.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("gateway.tls")?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// How the public socket is protected.
pub(crate) enum Door {
    /// TLS of our own.
    Tls(TlsAcceptor),
    /// Plain, behind a proxy that does TLS: only these may connect.
    Proxies(Vec<Network>),
    /// Plain, in development.
    Plain,
}

impl Door {
    /// Whether a connection from this address is served at all.
    fn opens_to(&self, remote: IpAddr) -> bool {
        match self {
            Self::Proxies(proxies) => proxies.iter().any(|proxy| proxy.contains(remote)),
            Self::Tls(_) | Self::Plain => true,
        }
    }

    /// The seats behind it. A proxy's connections are everybody's, so that one address may have all.
    pub(crate) fn seats(&self, settings: &Settings) -> Seats {
        let all = settings.max_connections as usize;
        let each = match self {
            Self::Proxies(_) => all,
            Self::Tls(_) | Self::Plain => settings.max_connections_per_address as usize,
        };
        Seats::new(all, each, "gateway_connections_refused_total")
    }
}

/// Serves until `stop`, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    mut seats: Seats,
    router: Router,
    stop: CancellationToken,
) -> Result<()> {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = seats.accept(&listener) => accepted,
        };
        let (stream, remote, seat) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others may close meanwhile.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if !door.opens_to(remote.ip()) {
            tracing::warn!("a plain connection that came past the proxy was closed");
            continue;
        }
        let tls = match &door {
            Door::Tls(tls) => Some(tls.clone()),
            Door::Proxies(_) | Door::Plain => None,
        };
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _seat = seat;
            connection(stream, remote, tls, router, watcher).await;
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests under way did not end in time");
    }
    Ok(())
}

/// One connection, from the handshake to its end.
async fn connection<S>(
    stream: S,
    remote: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tls {
        None => requests(stream, remote, router, watcher).await,
        Some(tls) => {
            let shaken = tokio::time::timeout(HEAD_LIMIT, tls.accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                requests(stream, remote, router, watcher).await;
            }
        }
    }
}

async fn requests<S>(stream: S, remote: SocketAddr, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(Extension(Remote(remote)).layer(router));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(64 * 1024);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use rustls::server::ResolvesServerCertUsingSni;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    /// How a ClientHello begins.
    const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and 32 random bytes";

    /// What a client gets that sends this, a byte at each beat, and then nothing; and how long it is
    /// until the connection ends. In paused time, which goes on where everybody waits.
    async fn answer(tls: Option<TlsAcceptor>, sent: &[u8], beat: Duration) -> (String, Duration) {
        let (near, far) = tokio::io::duplex(4096);
        let router = Router::new().route("/", axum::routing::get(|| async { "answered" }));
        let graceful = GracefulShutdown::new();
        let remote = SocketAddr::from(([192, 0, 2, 1], 1));
        tokio::spawn(connection(far, remote, tls, router, graceful.watcher()));
        let started = tokio::time::Instant::now();
        let (mut reading, mut writing) = tokio::io::split(near);
        let send = async {
            let mut beats = tokio::time::interval(beat);
            for byte in sent {
                beats.tick().await;
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending().await
        };
        let mut answer = String::new();
        let read = tokio::select! {
            never = send => never,
            read = reading.read_to_string(&mut answer) => read,
        };
        read.unwrap();
        (answer, started.elapsed())
    }

    /// The answer, where the connection ended with the limit after `begun`.
    fn ended(begun: Duration, (answer, after): (String, Duration)) -> String {
        let limit = begun + HEAD_LIMIT;
        assert!(
            (limit..limit + Duration::from_millis(100)).contains(&after),
            "{after:?}"
        );
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_no_whole_head_is_left_at_the_limit() {
        let (slow, fast) = (Duration::from_secs(1), Duration::from_millis(1));
        let none = Duration::ZERO;
        assert_eq!(ended(none, answer(None, b"", slow).await), "");
        assert_eq!(ended(none, answer(None, HEAD, slow).await), "");
        assert_eq!(ended(none, answer(None, &HEAD[..20], fast).await), "");
        // A whole one is answered, and the next one is waited for as long.
        let sent = fast * (HEAD.len() as u32 - 1);
        let answered = ended(sent, answer(None, HEAD, fast).await);
        assert!(answered.ends_with("answered"), "{answered}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_shake_hands_is_left_at_the_limit() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let tls = TlsAcceptor::from(Arc::new(server));
        for sent in [&b""[..], HELLO] {
            let slow = Duration::from_secs(1);
            let answer = answer(Some(tls.clone()), sent, slow).await;
            assert_eq!(ended(Duration::ZERO, answer), "");
        }
    }

    #[test]
    fn a_plain_production_socket_opens_to_the_proxy_and_to_nobody_else() {
        let network = Network::try_from("10.0.0.0/8".to_owned()).unwrap();
        let door = Door::Proxies(vec![network]);
        for (remote, opens) in [
            ("10.1.2.3", true),
            ("127.0.0.1", false),
            ("203.0.113.9", false),
        ] {
            assert_eq!(door.opens_to(remote.parse().unwrap()), opens, "{remote}");
        }
    }
}
