//! A way to Redis that stops at one request: what was asked for is never done, and the process that
//! asked hangs at exactly that step. So it can be killed between two steps, and not near them.

use std::time::Duration;

use anyhow::{Context, Result};
use sallyport_testkit::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is not asked for by then never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a dispatcher asks of Redis about a message.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// To take it.
    Claim,
    /// To record the route that it is about to be written to.
    Route,
    /// To put it back.
    Release,
}

impl Step {
    /// What stands in this request and in no other.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Claim => b"\"lease\":",
            Self::Route => b"\"settle\":\"writing\"",
            Self::Release => b"\"settle\":\"released\"",
        }
    }
}

/// What the gate looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nothing,
    For { mark: &'static [u8], stop: bool },
    Asked,
}

/// Hands on everything between a process and Redis, but for the step that it is told to stop at.
pub struct Gate {
    url: String,
    watched: watch::Sender<Watched>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// A gate in front of this Redis.
    pub async fn before(redis: &Redis) -> Result<Self> {
        let behind = redis.url();
        let behind = behind.strip_prefix("redis://").context("no plain Redis")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("redis://{}", listener.local_addr()?);
        let watched = watch::Sender::new(Watched::Nothing);
        let accepting = tokio::spawn(accept(listener, behind.to_owned(), watched.clone()));
        Ok(Self {
            url,
            watched,
            accepting,
        })
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whoever asks for this step next hangs there: neither that request nor a later one on its
    /// connection is handed on.
    pub fn stop_at(&self, step: Step) {
        self.watch(step, true);
    }

    /// The next such request is handed on, and [`asked`](Self::asked) tells of it.
    pub fn look_for(&self, step: Step) {
        self.watch(step, false);
    }

    fn watch(&self, step: Step, stop: bool) {
        let mark = step.mark();
        self.watched.send_replace(Watched::For { mark, stop });
    }

    /// Waits until the step was asked for.
    pub async fn asked(&self) -> Result<()> {
        let mut watched = self.watched.subscribe();
        let asked = watched.wait_for(|watched| *watched == Watched::Asked);
        tokio::time::timeout(PATIENCE, asked)
            .await
            .context("nobody asked for the step")??;
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, behind: String, watched: watch::Sender<Watched>) {
    while let Ok((near, _)) = listener.accept().await {
        // Whoever finds no Redis behind the gate is cut off, as Redis itself would be.
        let Ok(far) = TcpStream::connect(&behind).await else {
            continue;
        };
        let (asks, mut told) = near.into_split();
        let (mut answers, asked) = far.into_split();
        tokio::spawn(hand_on(asks, asked, watched.clone()));
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut told).await });
    }
}

/// Hands on what a process asks, until it asks for what it is to be stopped at. The connection stays
/// open then, or the process would ask anew on another one.
async fn hand_on(
    mut asks: OwnedReadHalf,
    mut asked: OwnedWriteHalf,
    watched: watch::Sender<Watched>,
) {
    // A request is far shorter, so it comes in one piece.
    let mut piece = vec![0; 64 * 1024];
    let mut stopped = false;
    while let Ok(length @ 1..) = asks.read(&mut piece).await {
        let piece = &piece[..length];
        let mut found = false;
        if let Watched::For { mark, stop } = *watched.borrow() {
            found = piece.windows(mark.len()).any(|part| part == mark);
            stopped |= found && stop;
        }
        if !stopped && asked.write_all(piece).await.is_err() {
            return;
        }
        // Told last: by then it is on its way, or never will be.
        if found {
            watched.send_replace(Watched::Asked);
        }
    }
}
