//! A bind that lives: one session after another, with rests where the carrier asks for them.

use std::future::{Future, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::answer::{BindRest, Class, classify};
use crate::config::{ConfigError, SessionConfig};
use crate::deliver::Delivery;
use crate::outcome::{Answer, NotWritten, SubmitOutcome};
use crate::pause::{Pause, jittered};
use crate::request::SubmitRequest;
use crate::session::{ConnectError, Session};

/// What a bind is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindState {
    /// Connecting and binding.
    Connecting,
    /// Bound, and takes messages.
    Bound,
    /// Bound, and rests until then because the carrier asked for it. Receipts still come in.
    Paused(Instant),
    /// Without a session until then.
    Waiting(Instant),
    /// The carrier refuses who we say we are, with this `command_status`: a person has to look.
    /// Tried again then.
    Refused(u32, Instant),
    /// Ended for good.
    Stopped,
}

/// Why a session is attended no more.
enum Left {
    /// It ended.
    Lost,
    /// It lives, and is of no use.
    Retired,
}

struct Inner {
    config: SessionConfig,
    session: watch::Sender<Option<Arc<Session>>>,
    state: watch::Sender<BindState>,
    pause: Mutex<Pause>,
    /// The end of the last rest that began; wakes the keeper.
    rested: watch::Sender<Option<Instant>>,
    grace: Mutex<Duration>,
    stop: CancellationToken,
    keeper: TaskTracker,
}

/// A handle on a bind. Clones share it; when the last is dropped the bind stops politely.
#[derive(Clone)]
pub struct Bind {
    inner: Arc<Inner>,
    _stop: Arc<DropGuard>,
}

impl std::fmt::Debug for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bind")
            .field("name", &self.inner.config.name)
            .field("state", &*self.inner.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Bind {
    /// Starts a bind that connects, reconnects, and ends when `stop` is cancelled. Returns at
    /// once: [`Bind::state`] tells when it is bound.
    ///
    /// What the carrier delivers goes into `deliveries`, over all sessions. While that channel is
    /// full or closed the carrier is told to try again later. Two binds of one carrier may share
    /// the channel.
    ///
    /// # Errors
    /// [`ConfigError`], before anything is tried.
    pub fn start(
        config: SessionConfig,
        deliveries: mpsc::Sender<Delivery>,
        stop: &CancellationToken,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let stop = stop.child_token();
        let grace = config.response_timeout;
        let span = tracing::info_span!("bind", name = config.name);
        let inner = Arc::new(Inner {
            config,
            session: watch::Sender::new(None),
            state: watch::Sender::new(BindState::Connecting),
            pause: Mutex::default(),
            rested: watch::Sender::new(None),
            grace: Mutex::new(grace),
            stop: stop.clone(),
            keeper: TaskTracker::new(),
        });
        inner
            .keeper
            .spawn(Arc::clone(&inner).keep(deliveries).instrument(span));
        inner.keeper.close();
        Ok(Self {
            inner,
            _stop: Arc::new(stop.drop_guard()),
        })
    }

    /// What the bind is doing, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BindState> {
        self.inner.state.subscribe()
    }

    /// Sends a message over the session of the moment. While there is none, and while the bind
    /// rests, the message comes back at once as not written. An answer that asks for a rest, or
    /// says that the bind is broken, is acted upon here.
    pub async fn submit(&self, request: &SubmitRequest) -> SubmitOutcome {
        self.submit_after(request, ready(true)).await
    }

    /// [`Bind::submit`], with `before` awaited once there is a slot of the window and nothing is left
    /// to do but to write. Where it says no, nothing is written.
    pub async fn submit_after(
        &self,
        request: &SubmitRequest,
        before: impl Future<Output = bool>,
    ) -> SubmitOutcome {
        let inner = &self.inner;
        if inner.stop.is_cancelled() {
            return SubmitOutcome::NotWritten(NotWritten::Stopping);
        }
        if let Err(why) = inner.may_speak() {
            return SubmitOutcome::NotWritten(why);
        }
        let session = inner.session.borrow().clone();
        let Some(session) = session else {
            return SubmitOutcome::NotWritten(NotWritten::NotBound);
        };
        // Asked again once a slot is there, and after what took its time: a rest may have begun
        // meanwhile.
        let gate = async {
            inner.may_speak()?;
            if !before.await {
                return Err(NotWritten::Withdrawn);
            }
            inner.may_speak()
        };
        let learn = |answer: &Answer| match classify(answer.command_status) {
            Class::Accepted => inner.pause().accepted(Instant::now()),
            Class::Bind(rest) => inner.rest(&rest, &session),
            _ => {}
        };
        session.submit_with(request, gate, learn).await
    }

    /// Ends the bind: takes no more messages, waits at most `grace` (and never longer than an
    /// answer may take) for those in flight, unbinds and closes. Cancelling the token that the
    /// bind was started with does the same, with the response time-out as grace.
    pub async fn shutdown(&self, grace: Duration) {
        *self
            .inner
            .grace
            .lock()
            .unwrap_or_else(PoisonError::into_inner) =
            grace.min(self.inner.config.response_timeout);
        self.inner.stop.cancel();
        self.inner.keeper.wait().await;
    }
}

