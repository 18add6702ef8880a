//! Use cases of otp-api, one file each: load, ask the domain, store, publish.

pub mod binding;
pub mod cancel_challenge;
pub mod create_challenge;
pub mod guard;
mod keep_guard;
pub mod numbers;
pub mod operate_guard;
pub mod publish;
pub mod read_challenge;
pub mod resend_challenge;
pub mod send_notice;
pub mod verify_challenge;
pub mod watch_challenge;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sallyport_chassis::Clock;
use sallyport_chassis::keyring::Keyring;
use sallyport_phone::{PhoneError, ServedCountries};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::app::guard::Guard;
use crate::config::{Config, Settings};
use crate::domain::limits::Scope;
use crate::domain::template::Templates;
use crate::ports::{ChallengeStore, MessageStore, Queue, QueueError, StoreError};

/// The key rings of otp-api.
#[derive(Debug)]
struct Keys {
    /// Derives codes and references.
    code: Keyring,
    /// Seals numbers and texts into queue messages.
    seal: Keyring,
    /// Hashes what stands in the store's keys.
    lookup: Keyring,
}

/// Why a use case of otp-api refuses or fails. A refused request changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum OtpError {
    /// A field is missing or malformed.
    #[error("field {field}: {reason}")]
    Field {
        /// Its path in the request.
        field: &'static str,
        /// Stable reason.
        reason: &'static str,
    },
    /// The number breaks rules 1 to 5.
    #[error(transparent)]
    Number(#[from] PhoneError),
    /// The key came before, with another body.
    #[error("the idempotency key was used for something else")]
    IdempotencyConflict,
    /// The code is not six digits. Costs no try.
    #[error("not six digits")]
    CodeFormat,
    /// A cap is full.
    #[error("the cap by {} is full", scope.name())]
    Full {
        /// Whose.
        scope: Scope,
        /// It is a confirmed factor's own quota (rule 21), not a suspicion (rule 30).
        quota: bool,
        /// When it opens.
        retry_after: Duration,
    },
    /// The guard blocks it.
    #[error("the guard blocks it")]
    Guarded {
        /// When its budgets have room.
        retry_after: Duration,
    },
    /// Sent too recently.
    #[error("too early to send again")]
    ResendTooEarly {
        /// When it can be.
        retry_after: Duration,
    },
    /// Every send is spent.
    #[error("no sends left")]
    NoSendsLeft,
    /// Used, cancelled, out of tries or out of time.
    #[error("the challenge has ended")]
    Ended,
    /// No such challenge under this binding.
    #[error("no such challenge")]
    NotFound,
    /// No override of this country or prefix.
    #[error("no such override")]
    NoOverride,
    /// As many readers watch as may.
    #[error("too many readers watch")]
    TooManyWatchers,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database's trouble; only operators meet it.
    #[error(transparent)]
    Database(#[from] sallyport_sql::StoreError),
    /// The queue's trouble. The message stays stored and is published again.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// otp-api's use cases over its ports.
pub struct Otp {
    challenges: Arc<dyn ChallengeStore>,
    messages: Arc<dyn MessageStore>,
    queue: Arc<dyn Queue>,
    guard: Guard,
    clock: Arc<dyn Clock>,
    keys: Keys,
    templates: Templates,
    served: ServedCountries,
    settings: Settings,
    watchers: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Otp {
    /// Puts the use cases together: opens keys, reads and lints texts.
    pub fn new(
        config: &Config,
        challenges: Arc<dyn ChallengeStore>,
        messages: Arc<dyn MessageStore>,
        queue: Arc<dyn Queue>,
        guard: Guard,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let settings = config.otp.clone();
        Ok(Self {
            challenges,
            messages,
            queue,
            guard,
            clock,
            keys: Keys {
                code: config.keys.ring("code.keys", config.profile)?,
                seal: config.keys.ring("seal.keys", config.profile)?,
                lookup: config.keys.ring("lookup.keys", config.profile)?,
            },
            templates: Templates::load(&settings.host)?,
            served: settings.served()?,
            watchers: Arc::new(Semaphore::new(settings.watch_streams as usize)),
            settings,
            stop,
        })
    }
}

/// From `now` until an instant; never negative.
fn until(instant: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(instant.saturating_sub(now)).unwrap_or(0))
}

/// Seconds as milliseconds, for instants.
fn seconds_ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
