//! Redis as a child process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::folder::Folder;
use crate::port::Port;
use crate::supervised::{Launch, Supervised, find};

/// How many numbered databases a server of the kit has: one per test of a run.
pub(crate) const DATABASES: u32 = 4096;

/// A Redis server on 127.0.0.1 that refuses writes instead of evicting keys, and appends every
/// write to a file that is synced each second, as production does.
#[derive(Debug)]
pub struct Redis {
    running: Option<Supervised>,
    launch: Launch,
    port: Port,
    folder: Folder,
}

impl Redis {
    /// Starts an empty server; returns when it answers.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more settings, as `redis-server` takes them on its command line.
    pub async fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let program = find("redis-server", &[], "redis-server")?;
        let folder = Folder::new("redis")?;
        let port = Port::take()?;
        let launch = Launch::new(program, folder.path(), folder.join("redis.log"))
            .args(["--bind", "127.0.0.1", "--port", &port.number().to_string()])
            .args(["--databases", &DATABASES.to_string(), "--daemonize", "no"])
            .args(["--maxmemory-policy", "noeviction", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "everysec"])
            .arg("--dir")
            .arg(folder.path())
            .args(settings);
        let running = launch.spawn()?;
        let mut server = Self {
            running: None,
            launch,
            port,
            folder,
        };
        server
            .ready(running)
            .await
            .inspect_err(|_| server.folder.keep())?;
        Ok(server)
    }

    /// Where its files lie: what it appended to, and its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `redis://127.0.0.1:PORT`, database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.number())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL of another numbered database, below 4096. Scripts, channels and settings are
    /// shared by all of them.
    pub fn url_for_db(&self, number: u32) -> String {
        url_for_db(&self.url(), number)
    }

    /// Empties every database and forgets the scripts.
    pub async fn flush(&self) -> anyhow::Result<()> {
        let mut connection = connect(&self.url()).await?;
        redis::pipe()
            .cmd("FLUSHALL")
            .ignore()
            .cmd("SCRIPT")
            .arg("FLUSH")
            .ignore()
            .exec_async(&mut connection)
            .await?;
        Ok(())
    }

    /// Ends the server in order; what it holds is written first.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.running.take() {
            server.signal("TERM");
            server.end().await?;
        }
        Ok(())
    }

    /// Kills the server at once. Written data stay, since the machine lives on.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut server) => server.kill9().await,
            None => Ok(()),
        }
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9): same port, same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "Redis is running already");
        self.ready(self.launch.spawn()?).await
    }

    /// Asks `probe` until it succeeds, for as long as the server runs.
    pub(crate) async fn until<T, F, P>(&mut self, ready: &str, probe: P) -> anyhow::Result<T>
    where
        P: FnMut() -> F,
        F: Future<Output = anyhow::Result<T>>,
    {
        let server = self.running.as_mut().context("Redis is not running")?;
        server.until(ready, probe).await
    }

    async fn ready(&mut self, mut server: Supervised) -> anyhow::Result<()> {
        let url = self.url();
        server
            .until("it answered PING", || async {
                // A server that still reads its file answers with the error LOADING.
                let mut connection = connect(&url).await?;
                redis::cmd("PING").exec_async(&mut connection).await?;
                Ok(())
            })
            .await?;
        self.running = Some(server);
        Ok(())
    }
}

/// A connection that waits longer for an answer than the library would: the machine may be busy.
pub(crate) async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(url)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&patient)
        .await?)
}

pub(crate) fn url_for_db(server: &str, number: u32) -> String {
    format!("{}/{number}", server.trim_end_matches('/'))
}

/// Empties one numbered database.
pub(crate) async fn flush_db(url: &str) -> anyhow::Result<()> {
    let mut connection = connect(url).await?;
    redis::cmd("FLUSHDB").exec_async(&mut connection).await?;
    Ok(())
}
