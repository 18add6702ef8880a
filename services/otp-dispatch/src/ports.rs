//! The ports of this service. Each has two real implementations and one contract suite
//! (`tests/contract.rs`) that both owe. A port is shaped by what must be atomic; an operation on the
//! hot path is one round trip.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use sallyport_phone::PhoneNumber;

use crate::domain::challenge::{
    Attempt, Binding, ChallengeView, CreateOutcome, NewChallenge, Resend, ResendOutcome, Verdict,
};
use crate::domain::guard::DayTotal;
use crate::domain::message::{Class, MessageState, QueueMessage};

/// A store's trouble; the request that met it is refused, never allowed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is away or did not answer in time.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store answered cannot be what we wrote.
    #[error("the store answered something unexpected: {0}")]
    Corrupt(&'static str),
}

/// Challenges: created under limits, decided once. All instants are unix milliseconds that the
/// caller gives.
#[async_trait]
pub trait ChallengeStore: Send + Sync {
    /// In one atomic step: repeats the answer to a known idempotency key, else checks and counts
    /// every limit, asks the guard, stores the challenge, and stores its first message as `accepting`
    /// together with the sealed queue message, so that a sweep can publish it again.
    async fn create(&self, new: NewChallenge) -> Result<CreateOutcome, StoreError>;

    /// Decides one attempt in one atomic step: expiry, single use, tries left; a right code is counted
    /// as verified. The answer to a known request id is repeated and burns nothing.
    async fn verify(&self, attempt: Attempt) -> Result<Verdict, StoreError>;

    /// In one atomic step: too early, no sends left, limits, the guard, or a new message `accepting`.
    async fn resend(&self, resend: Resend) -> Result<ResendOutcome, StoreError>;

    /// Ends a challenge; its waiting messages will be suppressed. Unknown ones are no error.
    async fn cancel(&self, id: &str, binding: &Binding, now: i64) -> Result<(), StoreError>;

    /// The challenge with its newest message, if it exists under this binding.
    async fn read(
        &self,
        id: &str,
        binding: &Binding,
        now: i64,
    ) -> Result<Option<ChallengeView>, StoreError>;
}

/// The guard's long memory. What it decides by is read and counted by [`ChallengeStore`], in the
/// steps that it belongs to; here a store that has lost everything is told its history again.
#[async_trait]
pub trait GuardStore: Send + Sync {
    /// Whether the store holds its history.
    async fn is_seeded(&self) -> Result<bool, StoreError>;

    /// Raises what was verified on days to these counts. `complete`: from now on the store holds its
    /// history.
    async fn seed(&self, totals: &[DayTotal], complete: bool, now: i64) -> Result<(), StoreError>;
}

/// What a dispatcher may do with a message that it took from the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It holds the message until the lease ends; `fence` proves it to `settle`.
    Send {
        /// Grows with every claim of this message.
        fence: u64,
    },
    /// A carrier has it, or it is settled otherwise: acknowledge.
    Settled(MessageState),
    /// Deadline passed; now recorded as expired: acknowledge.
    Expired,
    /// Challenge used or cancelled; now recorded as suppressed: acknowledge.
    Suppressed,
    /// Another dispatcher holds it: try again later.
    Held,
    /// A holder died while it may have been writing to a carrier: the lease is taken over, and what
    /// happened is in doubt.
    Doubt {
        /// Grows with every claim of this message.
        fence: u64,
        /// The route that the dead holder used.
        route: String,
    },
    /// The store has no state of this message.
    StateLost,
}

/// How a dispatcher ends its hold on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// Names the route before writing, once that is certain, so that a death in between is known as
    /// doubt, and one before is not.
    Writing {
        /// The route's name.
        route: String,
    },
    /// A carrier accepted it.
    Accepted {
        /// The route's name.
        route: String,
        /// The carrier's message id, verbatim; empty where it gave none.
        carrier_id: String,
    },
    /// Written, and no answer heard.
    Unknown {
        /// The route's name.
        route: String,
    },
    /// It will not be sent.
    Failed {
        /// Stable word, e.g. `number_refused`.
        reason: String,
    },
    /// Not written anywhere: free for the next attempt.
    Released,
}

/// What a carrier's receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptState {
    /// It arrived.
    Delivered,
    /// It will not arrive; the reason is a stable word.
    Failed(String),
    /// On its way.
    Intermediate,
}

/// Message states, shared by otp-api and the dispatchers.
#[async_trait]
pub trait MessageStore: Send + Sync {
    /// Stores a notice as `accepting`; repeats the id of a known idempotency key.
    async fn accept_notice(
        &self,
        key: &str,
        body_hash: &str,
        message: &QueueMessage,
        now: i64,
    ) -> Result<Accepted, StoreError>;

    /// The broker confirmed: `accepting` becomes `queued` and the stored queue message is dropped.
    async fn queued(&self, message_id: &str) -> Result<(), StoreError>;

