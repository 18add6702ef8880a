//! A Redis primary with its replica, and the sentinels that watch over both.

use std::collections::HashMap;

use anyhow::{Context, ensure};

use crate::folder::Folder;
use crate::port::Port;
use crate::redis_server::{Redis, connect};
use crate::supervised::{Launch, Supervised, find};

/// What the sentinels call the primary.
const NAME: &str = "challenges";
/// As many as are recommended; two of them are a majority.
const SENTINELS: usize = 3;
/// For how long a server must be silent before the sentinels act by themselves, and how long they
/// wait in several states. Longer than any test: on a busy machine a server can be silent for
/// seconds, and a failover is to come when the test asks for it.
const PATIENCE_MS: u32 = 600_000;

/// A primary, one replica and three sentinels on 127.0.0.1, all children of the kit. Settings are
/// those of [`Redis`].
#[derive(Debug)]
pub struct ReplicatedRedis {
    primary: Redis,
    replica: Redis,
    sentinels: Vec<Sentinel>,
    /// Held, so that nobody listens there.
    nowhere: Port,
}

#[derive(Debug)]
struct Sentinel {
    running: Supervised,
    port: Port,
    folder: Folder,
}

impl ReplicatedRedis {
    /// Starts them empty; returns when the replica follows and every sentinel knows all the others.
    pub async fn start() -> anyhow::Result<Self> {
        // By default a primary waits five seconds for more replicas before it copies to the first.
        const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];
        let primary = Redis::start_with(&AT_ONCE).await?;
        let port = primary.port().to_string();
        let settings = [AT_ONCE[0], AT_ONCE[1], "--replicaof", "127.0.0.1", &port];
        let mut replica = Redis::start_with(&settings).await?;
        let url = replica.url();
        replica
            .until("it followed the primary", || async {
                let state = replication(&url, "master_link_status").await?;
                ensure!(state == "up", "its link to the primary is {state}");
                Ok(())
            })
            .await?;
        // Sentinels ask the primary for its replicas at once, and then every ten seconds only.
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(Sentinel::start(primary.port())?);
        }
        for sentinel in &mut sentinels {
            sentinel.knows_the_others().await?;
        }
        Ok(Self {
            primary,
            replica,
            sentinels,
            nowhere: Port::take()?,
        })
    }

    /// `redis+sentinel://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT/challenges/0`
    pub fn url(&self) -> String {
        self.url_for_db(0)
    }

    /// The URL of another numbered database, below 4096.
    pub fn url_for_db(&self, number: u32) -> String {
        let ports = self.sentinels.iter().map(|sentinel| sentinel.port.number());
        let hosts: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}/{number}", hosts.join(","))
    }

    /// `redis://127.0.0.1:PORT` of each sentinel.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Sentinel::url).collect()
    }

    /// The primary: after a failover the one that was the replica.
    pub fn primary(&self) -> &Redis {
        &self.primary
    }

    /// The replica: after a failover the one that was the primary, which may be killed.
    pub fn replica(&self) -> &Redis {
        &self.replica
    }

    /// What the primary is told from now on, the replica does not hear. Of what it was told before,
    /// the replica has heard everything.
    pub async fn cut_replication(&mut self) -> anyhow::Result<()> {
        self.caught_up().await?;
        // A stopped process would read on afterwards what the kernel holds for it. One that follows
        // nobody who answers keeps what it has, and is a replica as before.
        let nowhere = self.nowhere.number().to_string();
        follow(&self.replica.url(), &nowhere).await
    }

    /// Kills the primary at once, and has the replica promoted.
    pub async fn fail_over(&mut self) -> anyhow::Result<()> {
        self.kill_primary().await?;
        self.promote().await
    }

    /// Kills the primary at once, and leaves it at that.
    pub async fn kill_primary(&mut self) -> anyhow::Result<()> {
        self.primary.kill9().await
    }

    /// From now on the primary takes connections and commands, and answers nothing.
    pub async fn hang_primary(&self) -> anyhow::Result<()> {
        let mut connection = connect(&self.primary.url()).await?;
        redis::cmd("CLIENT")
            .arg(&["PAUSE", &PATIENCE_MS.to_string(), "ALL"])
            .exec_async(&mut connection)
            .await?;
        Ok(())
    }

    /// Has the replica promoted while the primary works, and then the primary follow it: connections
    /// to it stay, and find a replica there.
    pub async fn switch_over(&mut self) -> anyhow::Result<()> {
        self.caught_up().await?;
        self.promote().await?;
        // As the sentinels would, some seconds later.
        let port = self.primary.port().to_string();
        follow(&self.replica.url(), &port).await
    }

    /// Waits until the replica has heard everything that the primary was told so far.
    pub async fn caught_up(&mut self) -> anyhow::Result<()> {
        let told = heard(&self.primary.url()).await?;
        let url = self.replica.url();
        self.replica
            .until("it had heard everything", || async {
                let heard = heard(&url).await?;
                ensure!(heard >= told, "it has heard {heard} of {told} octets");
                Ok(())
            })
            .await
    }

    /// Has the sentinels promote the replica, whatever the primary does; returns when every sentinel
    /// names it.
    pub async fn promote(&mut self) -> anyhow::Result<()> {
        let port = self.replica.port().to_string();
        let one = self.sentinels.first_mut().context("no sentinel")?;
        let url = one.url();
        one.running
            .until("a failover began", || async {
                let mut connection = connect(&url).await?;
                redis::cmd("SENTINEL")
                    .arg(&["FAILOVER", NAME])
                    .exec_async(&mut connection)
                    .await?;
                Ok(())
            })
            .await?;
        for sentinel in &mut self.sentinels {
            let url = sentinel.url();
            sentinel
                .running
                .until("it named the promoted replica", || async {
                    let mut connection = connect(&url).await?;
                    let (_, named): (String, String) = redis::cmd("SENTINEL")
                        .arg(&["GET-MASTER-ADDR-BY-NAME", NAME])
                        .query_async(&mut connection)
                        .await?;
                    ensure!(named == port, "it names port {named}, not {port}");
                    Ok(())
                })
                .await?;
        }
        std::mem::swap(&mut self.primary, &mut self.replica);
        Ok(())
    }
}

