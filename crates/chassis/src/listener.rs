//! Where a service is reached: a TCP socket (with or without TLS), a unix socket, or memory.
//!
//! Who is at the other end is known from the client certificate over TLS, from the socket's file
//! mode on a unix socket, and by name in memory. Over plain TCP nobody is known.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, Result, ensure};
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::caller::Peer;
use crate::config::{ListenConfig, Profile};

/// How long nothing is accepted after a failure to accept.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What is known of a connection before its first request.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// The peer that the transport vouches for, apart from a TLS certificate.
    pub peer: Peer,
    /// The address at the other end of a TCP connection.
    pub remote: Option<SocketAddr>,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Conn {
    io: Io,
    info: ConnInfo,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(DuplexStream),
}

impl Conn {
    pub(crate) fn memory(stream: DuplexStream, peer: Peer) -> Self {
        Self {
            io: Io::Memory(stream),
            info: ConnInfo { peer, remote: None },
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
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.get_mut().io {
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
        each_io!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        each_io!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        each_io!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        each_io!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

enum Source {
    Tcp(TcpListener),
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
        let socket = TcpListener::bind(config.address)
            .await
            .with_context(|| format!("listen.address {} cannot be bound", config.address))?;
        Ok(Self {
            sources: vec![Source::Tcp(socket)],
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
            Source::Tcp(socket) => socket.local_addr().ok(),
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
            Self::Tcp(socket) => socket.poll_accept(cx).map(|accepted| {
                Some(accepted.map(|(stream, remote)| {
                    // Small answers must not wait for Nagle's algorithm; a failure costs speed only.
                    let _ = stream.set_nodelay(true);
                    let info = ConnInfo {
                        peer: Peer::Anonymous,
                        remote: Some(remote),
                    };
                    Conn {
                        io: Io::Tcp(stream),
                        info,
                    }
                }))
            }),
            Self::Unix(socket, peer) => socket.poll_accept(cx).map(|accepted| {
                Some(accepted.map(|(stream, _)| Conn {
                    io: Io::Unix(stream),
                    info: ConnInfo {
                        peer: peer.clone(),
                        remote: None,
                    },
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
        .timeout(std::time::Duration::from_secs(5)))
}
