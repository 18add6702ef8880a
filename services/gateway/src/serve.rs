//! The public socket: plain or TLS, HTTP/1.1, with limits on what a silent client can hold.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::config::{Network, PublicTls};

/// How long a client may take to send a request's head, or to finish a TLS handshake.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// How long requests under way may take once the process was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How many connections there may be: in all, and from one address (IPv6: from one /64).
#[derive(Clone)]
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Seats {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each,
            taken: Arc::default(),
        }
    }

    /// A seat for the address, unless it has all that it may have.
    fn take(&self, address: IpAddr) -> Option<Seat> {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        (*count < self.each).then(|| {
            *count += 1;
            Seat {
                network,
                taken: self.taken.clone(),
            }
        })
    }
}

/// One connection of an address.
struct Seat {
    network: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

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
}

/// Serves until `stop`, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    seats: Seats,
    router: Router,
    stop: CancellationToken,
) -> Result<()> {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let seat = seats.all.clone().acquire_owned().await;
                (seat, listener.accept().await)
            } => accepted,
        };
        let (Ok(seat), accepted) = accepted else {
            break;
        };
        let (stream, remote) = match accepted {
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
        // A proxy's connections are everybody's.
        let own = match &door {
            Door::Proxies(_) => None,
            Door::Tls(_) | Door::Plain => match seats.take(remote.ip()) {
                Some(own) => Some(own),
                None => {
                    metrics::counter!("gateway_connections_refused_total").increment(1);
                    continue;
                }
            },
        };
        let tls = match &door {
            Door::Tls(tls) => Some(tls.clone()),
            Door::Proxies(_) | Door::Plain => None,
        };
        // A failure costs speed only.
        let _ = stream.set_nodelay(true);
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _seats = (seat, own);
            match tls {
                None => connection(stream, remote, router, watcher).await,
                Some(tls) => {
                    let shaken = tokio::time::timeout(HEAD_LIMIT, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        connection(stream, remote, router, watcher).await;
                    }
                }
            }
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

async fn connection<S>(stream: S, remote: SocketAddr, router: Router, watcher: Watcher)
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
    use super::*;

    #[test]
    fn one_address_takes_no_more_than_its_seats_and_gives_them_back() {
        let seats = Seats::new(10, 2);
        let take = |address: &str| seats.take(address.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::ffff").unwrap();
        assert!(take("2001:db8::2").is_none(), "the same /64");
        assert!(take("2001:db8:0:1::1").is_some());
        assert!(take("192.0.2.1").is_some());
        drop(first);
        assert!(take("2001:db8::2").is_some());
        assert_eq!(seats.taken.lock().unwrap().len(), 1);
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
