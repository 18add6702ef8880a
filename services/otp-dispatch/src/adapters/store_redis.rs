//! Challenges and messages in Redis. Every operation is one script, so it is one round trip and one
//! atomic step; the scripts are in `scripts/`. `scripts/prelude.lua` stands in front of each, and then
//! those parts that it uses: a part that it does not use would cost every call its making.
//!
//! Needs one primary (no cluster: the scripts touch keys that are not known beforehand) that never
//! evicts. Whatever goes wrong is `Unavailable`: the request that met it is refused.
//!
//! What the primary has decided reaches its replicas a moment later, and a failover loses what did
//! not: attempts are given back, uses are forgotten. No script waits for a replica all the same
//! (docs/operations.md says why): the user's count and the single use that hold are identity's.

use std::time::Duration;

use anyhow::Result;
use redis::Script;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::StoreConfig;
use crate::domain::challenge::ChallengeView;
use crate::domain::guard::Decision;
use crate::domain::limits::Scope;
use crate::domain::message::QueueMessage;
use crate::ports::StoreError;

mod challenges;
mod guard;
mod messages;
mod primary;

use self::primary::Primary;

/// Both stores, in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisStore {
    primary: std::sync::Arc<Primary>,
    scripts: std::sync::Arc<Scripts>,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

macro_rules! scripts {
    ($($name:ident: [$($part:literal),*]),+ $(,)?) => {
        struct Scripts { $($name: Script),+ }

        impl Scripts {
            fn new() -> Self {
                Self {
                    $($name: Script::new(concat!(
                        include_str!("scripts/prelude.lua"),
                        $("\n", include_str!(concat!("scripts/", $part, ".lua")),)*
                        "\n",
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    ))),+
                }
            }
        }
    };
}

scripts!(
    create: ["states", "accepting", "sends"],
    verify: ["proof"],
    resend: ["states", "accepting", "sends"],
    cancel: [],
    read: ["states"],
    accept_notice: ["states", "accepting"],
    queued: ["states"],
    unconfirmed: ["states"],
    claim: ["states"],
    settle: ["states"],
    receipt: ["states"],
    seed: [],
    is_seeded: [],
);

impl RedisStore {
    /// Connects, and refuses a server that cannot do the work. `timeout` bounds every answer.
    pub async fn open(config: &StoreConfig, timeout: Duration) -> Result<Self> {
        Ok(Self {
            primary: std::sync::Arc::new(Primary::open(config, timeout).await?),
            scripts: std::sync::Arc::new(Scripts::new()),
        })
    }

    /// Runs a script with one JSON argument.
    async fn run<T: DeserializeOwned>(
        &self,
        script: &Script,
        input: &impl Serialize,
    ) -> Result<T, StoreError> {
        let input = serde_json::to_string(input)
            .map_err(|_| StoreError::Corrupt("an input that is no JSON"))?;
        let mut invocation = script.prepare_invoke();
        invocation.arg(input);
        let answer = self
            .primary
            .invoke(&invocation)
            .await
            .map_err(|failure| StoreError::Unavailable(Box::new(failure)))?;
        serde_json::from_str(&answer).map_err(|_| StoreError::Corrupt("an answer of another form"))
    }
}

/// The new message of `create`, `resend` and `accept_notice`.
#[derive(Serialize)]
struct MessageInput<'a> {
    id: &'a str,
    deadline_at: i64,
    body: String,
}

fn message_input(message: &QueueMessage) -> Result<MessageInput<'_>, StoreError> {
    Ok(MessageInput {
        id: &message.message_id,
        deadline_at: message.deadline_at,
        body: serde_json::to_string(message)
            .map_err(|_| StoreError::Corrupt("a message that is no JSON"))?,
    })
}

/// A stored queue message. Its deadline stands apart, since a resend's is decided by the script.
#[derive(Deserialize)]
struct Stored {
    body: String,
    deadline_at: i64,
}

impl Stored {
    fn open(self) -> Result<QueueMessage, StoreError> {
        let mut message: QueueMessage = serde_json::from_str(&self.body)
            .map_err(|_| StoreError::Corrupt("a message of another form"))?;
        message.deadline_at = self.deadline_at;
        Ok(message)
    }
}

/// The outcomes of `create`, `resend` and `accept_notice`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    Created {
        view: ChallengeView,
        guard: Option<Decision>,
    },
    Accepted {
        view: ChallengeView,
        deadline_at: i64,
        guard: Option<Decision>,
    },
    New,
    Repeated {
        message_id: String,
        view: Option<ChallengeView>,
        unconfirmed: Option<Stored>,
    },
    Conflict,
    Refused {
        scope: Scope,
        retry_at: i64,
    },
    Guarded {
        guard: Decision,
    },
    NotFound,
    Ended,
    NoSendsLeft,
    TooEarly {
        at: i64,
    },
}

const UNEXPECTED: StoreError = StoreError::Corrupt("an outcome that the script cannot have");

fn idempotency_key(hash: &str) -> String {
    format!("sp:i:{hash}")
}

#[derive(Deserialize)]
struct Nothing {}
