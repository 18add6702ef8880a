//! Where a service is reached: a TCP socket (with or without TLS), a unix socket, or memory.
//!
//! Who is at the other end is known from the client certificate over TLS, from the socket's file
//! mode on a unix socket, and by name in memory. Over plain TCP nobody is known.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::caller::Peer;
use crate::config::{ListenConfig, Profile};
use crate::seats::{Seat, Seats};

/// How long nothing is accepted after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may be open before the first call that its peer may make, handshakes
/// included: one that asks for nothing would keep its seat for good.
pub(crate) const FIRST_CALL_LIMIT: Duration = Duration::from_secs(15);
/// How long an anonymous peer's connection may stay without a call under way.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long an anonymous peer may keep a connection, whatever is under way. Longer than a code lives,
/// so that whoever follows one hears of its end.
pub(crate) const AGE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// What is known of a connection before its first call, and what it has asked for since.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// The peer that the transport vouches for, apart from a TLS certificate.
    pub peer: Peer,
    /// The address at the other end of a TCP connection.
    pub remote: Option<SocketAddr>,
    /// The seats that anonymous peers may hold; `None` where connections are not counted.
    anonymous: Option<Arc<Semaphore>>,
    standing: Arc<Mutex<Standing>>,
    /// The peer that the TLS certificate names, read at the first call.
    certified: Arc<OnceLock<Peer>>,
}

#[derive(Debug, Default)]
struct Standing {
    /// A certificate or the transport names the peer that called.
    known: bool,
    /// Calls of an anonymous peer that are under way.
    calls: usize,
    /// When one of them last began or ended.
    last: Option<Instant>,
    /// One of the anonymous peers' seats, from the first call on.
    _seat: Option<OwnedSemaphorePermit>,
}

/// Anonymous peers hold all the seats that they may.
#[derive(Debug)]
pub(crate) struct Full;

/// An anonymous peer's call, under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Call(ConnInfo);

impl Drop for Call {
    fn drop(&mut self) {
        let mut standing = self.0.standing();
        standing.calls -= 1;
        standing.last = Some(Instant::now());
    }
}

impl ConnInfo {
    pub(crate) fn new(peer: Peer, remote: Option<SocketAddr>) -> Self {
        Self {
            peer,
            remote,
            anonymous: None,
            standing: Arc::default(),
            certified: Arc::default(),
        }
    }

    /// The peer that the connection's certificate names. A connection keeps its certificate, so it is
    /// read once, not with each call.
    pub(crate) fn certified(&self, read: impl FnOnce() -> Peer) -> &Peer {
        self.certified.get_or_init(read)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that this peer may make.
    pub(crate) fn call(&self, peer: &Peer) -> Result<Option<Call>, Full> {
        let mut standing = self.standing();
        if *peer != Peer::Anonymous {
            standing.known = true;
            return Ok(None);
        }
        if let (None, Some(seats)) = (standing.last, &self.anonymous) {
            let seat = Arc::clone(seats).try_acquire_owned();
            standing._seat = Some(seat.map_err(|_| Full)?);
        }
        standing.calls += 1;
        standing.last = Some(Instant::now());
        Ok(Some(Call(self.clone())))
    }

    /// When the connection ends unless it asks for more; `None` where its peer is known.
    fn ends_at(&self, opened: Instant) -> Option<Instant> {
        let standing = self.standing();
        match standing.last {
            _ if standing.known => None,
            None => Some(opened + FIRST_CALL_LIMIT),
            Some(_) if standing.calls > 0 => Some(opened + AGE_LIMIT),
            Some(last) => Some((last + IDLE_LIMIT).min(opened + AGE_LIMIT)),
        }
    }
}

/// One accepted connection.
#[derive(Debug)]
pub struct Conn {
    io: Io,
    info: ConnInfo,
    opened: Instant,
    /// Runs until the peer is known.
    end: Option<Pin<Box<Sleep>>>,
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
        let opened = Instant::now();
        Self {
            io,
            info,
            opened,
            end: Some(Box::pin(tokio::time::sleep_until(
                opened + FIRST_CALL_LIMIT,
            ))),
            _seat: seat,
        }
    }

    pub(crate) fn memory(stream: DuplexStream, peer: Peer) -> Self {
        Self::new(Io::Memory(stream), ConnInfo::new(peer, None), None)
    }

    /// An error where it has been open for longer than what it asks for allows. A peer that does not
    /// read is met where it is written to.
    fn check(&mut self, cx: &mut TaskContext<'_>) -> std::io::Result<()> {
        let Some(end) = &mut self.end else {
            return Ok(());
        };
        let Some(ends_at) = self.info.ends_at(self.opened) else {
            self.end = None;
            return Ok(());
        };
        if end.deadline() != ends_at {
            end.as_mut().reset(ends_at);
        }
        match end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(std::io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
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
        conn.check(cx)?;
        each_io!(conn, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let conn = self.get_mut();
        conn.check(cx)?;
        each_io!(conn, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        let conn = self.get_mut();
        conn.check(cx)?;
        each_io!(conn, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        each_io!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}

enum Source {
    Tcp {
        socket: TcpListener,
        seats: Seats,
        anonymous: Arc<Semaphore>,
    },
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
        let all = config.max_connections as usize;
        let seats = Seats::new(
            all,
            config.max_connections_per_address as usize,
            "grpc_connections_refused_total",
        );
        let socket = TcpListener::bind(config.address)
            .await
            .with_context(|| format!("listen.address {} cannot be bound", config.address))?;
        let tcp = Source::Tcp {
            socket,
            seats,
            // The other half is for peers with a certificate.
            anonymous: Arc::new(Semaphore::new(all.div_ceil(2))),
        };
        Ok(Self {
            sources: vec![tcp],
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
            Source::Tcp { socket, .. } => socket.local_addr().ok(),
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
            Self::Tcp {
                socket,
                seats,
                anonymous,
            } => {
                let accepted = ready!(seats.poll_accept(socket, cx));
                Poll::Ready(Some(accepted.map(|(stream, remote, seat)| {
                    let info = ConnInfo {
                        anonymous: Some(Arc::clone(anonymous)),
                        ..ConnInfo::new(Peer::Anonymous, Some(remote))
                    };
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

    #[tokio::test]
    async fn anonymous_peers_hold_half_of_the_seats_and_give_them_back() {
        let config = ListenConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            max_connections: 4,
            max_connections_per_address: 4,
        };
        let mut listener = Listener::bind(&config, Profile::Development).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut held, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await.unwrap());
            held.push(listener.next().await.unwrap().unwrap());
        }
        let call = |conn: &Conn, peer: &Peer| conn.connect_info().call(peer);
        call(&held[0], &Peer::Anonymous).unwrap();
        call(&held[1], &Peer::Anonymous).unwrap();
        call(&held[2], &Peer::Anonymous).unwrap_err();
        // Whoever has a seat goes on, and so does whom a certificate names.
        call(&held[1], &Peer::Anonymous).unwrap();
        call(&held[3], &Peer::service("gateway")).unwrap();
        drop(held.remove(0));
        call(&held[1], &Peer::Anonymous).unwrap();
    }
}
