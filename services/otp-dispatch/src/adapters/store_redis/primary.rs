//! The way to the primary. Whenever an answer fails it is found anew, and it is looked at before it
//! is used: a failover can bring forward a server that must not be one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisError,
    ScriptInvocation, TlsMode,
};
use tokio::time::Instant;

use crate::config::{Sentinels, StoreConfig};

/// A socket whose data nobody acknowledges for so long is given up. Without it a Redis that vanished
/// without a word would be waited for until the kernel's fifteen minutes are over.
const SOCKET_GIVEN_UP: Duration = Duration::from_secs(5);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two looks of one search, which gives up after the last.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_secs(1),
    Duration::from_secs(1),
];
/// Searches begin no closer than this, however many requests fail meanwhile.
const SPACING: Duration = Duration::from_millis(100);

/// A connection to the primary that is there, is being made, or could not be made.
type Search = Shared<BoxFuture<'static, Result<MultiplexedConnection, Arc<NoPrimary>>>>;

/// Why a script has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no primary was found")]
    NoPrimary(#[source] Arc<NoPrimary>),
    #[error("the primary gave no answer")]
    Unanswered(#[source] RedisError),
    #[error("the answer takes too long")]
    Late,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPrimary {
    #[error("the Redis of challenges.url does not answer, or its sentinels name no primary")]
    Away(#[from] RedisError),
    #[error("{0}")]
    Unfit(String),
}

/// The connection that every operation shares.
pub(super) struct Primary {
    finder: Arc<Finder>,
    timeout: Duration,
    current: Mutex<Current>,
}

struct Current {
    search: Search,
    began: Instant,
}

impl Primary {
    /// Connects. `timeout` bounds every answer.
    pub(super) async fn open(config: &StoreConfig, timeout: Duration) -> Result<Self> {
        let finder = Finder::new(config, timeout)?;
        let began = Instant::now();
        let connection = finder.find().await.map_err(|error| match error {
            // It is no secret where nobody answers.
            NoPrimary::Away(_) => {
                anyhow::Error::new(error).context(format!("challenges.url {:?}", config.url))
            }
            NoPrimary::Unfit(_) => error.into(),
        })?;
        let search: Search = std::future::ready(Ok(connection)).boxed().shared();
        Ok(Self {
            finder: Arc::new(finder),
            timeout,
            current: Mutex::new(Current { search, began }),
        })
    }

    /// Runs a script. The time-out covers the wait for a connection that is being made.
    pub(super) async fn invoke(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<String, Failure> {
        let search = self.current().search.clone();
        let is_there = search.peek().is_some();
        let asked = async {
            let mut connection = search.clone().await.map_err(Failure::NoPrimary)?;
            let answer = invocation.invoke_async::<String>(&mut connection).await;
            answer.map_err(Failure::Unanswered)
        };
        let failure = match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Late,
        };
        // One that came late had less than its time to answer in.
        let in_vain = is_there || !matches!(failure, Failure::Late);
        if in_vain && failure.is_of_the_connection() {
            self.lost(&search);
        }
        Err(failure)
    }

    /// The primary is found anew. Whoever meets the failure first begins it, and it goes on when the
    /// requests that wait for it have given up.
    fn lost(&self, search: &Search) {
        let mut current = self.current();
        if !current.search.ptr_eq(search) {
            return;
        }
        let began = Instant::now().max(current.began + SPACING);
        let finder = Arc::clone(&self.finder);
        let anew = async move {
            tokio::time::sleep_until(began).await;
            finder.find_anew().await.map_err(Arc::new)
        };
        let search: Search = anew.boxed().shared();
        tokio::spawn(search.clone());
        *current = Current { search, began };
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// Whether another connection might do better. Beside those that broke there are those to a
    /// server that is frozen, was made a replica, or was cut off from its own replicas and others.
    fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NoPrimary(_) | Self::Late => true,
            // Memory that is full is full on every connection.
            Self::Unanswered(error) => error.code() != Some("OOM"),
        }
    }
}

/// Finds the primary.
struct Finder {
    way: Way,
    connecting: AsyncConnectionConfig,
}

enum Way {
    /// It is at one address.
    Direct(Client),
    /// It is where a sentinel says.
    Asked {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        node: SentinelNodeConnectionInfo,
    },
}

impl Finder {
    fn new(config: &StoreConfig, timeout: Duration) -> Result<Self> {
        let way = match config.sentinels()? {
            Some(sentinels) => asked(config, &sentinels)?,
            None => {
                let info = address(config.url.expose())
                    .with_context(|| format!("challenges.url {:?} is no Redis URL", config.url))?;
                Way::Direct(Client::open(info)?)
            }
        };
        let connecting = AsyncConnectionConfig::new()
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(CONNECT));
        Ok(Self { way, connecting })
    }

    /// Looks again and again for a primary that does not answer; one that is unfit stays so.
    async fn find(&self) -> Result<MultiplexedConnection, NoPrimary> {
        for pause in PAUSES {
            match self.connect().await {
                Err(NoPrimary::Away(_)) => tokio::time::sleep(pause).await,
                found => return found,
            }
        }
        self.connect().await
    }

    /// The same once the service runs: it says in the log how it went, since callers are told only
    /// that the store is unavailable.
    async fn find_anew(&self) -> Result<MultiplexedConnection, NoPrimary> {
        let found = self.find().await;
        match &found {
            Ok(_) => tracing::info!("connected to the primary anew"),
            Err(error) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "no Redis can be worked with");
            }
        }
        found
    }

    async fn connect(&self) -> Result<MultiplexedConnection, NoPrimary> {
        let client = match &self.way {
            Way::Direct(client) => client.clone(),
            Way::Asked {
                sentinels,
                name,
                node,
            } => {
                // Asks several at once, passes over those that see the primary down, and over a
                // primary whose ROLE is another.
                let (sentinels, node) = (sentinels.clone(), Some(node.clone()));
                SentinelClient::build(sentinels, name, node, SentinelServerType::Master)?
                    .async_get_client()
                    .await?
            }
        };
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&self.connecting)
            .await?;
        examine(&mut connection).await?;
        Ok(connection)
    }
}

