//! Connecting and migrating.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sallyport_chassis::SecretUrl;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The `[database]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite://FOLDER` (one file a service) or `postgres://…` (one schema a service).
    pub url: SecretUrl,
    /// Connections in the pool.
    pub max_connections: u32,
    /// Whether the service migrates its schema at start; else `sallyportctl migrate` does.
    pub migrate_at_start: bool,
}

/// One service's database: a schema in PostgreSQL, or a file of its own in SQLite.
#[derive(Debug, Clone)]
pub struct Database {
    connection: DatabaseConnection,
    schema: &'static str,
}

impl Database {
    /// Opens the service's schema. On SQLite the folder and file are made when missing.
    pub async fn connect(config: &DatabaseConfig, schema: &'static str) -> Result<Self> {
        let mut options = match config.url.scheme() {
            "sqlite" => sqlite(&config.url, schema)?,
            "postgres" | "postgresql" => {
                let mut options = ConnectOptions::new(config.url.expose());
                options.set_schema_search_path(schema);
                options
            }
            other => bail!("database.url: scheme {other} is neither sqlite nor postgres"),
        };
        options
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_secs(3))
            .connect_timeout(Duration::from_secs(5))
            .sqlx_logging(false);
        let connection = sea_orm::Database::connect(options)
            .await
            .with_context(|| format!("database.url {:?} cannot be opened", config.url))?;
        Ok(Self { connection, schema })
    }

    /// Brings the schema up to date. Several processes may do so at once: on PostgreSQL an advisory
    /// lock lets one at a time pass.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<()> {
        if self.backend() == DbBackend::Postgres {
            // The lock is held by this transaction's connection while the migrator uses another.
            let lock = self.connection.begin().await?;
            lock.execute_raw(Statement::from_sql_and_values(
                DbBackend::Postgres,
                "SELECT pg_advisory_xact_lock(hashtext($1))",
                [format!("sallyport.migrate.{}", self.schema).into()],
            ))
            .await?;
            self.connection
                .execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.schema))
                .await?;
            M::up(&self.connection, None).await.context("migration")?;
            lock.commit().await?;
        } else {
            M::up(&self.connection, None).await.context("migration")?;
        }
        Ok(())
    }

    /// For single statements and reads.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Begins a transaction that may write. On SQLite it takes the write lock at once (BEGIN
    /// IMMEDIATE), so that it never fails halfway for want of it.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.backend() == DbBackend::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.connection.begin_with_options(options).await?)
    }

    /// Which database is behind it.
    pub fn backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    /// Closes the pool.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

fn sqlite(url: &SecretUrl, schema: &str) -> Result<ConnectOptions> {
    let folder = PathBuf::from(
        url.expose()
            .strip_prefix("sqlite://")
            .context("database.url is not sqlite://FOLDER")?,
    );
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("folder {} cannot be made", folder.display()))?;
    let file = folder.join(format!("{schema}.db"));
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", file.display()));
    options.map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk when it is answered: attempt counts survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
    });
    Ok(options)
}
