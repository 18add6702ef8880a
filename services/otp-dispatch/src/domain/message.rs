//! Messages: their class, their public state, and the form in which they wait in the queue.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Codes go before notices, and only codes expire with a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A one-time code.
    Code,
    /// A security notice (rule 40).
    Notice,
}

impl Class {
    /// Both classes, in the order in which they are served.
    pub const ALL: [Self; 2] = [Self::Code, Self::Notice];

    /// The word in queue names, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Notice => "notice",
        }
    }
}

/// How far a message is, as its waiting reader sees it (rule 28).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum MessageState {
    /// Accepted, and waiting for a dispatcher.
    Queued,
    /// A carrier accepted it.
    Submitted,
    /// A carrier's receipt says it arrived.
    Delivered,
    /// It will not arrive; the reason is a stable word.
    Failed(String),
    /// Its deadline passed before it was handed over.
    Expired,
    /// Its challenge was used or cancelled before it was handed over.
    Suppressed,
    /// Handed over, and no answer heard.
    OutcomeUnknown,
}

impl MessageState {
    /// Whether nothing but a receipt can change it.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Queued)
    }
}

/// What waits in the queue. Number and text are sealed with the message id as associated data: a
/// copy of the queue's store shows neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    /// 128 random bits, base64url.
    pub message_id: String,
    /// The challenge of a code; `None` for a notice.
    pub challenge_id: Option<String>,
    /// Code or notice.
    pub class: Class,
    /// Unix milliseconds at which it was accepted from its caller; its age is the queue's delay.
    pub accepted_at: i64,
    /// Unix milliseconds after which the message is dropped, never sent late (rule 34).
    pub deadline_at: i64,
    /// How often it has gone back to a wait queue.
    pub retries: u32,
    /// Sealed E.164.
    #[serde(with = "base64_bytes")]
    pub number: Vec<u8>,
    /// Sealed text.
    #[serde(with = "base64_bytes")]
    pub text: Vec<u8>,
    /// W3C trace context of the request that made it.
    pub trace: HashMap<String, String>,
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