    /// Messages `accepting` for longer than `older_than`, at most `limit`, to be published again.
    /// What is handed out counts as accepted anew, so that sweeps of several processes share the
    /// work; what is past its deadline is recorded as expired instead.
    async fn unconfirmed(
        &self,
        now: i64,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<QueueMessage>, StoreError>;

    /// Takes a message for sending, or says why not. One atomic step; reads the challenge too.
    async fn claim(
        &self,
        message: &QueueMessage,
        lease: Duration,
        now: i64,
    ) -> Result<Claim, StoreError>;

    /// Records what became of a claimed message. `false`: the fence is old, another dispatcher holds
    /// the message, and nothing was recorded.
    async fn settle(
        &self,
        message_id: &str,
        fence: u64,
        settle: Settle,
        now: i64,
    ) -> Result<bool, StoreError>;

    /// Applies a receipt. One that comes before the carrier's answer is parked for ten minutes and
    /// applied by `settle`. A final state is never overwritten by an intermediate one.
    async fn receipt(
        &self,
        route: &str,
        carrier_id: &str,
        state: ReceiptState,
        now: i64,
    ) -> Result<(), StoreError>;
}

/// The answer to `accept_notice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// New: publish it.
    New,
    /// Known key and body: the id that was given then.
    Repeated {
        /// The first message's id.
        message_id: String,
        /// The first message, where the queue has not confirmed it: publish it again.
        unconfirmed: Option<QueueMessage>,
    },
    /// Known key, other body.
    Conflict,
}

/// How long a message waits before it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// One second.
    Second,
    /// Three seconds.
    Three,
    /// Ten seconds.
    Ten,
}

/// A message taken from the queue. Whoever drops it unsettled gives it back.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// What was published.
    fn message(&self) -> &QueueMessage;

    /// Whether the queue has delivered it before.
    fn redelivered(&self) -> bool;

    /// Done with: it never comes again.
    async fn acknowledge(self: Box<Self>) -> Result<(), QueueError>;

    /// Comes again after the wait, with this message as its new content. The copy is safe before the
    /// original is given up.
    async fn again(self: Box<Self>, after: Wait, message: QueueMessage) -> Result<(), QueueError>;

    /// Can never work: kept apart with its reason for an operator.
    async fn bury(self: Box<Self>, reason: &str) -> Result<(), QueueError>;
}

/// The queue's trouble.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue is away, or did not confirm in time: the message may or may not be in it.
    #[error("the queue is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The queue between otp-api and the dispatchers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Publishes durably; `Ok` only after the queue has confirmed. The same id may be published
    /// twice: the consumer deduplicates.
    async fn publish(&self, message: &QueueMessage) -> Result<(), QueueError>;

    /// Starts consuming; at most `prefetch` deliveries are unsettled at a time, codes before
    /// notices. No delivery is held longer than `hold`: a queue that cannot see its holder die
    /// delivers again after it.
    async fn consume(&self, prefetch: u16, hold: Duration)
    -> Result<Box<dyn Consumer>, QueueError>;

    /// Messages that wait, by class.
    async fn depth(&self, class: Class) -> Result<u64, QueueError>;
}

/// A running consumer. Dropping it stops consuming and gives back what was not settled.
#[async_trait]
pub trait Consumer: Send {
    /// The next message; waits for one. Recovers from the queue's outages by itself.
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError>;
}

/// What a route did with a message. "Not written" and "no answer" are never mixed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// The carrier accepted it.
    Accepted {
        /// The carrier's id, verbatim; empty where it gave none.
        carrier_id: String,
    },
    /// Nothing reached the carrier: free to try elsewhere.
    NotWritten,
    /// The carrier refused, for now: this or another route may do it later.
    Busy,
    /// This route will not do it; another may.
    RefusedByRoute {
        /// Stable word.
        reason: String,
    },
    /// No route will.
    RefusedForGood {
        /// Stable word.
        reason: String,
    },
    /// Written, and no answer heard.
    Unanswered,
}

/// What is recorded before a message is written; whether it may be written then.
pub type Record<'a> = BoxFuture<'a, bool>;

/// A way to a carrier.
#[async_trait]
pub trait SmsRoute: Send + Sync {
    /// The route's name in states, logs and metrics.
    fn name(&self) -> &str;

    /// Hands a text of one segment to the carrier and waits for its answer. `record` is awaited when
    /// nothing is left to wait for but the carrier: whoever dies before it has written nothing, and
    /// where it says no nothing is written. `message_id` is for deduplication and logs; `deadline_at`
    /// (unix milliseconds) bounds its validity at the carrier, and once it has passed nothing is
    /// written.
    async fn submit(
        &self,
        record: Record<'_>,
        message_id: &str,
        number: &PhoneNumber,
        text: &str,
        deadline_at: i64,
    ) -> Submission;
}
