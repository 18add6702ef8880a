//! Where a service is reached: a TCP socket (with or without TLS), a unix socket, or memory.
//!
//! Who is at the other end is known from the client certificate over TLS, from the socket's file
//! mode on a unix socket, and by name in memory. Over plain TCP nobody is known.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tonic::transport::server::Connected;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::caller::Peer;
use crate::config::{ListenConfig, Profile};
use crate::seats::{Seat, Seats};

/// How long nothing is accepted after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may be open before its first request, handshakes included: one that says
/// nothing would keep its seat for good.
pub(crate) const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// What is known of a connection before its first request.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// The peer that the transport vouches for, apart from a TLS certificate.
    pub peer: Peer,
    /// The address at the other end of a TCP connection.
    pub remote: Option<SocketAddr>,
    /// Whether a request has come.
    asked: Arc<AtomicBool>,
}

impl ConnInfo {
    pub(crate) fn new(peer: Peer, remote: Option<SocketAddr>) -> Self {
        Self {
            peer,
            remote,
            asked: Arc::default(),
        }
    }

    /// A request has come: the connection may stay.
    pub(crate) fn asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

/// One accepted connection.
#[derive(Debug)]
pub struct Conn {
    io: Io,
    info: ConnInfo,
    /// Runs until the first request has come.
    silence: Option<Pin<Box<Sleep>>>,
    _seat: Option<Seat>,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(DuplexStream),
}

impl Conn {
    fn new(io: Io, info: ConnInfo, seat: Option<Seat>) -> Self {
        Self {
            io,
            info,
            silence: Some(Box::pin(tokio::time::sleep(FIRST_REQUEST_LIMIT))),
            _seat: seat,
        }
    }

    pub(crate) fn memory(stream: DuplexStream, peer: Peer) -> Self {
        Self::new(Io::Memory(stream), ConnInfo::new(peer, None), None)
    }

    /// Whether it has been open too long without a request.
    fn is_silent(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.info.asked.load(Ordering::Relaxed) {
            self.silence = None;
        }
        self.silence
            .as_mut()
            .is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
    }
}

impl Connected for Conn {
    type ConnectInfo = ConnInfo;

