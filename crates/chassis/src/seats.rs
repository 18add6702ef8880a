//! How many connections a TCP socket holds: in all, and from one address. What comes when every seat
//! is taken waits in the system's queue; what its own address has no seat left for is closed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Connections by network.
type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The seats of one socket.
#[derive(Debug)]
pub struct Seats {
    all: PollSemaphore,
    /// The seat of the next connection.
    next: Option<OwnedSemaphorePermit>,
    each: usize,
    taken: Taken,
    refused: &'static str,
}

impl Seats {
    /// So many connections in all and from one address (IPv6: from one /64); `refused` is the metric
    /// that counts those beyond what one address may have.
    pub fn new(all: usize, each: usize, refused: &'static str) -> Self {
        Self {
            all: PollSemaphore::new(Arc::new(Semaphore::new(all))),
            next: None,
            each,
            taken: Taken::default(),
            refused,
        }
    }

    /// The next connection that there is a seat for. It keeps the seat until the seat is dropped.
    ///
    /// # Errors
    /// The system gives no connection: out of file descriptors, most likely.
    pub async fn accept(
        &mut self,
        socket: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, Seat)> {
        std::future::poll_fn(|cx| self.poll_accept(socket, cx)).await
    }

    /// The same, for who polls.
    pub fn poll_accept(
        &mut self,
        socket: &TcpListener,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<(TcpStream, SocketAddr, Seat)>> {
        loop {
            if self.next.is_none() {
                self.next = ready!(self.all.poll_acquire(cx));
            }
            let (stream, remote) = ready!(socket.poll_accept(cx))?;
            let Some(share) = self.share(remote.ip()) else {
                metrics::counter!(self.refused).increment(1);
                continue;
            };
            // Small answers must not wait for Nagle's algorithm; a failure costs speed only.
            let _ = stream.set_nodelay(true);
            let seat = Seat {
                _all: self.next.take(),
                _share: share,
            };
            return Poll::Ready(Ok((stream, remote, seat)));
        }
    }

    /// One more of the address's, unless it has all that it may have.
    fn share(&self, address: IpAddr) -> Option<Share> {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        (*count < self.each).then(|| {
            *count += 1;
            Share {
                network,
                taken: Arc::clone(&self.taken),
            }
        })
    }
}

/// What one connection takes while it lasts.
#[derive(Debug)]
pub struct Seat {
    _all: Option<OwnedSemaphorePermit>,
    _share: Share,
}

/// One connection of an address.
#[derive(Debug)]
struct Share {
    network: IpAddr,
    taken: Taken,
}

impl Drop for Share {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_no_more_than_its_seats_and_gives_them_back() {
        let seats = Seats::new(10, 2, "refused");
        let take = |address: &str| seats.share(address.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::ffff").unwrap();
        assert!(take("2001:db8::2").is_none(), "the same /64");
        assert!(take("2001:db8:0:1::1").is_some());
        assert!(take("192.0.2.1").is_some());
        drop(first);
        assert!(take("2001:db8::2").is_some());
        assert_eq!(seats.taken.lock().unwrap().len(), 1);
    }
}
