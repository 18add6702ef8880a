//! Challenges and messages in Redis. Every operation is one script, so it is one round trip and one
//! atomic step; the scripts are in `scripts/`, and share `scripts/prelude.lua`.
//!
//! Needs one primary (no cluster: the scripts touch keys that are not known beforehand) that never
//! evicts. Whatever goes wrong is `Unavailable`: the request that met it is refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo, Script};
use sallyport_chassis::SecretUrl;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::challenge::ChallengeView;
use crate::domain::guard::Decision;
use crate::domain::limits::Scope;
use crate::domain::message::QueueMessage;
use crate::ports::StoreError;

mod challenges;
mod guard;
mod messages;

/// A socket whose data nobody acknowledges for so long is given up. Without it a Redis that vanished
/// without a word would be waited for until the kernel's fifteen minutes are over.
const SOCKET_GIVEN_UP: Duration = Duration::from_secs(5);

/// Both stores, in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
    scripts: std::sync::Arc<Scripts>,
    timeout: Duration,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        struct Scripts { $($name: Script),+ }

        impl Scripts {
            fn new() -> Self {
                Self {
                    $($name: Script::new(concat!(
                        include_str!("scripts/prelude.lua"),
                        "\n",
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    ))),+
                }
            }
        }
    };
}

scripts!(
    create,
    verify,
    resend,
    cancel,
    read,
    accept_notice,
    queued,
    unconfirmed,
    claim,
    settle,
    receipt,
    seed,
    is_seeded,
);

impl RedisStore {
    /// Connects, and refuses a server that cannot do the work. `timeout` bounds every answer.
    pub async fn open(url: &SecretUrl, timeout: Duration) -> Result<Self> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_user_timeout(SOCKET_GIVEN_UP);
        let info = url
            .expose()
            .into_connection_info()
            .map_err(|_| anyhow::anyhow!("challenges.url {url:?} is no Redis URL"))?
            .set_tcp_settings(tcp);
        let client = Client::open(info)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_max_delay(Duration::from_secs(1));
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .with_context(|| format!("challenges.url {url:?} does not answer"))?;
        let store = Self {
            connection,
            scripts: std::sync::Arc::new(Scripts::new()),
            timeout,
        };
        store.check_server().await?;
        Ok(store)
    }

    async fn check_server(&self) -> Result<()> {
        let mut connection = self.connection.clone();
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let value = |key: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
                .map(str::trim)
        };
        ensure!(
            value("cluster_enabled") != Some("1"),
            "challenges.url names a Redis Cluster; one primary (with replicas) is needed, since an \
             attempt and its caps are decided in one step over several keys"
        );
        ensure!(
            value("role") != Some("slave"),
            "challenges.url names a replica; it must name the primary"
        );
        let policy = value("maxmemory_policy").unwrap_or("unknown");
        ensure!(
            policy == "noeviction",
            "the Redis of challenges.url has maxmemory-policy {policy}; set noeviction, since an \
             evicted challenge or cap would be forgotten silently"
        );
        if value("aof_enabled") != Some("1") {
            tracing::warn!(
                "the Redis of challenges.url has appendonly off: a restart forgets challenges and \
                 caps"
            );
        }
        Ok(())
    }

    /// Runs a script with one JSON argument.
    async fn run<T: DeserializeOwned>(
        &self,
        script: &Script,
        input: &impl Serialize,
    ) -> Result<T, StoreError> {
        let input = serde_json::to_string(input)
            .map_err(|_| StoreError::Corrupt("an input that is no JSON"))?;
        let mut connection = self.connection.clone();
        let mut invocation = script.prepare_invoke();
        invocation.arg(input);
        // Also bounds the wait for a connection that is being made anew.
        let answer: String =
            tokio::time::timeout(self.timeout, invocation.invoke_async(&mut connection))
                .await
                .map_err(|late| StoreError::Unavailable(Box::new(late)))?
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
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