impl Sentinel {
    fn start(primary: u16) -> anyhow::Result<Self> {
        let program = find("redis-server", &[], "redis-server")?;
        let folder = Folder::new("sentinel")?;
        let port = Port::take()?;
        // A file, since that is where it writes what it learns.
        let settings = folder.join("sentinel.conf");
        let lines = format!(
            "bind 127.0.0.1\n\
             port {}\n\
             dir {}\n\
             sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {NAME} {PATIENCE_MS}\n\
             sentinel failover-timeout {NAME} {PATIENCE_MS}\n",
            port.number(),
            folder.path().display()
        );
        std::fs::write(&settings, lines)
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let running = Launch::new(program, folder.path(), folder.join("sentinel.log"))
            .arg(&settings)
            .arg("--sentinel")
            .spawn()?;
        Ok(Self {
            running,
            port,
            folder,
        })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.number())
    }

    async fn knows_the_others(&mut self) -> anyhow::Result<()> {
        let url = self.url();
        let others = (SENTINELS - 1).to_string();
        let ready = self
            .running
            .until("it knew the replica and the other sentinels", || async {
                let mut connection = connect(&url).await?;
                let known: HashMap<String, String> = redis::cmd("SENTINEL")
                    .arg(&["MASTER", NAME])
                    .query_async(&mut connection)
                    .await?;
                let number = |of: &str| known.get(of).map_or("", String::as_str);
                ensure!(
                    number("num-slaves") == "1" && number("num-other-sentinels") == others,
                    "it knows {known:?}"
                );
                Ok(())
            })
            .await;
        ready.inspect_err(|_| self.folder.keep())
    }
}

/// A value of `INFO replication`.
async fn replication(url: &str, key: &str) -> anyhow::Result<String> {
    let mut connection = connect(url).await?;
    let info: String = redis::cmd("INFO")
        .arg("replication")
        .query_async(&mut connection)
        .await?;
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .with_context(|| format!("INFO has no {key}"))?;
    Ok(value.trim().to_owned())
}

/// How many octets of the primary's stream of changes a server has made true.
async fn heard(url: &str) -> anyhow::Result<u64> {
    Ok(replication(url, "master_repl_offset").await?.parse()?)
}

/// Makes a server a replica of another one on this machine.
async fn follow(url: &str, port: &str) -> anyhow::Result<()> {
    let mut connection = connect(url).await?;
    redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", port])
        .exec_async(&mut connection)
        .await?;
    Ok(())
}