    fn connect_info(&self) -> ConnInfo {
        self.info.clone()
    }
}

macro_rules! each_io {
    ($conn:expr, $io:ident => $call:expr) => {
        match &mut $conn.io {
            Io::Tcp($io) => $call,
            Io::Unix($io) => $call,
            Io::Memory($io) => $call,
        }
    };
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let conn = self.get_mut();
        if conn.is_silent(cx) {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        each_io!(conn, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        each_io!(self.get_mut(), io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        each_io!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        each_io!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}

enum Source {
    Tcp(TcpListener, Seats),
    Unix(UnixListener, Peer),
    Memory(mpsc::Receiver<Conn>),
}

/// A bound place to be reached at. Binding comes first at start, so that a taken port is told at
/// once.
pub struct Listener {
    sources: Vec<Source>,
    /// Set while nothing is accepted, after a failure to accept.
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    pub(crate) tls: Option<ServerTlsConfig>,
}

impl Listener {
    /// Binds the TCP socket that the configuration names. A socket that is not on loopback needs
    /// TLS; in production every socket does.
    pub async fn bind(config: &ListenConfig, profile: Profile) -> Result<Self> {
        let tls = config.tls.as_ref().map(server_tls).transpose()?;
        ensure!(
            tls.is_some() || profile == Profile::Development,
            "listen.tls must be set with profile = \"production\" (plain listeners are refused)"
        );
        ensure!(
            tls.is_some() || config.address.ip().is_loopback(),
            "listen.address {} is not on loopback, so listen.tls must be set",
            config.address
        );
        ensure!(
            config.max_connections > 0 && config.max_connections_per_address > 0,
            "listen.max_connections and max_connections_per_address must be at least 1"
        );
        let seats = Seats::new(
            config.max_connections as usize,
            config.max_connections_per_address as usize,
            "grpc_connections_refused_total",
        );
        let socket = TcpListener::bind(config.address)
            .await
            .with_context(|| format!("listen.address {} cannot be bound", config.address))?;
        Ok(Self {
            sources: vec![Source::Tcp(socket, seats)],
            pause: None,
            tls,
        })
    }

    /// Binds a unix socket of mode 0600: whoever may open it is the named peer.
    pub fn unix(path: &Path, peer: Peer) -> Result<Self> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
        let socket = UnixListener::bind(path)
            .with_context(|| format!("unix socket {} cannot be bound", path.display()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            sources: vec![Source::Unix(socket, peer)],
            pause: None,
            tls: None,
        })
    }

    /// A listener inside the process, and the dialler that reaches it.
    pub fn memory() -> (crate::channel::Dialler, Self) {
        let (sender, receiver) = mpsc::channel(64);
        let listener = Self {
            sources: vec![Source::Memory(receiver)],
            pause: None,
            tls: None,
        };
        (crate::channel::Dialler::new(sender), listener)
    }

    /// The TCP address, where there is one (port 0 has become a real one).
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.sources.iter().find_map(|source| match source {
            Source::Tcp(socket, _) => socket.local_addr().ok(),
            _ => None,
        })
    }

    /// One listener that is reached in both places. Only for places without TLS of their own: the
    /// peers of memory and of a unix socket.
    pub fn and(mut self, other: Self) -> Result<Self> {
        ensure!(
            self.tls.is_none() && other.tls.is_none(),
            "a TLS listener stands alone"
        );
        self.sources.extend(other.sources);
        Ok(self)
    }
}

impl Source {
    fn poll_accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<std::io::Result<Conn>>> {
        match self {
            Self::Tcp(socket, seats) => {
                let accepted = ready!(seats.poll_accept(socket, cx));
                Poll::Ready(Some(accepted.map(|(stream, remote, seat)| {
                    let info = ConnInfo::new(Peer::Anonymous, Some(remote));
                    Conn::new(Io::Tcp(stream), info, Some(seat))
                })))
            }
            Self::Unix(socket, peer) => socket.poll_accept(cx).map(|accepted| {
                Some(accepted.map(|(stream, _)| {
                    Conn::new(Io::Unix(stream), ConnInfo::new(peer.clone(), None), None)
                }))
            }),
            Self::Memory(receiver) => receiver.poll_recv(cx).map(|conn| conn.map(Ok)),
        }
    }
}

impl Stream for Listener {
    type Item = std::io::Result<Conn>;

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<std::io::Result<Conn>>> {
        let listener = self.get_mut();
        if let Some(pause) = &mut listener.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            listener.pause = None;
        }
        let sources = &mut listener.sources;
        let mut index = 0;
        while index < sources.len() {
            match sources[index].poll_accept(cx) {
                // Every dialler of a memory listener is gone: nobody can come any more.
                Poll::Ready(None) => {
                    sources.remove(index);
                }
                Poll::Ready(Some(Err(error))) => {
                    // Out of file descriptors, most likely: others may close meanwhile.
                    tracing::warn!(%error, "a connection could not be accepted");
                    listener.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(accepted) => return Poll::Ready(accepted),
                Poll::Pending => index += 1,
            }
        }
        if sources.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

fn server_tls(config: &crate::config::TlsConfig) -> Result<ServerTlsConfig> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("TLS file {} cannot be read", path.display()))
    };
    let identity = Identity::from_pem(read(&config.cert_file)?, read(&config.key_file)?);
    Ok(ServerTlsConfig::new()
        .identity(identity)
        .client_ca_root(Certificate::from_pem(read(&config.ca_file)?))
        // Public RPCs answer without a certificate; the caller table refuses the others.
        .client_auth_optional(true)
        .timeout(HANDSHAKE_LIMIT))
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, poll};

    use super::*;

    #[tokio::test]
    async fn a_full_listener_takes_the_next_connection_once_one_has_ended() {
        let config = ListenConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            max_connections: 1,
            max_connections_per_address: 2,
        };
        let mut listener = Listener::bind(&config, Profile::Development).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let served = listener.next().await.unwrap().unwrap();
        assert!(poll!(listener.next()).is_pending());
        drop(served);
        listener.next().await.unwrap().unwrap();
    }
}
