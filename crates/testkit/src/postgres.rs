//! PostgreSQL as a child process.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use tokio::net::TcpStream;

use crate::account::Account;
use crate::folder::Folder;
use crate::port::Port;
use crate::supervised::{Launch, Supervised, find};

const PACKAGE: &str = "postgresql";

/// A PostgreSQL server with an empty cluster: UTF-8, locale C, the superuser `postgres` without
/// password, 127.0.0.1 only, `fsync` on. Runs as the user `postgres` when the test is root.
#[derive(Debug)]
pub struct Postgres {
    running: Option<Supervised>,
    launch: Launch,
    port: Port,
    folder: Folder,
}

impl Postgres {
    /// Makes a cluster and starts the server; returns when it answers queries.
    pub async fn start() -> anyhow::Result<Self> {
        let account = Account::if_root("postgres", PACKAGE)?;
        let folders = program_folders();
        let initdb = find("initdb", &folders, PACKAGE)?;
        let postgres = find("postgres", &folders, PACKAGE)?;

        let folder = Folder::new("postgres")?;
        if let Some(account) = &account {
            account.own(folder.path())?;
        }
        let data = folder.join("data");
        Launch::new(initdb, folder.path(), folder.join("initdb.log"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--pgdata"])
            .arg(&data)
            .account(account.clone())
            .run()
            .await?;
        let port = Port::take()?;
        let launch = Launch::new(postgres, folder.path(), folder.join("postgres.log"))
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", "max_connections=500", "-c", "timezone=UTC"])
            .arg("-c")
            .arg(format!("port={}", port.number()))
            .account(account);
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

    /// `postgres://…` of the cluster's own database, `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{database}",
            self.port.number()
        )
    }

    /// Makes an empty database (a name of lower-case letters, digits and `_`); returns its URL.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        create_database(&self.url(), name).await?;
        Ok(self.url_of(name))
    }

    /// Ends the server in order ("fast" shutdown: sessions are cut off, a checkpoint is written).
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.running.take() {
            server.signal("INT");
            server.end().await?;
        }
        Ok(())
    }

    /// Kills the server and its back ends at once, as a power cut would.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut server) => server.kill9().await,
            None => Ok(()),
        }
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9): same port, same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "PostgreSQL is running already");
        self.ready(self.launch.spawn()?).await
    }

    async fn ready(&mut self, mut server: Supervised) -> anyhow::Result<()> {
        let url = self.url();
        let address = ("127.0.0.1", self.port.number());
        server
            .until("it answered queries", || async {
                // The driver by itself tries a refused connection again, ever more slowly.
                TcpStream::connect(address).await?;
                execute(&url, "SELECT 1").await
            })
            .await?;
        self.running = Some(server);
        Ok(())
    }
}

/// Where Debian keeps the programs of each version, newest first; they are not on `PATH`.
fn program_folders() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut folders: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders
        .into_iter()
        .map(|(_, folder)| folder.join("bin"))
        .collect()
}

/// Makes a database on the server of `url`, which names any other database of it.
pub(crate) async fn create_database(url: &str, name: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "{name:?} is no plain database name"
    );
    execute(url, &format!("CREATE DATABASE \"{name}\""))
        .await
        .with_context(|| format!("cannot make the database {name}"))
}

/// Removes a database, and whoever is connected to it, from the server of `url`.
pub(crate) async fn drop_database(url: &str, name: &str) -> anyhow::Result<()> {
    execute(
        url,
        &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
    )
    .await
}

/// One statement on a connection of its own.
async fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    database.execute_unprepared(sql).await?;
    database.close().await?;
    Ok(())
}
