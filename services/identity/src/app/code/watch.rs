//! The changes of the session's challenge, as they happen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sallyport_chassis::Caller;
use sallyport_proto::otp::v1::WatchChallengeResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tracing::Instrument;
use uuid::Uuid;

use super::refusal::CodeRefusal;
use super::{LiveChallenge, otp};
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::challenges::{self, Challenge};

/// How often an open stream looks whether its session still has the challenge.
const LOOK: Duration = Duration::from_secs(1);

/// The streams of this process: one a session, so that a person who opens many pages holds no more
/// than one.
#[derive(Debug)]
pub struct Watches {
    stop: CancellationToken,
    open: Mutex<HashMap<Uuid, Slot>>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    token: CancellationToken,
}

impl Watches {
    /// None yet; `stop` ends them all.
    pub fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            stop,
            open: Mutex::default(),
        })
    }

    /// Opens the session's stream; one that was open ends.
    fn enter(self: &Arc<Self>, session_id: Uuid) -> Entered {
        let token = self.stop.child_token();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match open.remove(&session_id) {
            Some(before) => {
                before.token.cancel();
                before.number + 1
            }
            None => 0,
        };
        open.insert(
            session_id,
            Slot {
                number,
                token: token.clone(),
            },
        );
        Entered {
            watches: self.clone(),
            session_id,
            number,
            token,
        }
    }
}

/// Leaves when dropped.
struct Entered {
    watches: Arc<Watches>,
    session_id: Uuid,
    number: u64,
    token: CancellationToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self
            .watches
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if open
            .get(&self.session_id)
            .is_some_and(|slot| slot.number == self.number)
        {
            open.remove(&self.session_id);
        }
    }
}

/// The stream of one session's challenge.
pub type Watching = ReceiverStream<Result<LiveChallenge, CodeRefusal>>;

/// Follows the live challenge until it or the session ends, or the session follows it elsewhere.
#[tracing::instrument(skip_all)]
pub async fn watch_challenge(
    app: &App,
    caller: &Caller,
    watches: &Arc<Watches>,
) -> Result<Watching, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let challenge = challenges::of(&context.session)?.ok_or(CodeRefusal::NoChallenge)?;
    let changes = otp::watch(app, caller, &challenge).await?;
    let entered = watches.enter(context.session.id);
    let (sender, receiver) = mpsc::channel(4);
    let follow = Follow {
        app: app.clone(),
        challenge,
        session_ends_at: context.session.expires_at,
        changes,
        sender,
        entered,
    };
    tokio::spawn(follow.run().in_current_span());
    Ok(ReceiverStream::new(receiver))
}

struct Follow {
    app: App,
    challenge: Challenge,
    session_ends_at: i64,
    changes: Streaming<WatchChallengeResponse>,
    sender: mpsc::Sender<Result<LiveChallenge, CodeRefusal>>,
    entered: Entered,
}

impl Follow {
    async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let item = tokio::select! {
                () = self.entered.token.cancelled() => return,
                () = self.sender.closed() => return,
                _ = look.tick() => {
                    if self.is_over().await {
                        return;
                    }
                    continue;
                }
                item = self.changes.message() => item,
            };
            let (item, last) = match item {
                Ok(Some(change)) => (otp::watched(&self.challenge, change), false),
                Ok(None) => return,
                Err(status) => (Err(CodeRefusal::of_otp(status)), true),
            };
            // Nothing of a challenge is told to a session that has lost it.
            if self.is_over().await || self.sender.send(item).await.is_err() || last {
                return;
            }
        }
    }

    async fn is_over(&self) -> bool {
        let db = self.app.database.connection();
        self.app.clock.now_ms() >= self.session_ends_at
            || !challenges::is_current(db, &self.challenge)
                .await
                .unwrap_or(false)
    }
}