impl Inner {
    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_speak(&self) -> Result<(), NotWritten> {
        match self.pause().until(Instant::now()) {
            Some(_) => Err(NotWritten::Paused),
            None => Ok(()),
        }
    }

    fn rest(&self, rest: &BindRest, session: &Session) {
        let begun = self.pause().rest(rest, Instant::now());
        if begun.is_some() {
            self.rested.send_replace(begun);
        }
        if rest.rebind {
            session.retire();
        }
    }

    fn set(&self, state: BindState) {
        let bound = matches!(state, BindState::Bound | BindState::Paused(_));
        metrics::gauge!("smpp_bound", "bind" => self.config.name.clone()).set(if bound {
            1.0
        } else {
            0.0
        });
        self.state.send_replace(state);
    }

    async fn keep(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>) {
        let mut failures = 0;
        loop {
            self.set(BindState::Connecting);
            let connecting = Session::connect(&self.config, deliveries.clone());
            let Some(connected) = self.unless_stopped(connecting).await else {
                break;
            };
            let mut wait = self.backoff(failures);
            failures = failures.saturating_add(1);
            let mut refused = None;
            match connected {
                Ok(session) => {
                    let session = Arc::new(session);
                    let began = Instant::now();
                    let left = self.unless_stopped(self.attend(&session)).await;
                    self.session.send_replace(None);
                    match left {
                        Some(Left::Lost) => {}
                        Some(Left::Retired) => session.unbind(self.config.response_timeout).await,
                        None => {
                            let grace = *self.grace.lock().unwrap_or_else(PoisonError::into_inner);
                            session.unbind(grace).await;
                            break;
                        }
                    }
                    // A carrier that binds us only to drop us gets no burst of connections: what
                    // clears the failures is a session that lasted.
                    if began.elapsed() >= self.config.reconnect_most {
                        failures = 1;
                        wait = self.backoff(0);
                    }
                }
                Err(error) => {
                    if let ConnectError::Refused(status) = &error
                        && let Class::Bind(rest @ BindRest { alert: true, .. }) = classify(*status)
                    {
                        wait = rest.after(0);
                        refused = Some(*status);
                        tracing::error!(status, "the carrier refuses our credentials");
                    } else {
                        tracing::warn!(error = &error as &dyn std::error::Error, "not bound");
                    }
                }
            }
            let until = Instant::now() + wait;
            self.set(match refused {
                Some(status) => BindState::Refused(status, until),
                None => BindState::Waiting(until),
            });
            if self.unless_stopped(sleep(wait)).await.is_none() {
                break;
            }
        }
        self.set(BindState::Stopped);
    }

    /// Shows the session to submitters until it ends, and the rests in it to watchers.
    async fn attend(&self, session: &Arc<Session>) -> Left {
        let mut rested = self.rested.subscribe();
        self.session.send_replace(Some(Arc::clone(session)));
        loop {
            let until = self.pause().until(Instant::now());
            self.set(until.map_or(BindState::Bound, BindState::Paused));
            tokio::select! {
                reason = session.ended() => {
                    tracing::warn!(?reason, "session lost");
                    return Left::Lost;
                }
                () = session.retired() => {
                    tracing::warn!("the carrier takes this session for unbound: binding anew");
                    return Left::Retired;
                }
                _ = rested.changed() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
            }
        }
    }

    async fn unless_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stop.run_until_cancelled(future).await
    }

    fn backoff(&self, failures: u32) -> Duration {
        let (first, most) = (self.config.reconnect_first, self.config.reconnect_most);
        // Without randomness the longest wait is the safe one.
        jittered(first, most, failures, getrandom::u64().unwrap_or(u64::MAX))
    }
}
