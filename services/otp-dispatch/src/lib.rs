//! otp-dispatch: one-time codes by SMS. Two processes share this crate: `otp-api` decides
//! challenges, and `sms-dispatcher` hands messages to carriers. This file puts them together.

pub mod adapters;
pub mod app;
pub mod config;
pub mod dispatcher;
pub mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod grpc;
pub mod ports;
mod process;
pub mod replay;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sallyport_chassis::Clock;
use sallyport_chassis::config::Profile;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::supervise::Supervisor;
use tokio_util::sync::CancellationToken;

use crate::adapters::queue_rabbitmq::RabbitMqQueue;
use crate::adapters::queue_sqlite::SqliteQueue;
use crate::adapters::route_inbox::SmsInbox;
use crate::adapters::store_memory::MemoryStore;
use crate::adapters::store_redis::RedisStore;
use crate::app::Otp;
use crate::app::guard::Guard;
use crate::config::RouteConfig;
use crate::dispatcher::{Dispatcher, Routes};
use crate::ports::{ChallengeStore, GuardStore, MessageStore, Queue};

pub use crate::config::Config;
pub use crate::process::{serve_api, serve_dispatcher};

/// How long messages in flight may take to end once a dispatcher is asked to stop.
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// How long tasks may take to end after they were asked.
const GRACE: Duration = Duration::from_secs(20);

/// What stands behind the ports. The two processes of a deployment open the same ones; the
/// all-in-one opens them once and shares them.
#[derive(Clone)]
pub struct Backends {
    /// Challenges and limits.
    pub challenges: Arc<dyn ChallengeStore>,
    /// Message states.
    pub messages: Arc<dyn MessageStore>,
    /// The guard's history.
    pub guard: Arc<dyn GuardStore>,
    /// The queue between the two.
    pub queue: Arc<dyn Queue>,
    /// Where texts of the inbox route arrive; only in development.
    pub inbox: Option<SmsInbox>,
}

/// One store behind its three ports.
type Stores = (
    Arc<dyn ChallengeStore>,
    Arc<dyn MessageStore>,
    Arc<dyn GuardStore>,
);

impl Backends {
    /// Opens what the URLs' schemes name.
    ///
    /// # Errors
    /// A setting that cannot work or that production forbids, or a server that cannot be used.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self> {
        config.check()?;
        let (challenges, messages, guard): Stores = match config.challenges.url.scheme() {
            "memory" => {
                let store = Arc::new(MemoryStore::new());
                (store.clone(), store.clone(), store)
            }
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" => {
                let timeout = config.otp.store_timeout();
                let store = Arc::new(RedisStore::open(&config.challenges, timeout).await?);
                (store.clone(), store.clone(), store)
            }
            other => bail!(
                "challenges.url: scheme {other} is none of memory, redis, rediss, redis+sentinel, \
                 rediss+sentinel"
            ),
        };
        let queue_url = &config.queue.url;
        let queue: Arc<dyn Queue> = match queue_url.scheme() {
            "sqlite" => Arc::new(SqliteQueue::open(queue_url, clock).await?),
            "amqp" | "amqps" => {
                let confirm = Duration::from_secs(u64::from(config.otp.confirm_seconds));
                Arc::new(RabbitMqQueue::new(queue_url, confirm)?)
            }
            other => bail!("queue.url: scheme {other} is none of sqlite, amqp, amqps"),
        };
        let inbox = (config.profile == Profile::Development).then(SmsInbox::new);
        Ok(Self {
            challenges,
            messages,
            guard,
            queue,
            inbox,
        })
    }
}

/// Serves otp-api until `stop`.
///
/// # Errors
/// A setting, key or text that cannot work; a task that ended unasked.
pub async fn run_api(
    config: Config,
    backends: Backends,
    listener: Listener,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<()> {
    config.check()?;
    let Backends {
        challenges,
        messages,
        guard: history,
        queue,
        inbox,
    } = backends;
    ensure!(
        inbox.is_none() || config.profile == Profile::Development,
        "the SMS inbox works with profile = \"development\" only"
    );
    let (guard, records) = Guard::new();
    let otp = Arc::new(Otp::new(
        &config,
        challenges,
        messages,
        queue,
        guard,
        clock,
        stop.clone(),
    )?);
    let keeping = Arc::clone(&otp).keep_guard(config.database.clone(), history, records);
    let server = grpc::server(&config, listener, Arc::clone(&otp), inbox);
    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("sweep", otp.sweep());
    tasks.spawn("guard", keeping);
    tasks.spawn("grpc", server.serve(stop));
    tasks.run(GRACE).await
}

/// Dispatches messages until `stop`: from the queue to the carriers of `[[otp.routes]]`.
///
/// # Errors
/// A setting, key or route that cannot work; a queue that cannot be consumed.
pub async fn run_dispatcher(
    config: Config,
    backends: Backends,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<()> {
    config.check()?;
    let Backends {
        messages,
        queue,
        inbox,
        ..
    } = backends;
    let seal = config.keys.ring("seal.keys", config.profile)?;
    if config.profile == Profile::Production {
        for name in config.otp.routes.iter().filter_map(RouteConfig::plain) {
            tracing::warn!(
                route = name,
                "numbers and codes go to the carrier without TLS"
            );
        }
    }
    let routes = Routes::start(&config.otp.routes, inbox.as_ref(), &messages, &clock)?;
    let dispatcher = Dispatcher::new(queue, messages, &routes, seal, clock);
    let ended = Arc::new(dispatcher).run(stop, IN_FLIGHT).await;
    routes.shutdown(IN_FLIGHT).await;
    Ok(ended?)
}