/// Whether the server at the other end may be the primary. Asked on the connection that is used
/// afterwards, so that it cannot be about another server.
async fn examine(connection: &mut MultiplexedConnection) -> Result<(), NoPrimary> {
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    let value = |key: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(str::trim)
    };
    let unfit = |why: &str| Err(NoPrimary::Unfit(why.to_owned()));
    if value("redis_mode") == Some("sentinel") {
        return unfit(
            "challenges.url names a sentinel as if it were a Redis: write \
             redis+sentinel://HOST:PORT/NAME",
        );
    }
    if value("cluster_enabled") == Some("1") {
        return unfit(
            "challenges.url names a Redis Cluster; one primary (with replicas) is needed, since an \
             attempt and its caps are decided in one step over several keys",
        );
    }
    if value("role") != Some("master") {
        return unfit("challenges.url names a replica; it must name the primary");
    }
    let policy = value("maxmemory_policy").unwrap_or("unknown");
    if policy != "noeviction" {
        return unfit(&format!(
            "the Redis of challenges.url has maxmemory-policy {policy}; set noeviction, since an \
             evicted challenge or cap would be forgotten silently"
        ));
    }
    if value("aof_enabled") != Some("1") {
        tracing::warn!(
            "the Redis of challenges.url has appendonly off: a restart forgets challenges and caps"
        );
    }
    Ok(())
}

/// The addresses of the sentinels, and how the primary that they name is spoken with.
fn asked(config: &StoreConfig, sentinels: &Sentinels) -> Result<Way> {
    let scheme = if sentinels.tls { "rediss" } else { "redis" };
    let mut places = Vec::new();
    for host in &sentinels.hosts {
        let place = address(&format!("{scheme}://{host}"))
            .with_context(|| format!("challenges.url: {host} is no address of a sentinel"))?;
        let mut who = place.redis_settings().clone();
        if !config.sentinel_user.is_empty() {
            who = who.set_username(&config.sentinel_user);
        }
        if !config.sentinel_password.is_empty() {
            who = who.set_password(config.sentinel_password.expose());
        }
        places.push(place.set_redis_settings(who));
    }
    // The user information is read as that of any Redis URL; the host is the sentinels' to say.
    let user_information = sentinels.user_information.expose();
    let at = if user_information.is_empty() { "" } else { "@" };
    let primary = address(&format!("{scheme}://{user_information}{at}primary"))
        .context("challenges.url: the user and the password cannot be read")?;
    let who = primary.redis_settings().clone();
    let mut node = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(who.set_db(sentinels.database.into()))
        .set_tcp_settings(primary.tcp_settings().clone());
    if sentinels.tls {
        node = node.set_tls_mode(TlsMode::Secure);
    }
    Ok(Way::Asked {
        sentinels: places,
        name: sentinels.primary.clone(),
        node,
    })
}

fn address(url: &str) -> Result<ConnectionInfo> {
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_user_timeout(SOCKET_GIVEN_UP);
    let info = url
        .into_connection_info()
        .map_err(|_| anyhow::anyhow!("the Redis library cannot read it"))?;
    Ok(info.set_tcp_settings(tcp))
}
