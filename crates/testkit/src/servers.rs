//! The servers that the tests of one run share, and who has which part of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::postgres::{create_database, drop_database};
use crate::redis_server::{flush_db, url_for_db};
use crate::{Postgres, RabbitMq, Redis};

/// A PostgreSQL server to use instead of starting one; needs the right to make databases. They are
/// dropped after their test with `cargo nextest`, and stay with `cargo test`.
pub const POSTGRES_URL: &str = "SALLYPORT_TEST_POSTGRES_URL";
/// A Redis server to use instead of starting one. Its numbered databases from 1 are emptied.
pub const REDIS_URL: &str = "SALLYPORT_TEST_REDIS_URL";
/// A virtual host to use instead of starting a broker. AMQP cannot make virtual hosts, so every
/// test gets this one.
pub const AMQP_URL: &str = "SALLYPORT_TEST_AMQP_URL";

/// Virtual hosts are made in stock: the first takes a second, the others hardly longer.
const VHOSTS_AT_ONCE: usize = 16;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL: a part is a database.
    Postgres,
    /// Redis: a part is a numbered database.
    Redis,
    /// RabbitMQ: a part is a virtual host.
    RabbitMq,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
        })
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "postgres" => Ok(Self::Postgres),
            "redis" => Ok(Self::Redis),
            "rabbitmq" => Ok(Self::RabbitMq),
            _ => bail!("there is no server {name:?}"),
        }
    }
}

/// A part of a server that one test has for itself.
#[derive(Debug)]
pub struct Part {
    kind: Kind,
    /// Names the part to the server: a database, its number, a virtual host.
    name: String,
    /// Where the test connects to.
    pub url: String,
}

/// What the lender answers to a test, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The part is the test's until it closes the connection.
    Url(String),
    /// Why there is none.
    Error(String),
}

/// The servers, each started when a part of it is wanted for the first time.
#[derive(Debug)]
pub struct Servers {
    given_postgres: Option<String>,
    given_redis: Option<String>,
    given_amqp: Option<String>,
    postgres: Mutex<Option<Postgres>>,
    redis: Mutex<RedisParts>,
    rabbitmq: Mutex<RabbitParts>,
}

#[derive(Debug, Default)]
struct RedisParts {
    server: Option<Redis>,
    /// Empty until the server was asked how many databases it has.
    free: BTreeSet<u32>,
    asked: bool,
}

#[derive(Debug, Default)]
struct RabbitParts {
    server: Option<RabbitMq>,
    made: usize,
    stock: Vec<(String, String)>,
}

impl Servers {
    /// No server yet; those whose URL is in the environment are used instead of started.
    pub fn from_env() -> Self {
        let given = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
        Self {
            given_postgres: given(POSTGRES_URL),
            given_redis: given(REDIS_URL),
            given_amqp: given(AMQP_URL),
            postgres: Mutex::default(),
            redis: Mutex::default(),
            rabbitmq: Mutex::default(),
        }
    }

    /// The server's own URL; starts it if need be.
    pub async fn url(&self, kind: Kind) -> anyhow::Result<String> {
        match kind {
            Kind::Postgres => self.postgres_url().await,
            Kind::Redis => self.redis_url(&mut *self.redis.lock().await).await,
            Kind::RabbitMq => match &self.given_amqp {
                Some(url) => Ok(url.clone()),
                None => Ok(
                    started(&mut self.rabbitmq.lock().await.server, RabbitMq::start)
                        .await?
                        .url(),
                ),
            },
        }
    }

    /// Hands out an empty part.
    pub async fn lend(&self, kind: Kind) -> anyhow::Result<Part> {
        match kind {
            Kind::Postgres => self.lend_database().await,
            Kind::Redis => self.lend_redis_number().await,
            Kind::RabbitMq => self.lend_vhost().await,
        }
    }

    /// Takes a part back: a database is dropped, a numbered one emptied for the next test. A
    /// virtual host stays until the broker ends, since removing it costs a second.
    pub async fn take_back(&self, part: Part) -> anyhow::Result<()> {
        match part.kind {
            Kind::Postgres => drop_database(&self.postgres_url().await?, &part.name).await,
            Kind::Redis => {
                flush_db(&part.url).await?;
                self.redis.lock().await.free.insert(part.name.parse()?);
                Ok(())
            }
            Kind::RabbitMq => Ok(()),
        }
    }

    async fn postgres_url(&self) -> anyhow::Result<String> {
        match &self.given_postgres {
            Some(url) => Ok(url.clone()),
            None => Ok(started(&mut *self.postgres.lock().await, Postgres::start)
                .await?
                .url()),
        }
    }

    async fn lend_database(&self) -> anyhow::Result<Part> {
        let server = self.postgres_url().await?;
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        create_database(&server, &name).await?;
        let mut url = url::Url::parse(&server).context("the PostgreSQL URL is malformed")?;
        url.set_path(&name);
        Ok(Part {
            kind: Kind::Postgres,
            name,
            url: url.into(),
        })
    }

    async fn redis_url(&self, parts: &mut RedisParts) -> anyhow::Result<String> {
        match &self.given_redis {
            Some(url) => Ok(url.clone()),
            None => Ok(started(&mut parts.server, Redis::start).await?.url()),
        }
    }

    async fn lend_redis_number(&self) -> anyhow::Result<Part> {
        let mut parts = self.redis.lock().await;
        let server = self.redis_url(&mut parts).await?;
        if !parts.asked {
            parts.free.extend(1..redis_databases(&server).await?);
            parts.asked = true;
        }
        let number = parts
            .free
            .pop_first()
            .context("every numbered Redis database is in use")?;
        let url = url_for_db(&server, number);
        if self.given_redis.is_some() {
            flush_db(&url).await?;
        }
        Ok(Part {
            kind: Kind::Redis,
            name: number.to_string(),
            url,
        })
    }

    async fn lend_vhost(&self) -> anyhow::Result<Part> {
        let kind = Kind::RabbitMq;
        if let Some(url) = &self.given_amqp {
            return Ok(Part {
                kind,
                name: String::new(),
                url: url.clone(),
            });
        }
        let mut parts = self.rabbitmq.lock().await;
        let RabbitParts {
            server,
            made,
            stock,
        } = &mut *parts;
        let server = started(server, RabbitMq::start).await?;
        if stock.is_empty() {
            let names: Vec<String> = (1..=VHOSTS_AT_ONCE)
                .map(|step| format!("test-{}", *made + step))
                .collect();
            let urls = server.create_vhosts(&names).await?;
            *made += names.len();
            stock.extend(names.into_iter().zip(urls));
        }
        let (name, url) = stock.pop().context("no virtual host was made")?;
        Ok(Part { kind, name, url })
    }
}

/// The server in `place`, started if it is not there yet.
async fn started<S, F>(place: &mut Option<S>, start: impl FnOnce() -> F) -> anyhow::Result<&S>
where
    F: Future<Output = anyhow::Result<S>>,
{
    if place.is_none() {
        *place = Some(start().await?);
    }
    place.as_ref().context("the server was just started")
}

async fn redis_databases(url: &str) -> anyhow::Result<u32> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let (_, count): (String, u32) = redis::cmd("CONFIG")
        .arg(&["GET", "databases"])
        .query_async(&mut connection)
        .await?;
    ensure!(
        count > 1,
        "this Redis has {count} database; tests need more"
    );
    Ok(count)
}
