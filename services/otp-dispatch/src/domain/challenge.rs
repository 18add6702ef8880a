//! A challenge: one code, bound to the session and purpose that asked for it.
//!
//! These are the values that cross the [`ChallengeStore`](crate::ports::ChallengeStore) port. None
//! of them holds a number or a code: the binding and the caps travel as keyed hashes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guard::{Decision, Proof, Watch};
use super::limits::{Counted, Full};
use super::message::{MessageState, QueueMessage};

/// How long a code lives at most (rule 18). A ceiling, not a setting: `challenge_seconds` may only
/// be lower.
pub const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// What a code is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The second step of a sign-in.
    SignIn,
    /// Switching two-factor authentication on.
    Enrolment,
    /// Confirming a new number.
    NumberChange,
    /// A fresh second factor for something that needs one.
    StepUp,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 4] = [
        Self::SignIn,
        Self::Enrolment,
        Self::NumberChange,
        Self::StepUp,
    ];

    /// The word in derivations, templates and metrics. Never changed: live codes depend on it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Enrolment => "enrolment",
            Self::NumberChange => "number_change",
            Self::StepUp => "step_up",
        }
    }
}

/// Keyed hash of everything a challenge is bound to (purpose, user, session, number), under each
/// key of the lookup ring, current first. The first is stored; any of them finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `key id.base64url`, never empty.
    pub hashes: Vec<String>,
}

/// The caller's idempotency key, and what it was given with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Keyed hash of operation, user and key, under the lookup ring's current key.
    pub key: String,
    /// Keyed hash of the request's body.
    pub body_hash: String,
}

/// A challenge to be stored, with its first message.
#[derive(Debug, Clone)]
pub struct NewChallenge {
    /// `code key id.128 random bits`.
    pub id: String,
    /// What it is bound to.
    pub binding: Binding,
    /// Three letters that its messages and pages show.
    pub reference: String,
    /// Now, in unix milliseconds.
    pub now: i64,
    /// When the code ends, in unix milliseconds.
    pub expires_at: i64,
    /// When it may be sent again, in unix milliseconds.
    pub resend_at: i64,
    /// Wrong codes that end it.
    pub tries: u32,
    /// Sends that remain after this one.
    pub sends_left: u32,
    /// The caller's key.
    pub idempotency: Idempotency,
    /// The caps to pass, and to count in.
    pub counted: Vec<Counted>,
    /// What the guard looks at; `None` where it does not look.
    pub guard: Option<Watch>,
    /// The first message.
    pub message: QueueMessage,
}

/// What became of a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOutcome {
    /// Stored and counted: publish the message. With what the guard said, where it looked.
    Created(ChallengeView, Option<Decision>),
    /// The key is known, with this body: the challenge that it made, as it stands.
    Repeated(Repeated),
    /// The key is known, with another body.
    Conflict,
    /// The key is known, and what it made is used, cancelled, out of tries or out of time.
    Ended,
    /// A cap is full. Nothing was stored or counted.
    Refused(Full),
    /// The guard blocks it. Nothing was stored or counted.
    Guarded(Decision),
}

/// What a known idempotency key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// The challenge as it stands, with the message that the key made.
    pub view: ChallengeView,
    /// The message, where the queue has not confirmed it: publish it again.
    pub unconfirmed: Option<QueueMessage>,
}

/// One attempt at a code.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The challenge.
    pub id: String,
    /// What the caller says it is bound to.
    pub binding: Binding,
    /// Made by the caller for this attempt.
    pub request_id: String,
    /// What it proves, if the code that was typed is the derived one; `None`: it is another.
    pub proof: Option<Proof>,
    /// Now, in unix milliseconds.
    pub now: i64,
}

/// How an attempt was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Right, and this is the attempt that used the code.
    Right,
    /// Wrong.
    Wrong {
        /// Tries that remain.
        tries_left: u32,
    },
    /// The code was right, and too late.
    Expired,
    /// The code was right, and had been used.
    Used,
    /// No tries left, or cancelled.
    Ended,
    /// No such challenge under this binding.
    NotFound,
}

/// A request for the same code again.
#[derive(Debug, Clone)]
pub struct Resend {
    /// The challenge.
    pub id: String,
    /// What the caller says it is bound to.
    pub binding: Binding,
    /// The caller's key.
    pub idempotency: Idempotency,
    /// The caps to pass, and to count in.
    pub counted: Vec<Counted>,
    /// What the guard looks at; `None` where it does not look.
    pub guard: Option<Watch>,
    /// Now, in unix milliseconds.
    pub now: i64,
    /// When it may be sent again after this, in unix milliseconds.
    pub resend_at: i64,
    /// The new message. Its deadline is lowered to the challenge's end.
    pub message: QueueMessage,
}

/// What became of a request to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResendOutcome {
    /// Stored and counted: publish this message. With what the guard said, where it looked.
    Accepted(ChallengeView, QueueMessage, Option<Decision>),
    /// The key is known, with this body.
    Repeated(Repeated),
    /// The key is known, with another body.
    Conflict,
    /// No such challenge under this binding.
    NotFound,
    /// The challenge is used, cancelled, out of tries or out of time.
    Ended,
    /// Every send is spent.
    NoSendsLeft,
    /// Possible from this instant on (unix milliseconds).
    TooEarly(i64),
    /// A cap is full. Nothing was stored or counted.
    Refused(Full),
    /// The guard blocks it. Nothing was stored or counted.
    Guarded(Decision),
}

/// Whether a challenge can still be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its code.
    Live,
    /// Its code was used.
    Used,
    /// It was cancelled.
    Cancelled,
    /// Too many wrong codes.
    OutOfTries,
    /// Its time is over.
    Expired,
}

/// A challenge as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeView {
    /// Its id.
    pub id: String,
    /// Its newest message (in a repeated answer: the one that the key made).
    pub message_id: String,
    /// Three letters that its messages and pages show.
    pub reference: String,
    /// When the code ends, in unix milliseconds.
    pub expires_at: i64,
    /// When it may be sent again, in unix milliseconds. Past, once its newest message has failed or
    /// its outcome is unknown.
    pub resend_at: i64,
    /// Sends that remain.
    pub sends_left: u32,
    /// Wrong codes that it still bears.
    pub tries_left: u32,
    /// How far the message is.
    pub message_state: MessageState,
    /// Whether it can still be answered.
    pub phase: Phase,
}
