//! Connecting and migrating.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sallyport_chassis::SecretUrl;
use sallyport_chassis::config::Profile;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
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

impl DatabaseConfig {
    /// Refuses, in production, a database on another machine whose certificate is not verified.
    ///
    /// # Errors
    /// A sentence that says what to set.
    pub fn check(&self, profile: Profile) -> Result<()> {
        if profile == Profile::Development || !self.url.scheme().starts_with("postgres") {
            return Ok(());
        }
        // As the driver reads it: of a setting that stands twice, or under two names, the last counts.
        let server: PgConnectOptions = self
            .url
            .expose()
            .parse()
            .with_context(|| format!("database.url {:?} cannot be read", self.url))?;
        let host = server.get_host().trim_matches(['[', ']']);
        let is_local = server.get_socket().is_some()
            || host.starts_with('/')
            || host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        // `verify-ca` would take anybody's certificate of a public authority.
        ensure!(
            is_local || matches!(server.get_ssl_mode(), PgSslMode::VerifyFull),
            "database.url must be postgres://HOST/…?sslmode=verify-full (and sslrootcert=FILE where \
             the authority is your own) with profile = \"production\", unless the server is on this \
             machine"
        );
        Ok(())
    }
}

/// One service's database: a schema in PostgreSQL, or a file of its own in SQLite.
#[derive(Debug, Clone)]
pub struct Database {
    connection: DatabaseConnection,
    schema: &'static str,
    /// The folder of a SQLite file.
    folder: Option<PathBuf>,
}

impl Database {
    /// Opens the service's schema. On SQLite the folder and file are made when missing.
    pub async fn connect(config: &DatabaseConfig, schema: &'static str) -> Result<Self> {
        let mut folder = None;
        let mut options = match config.url.scheme() {
            "sqlite" => sqlite(folder.insert(sqlite_folder(&config.url)?), schema)?,
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
        ensure!(
            config.max_connections >= 2,
            "database.max_connections must be at least 2: migrating holds one while it uses another"
        );
        let connection = sea_orm::Database::connect(options)
            .await
            .with_context(|| format!("database.url {:?} cannot be opened", config.url))?;
        Ok(Self {
            connection,
            schema,
            folder,
        })
    }

    /// Brings the schema up to date. Several processes may do so at once: an advisory lock on
    /// PostgreSQL, or a locked file beside the SQLite file, lets one at a time pass.
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
            let lock = self.folder.as_ref().map(|folder| {
                let path = folder.join(format!("{}.lock", self.schema));
                tokio::task::spawn_blocking(move || {
                    let file = std::fs::File::create(path)?;
                    file.lock()?;
                    Ok::<_, std::io::Error>(file)
                })
            });
            // Held until the migrator is through; the system lets go of it if the process dies.
            let _held = match lock {
                Some(lock) => Some(lock.await?.context("the lock of the migration")?),
                None => None,
            };
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

/// Ends a transaction for good.
pub async fn commit(transaction: DatabaseTransaction) -> Result<(), StoreError> {
    Ok(transaction.commit().await?)
}

/// Gives a transaction up, before anything else is done; one that is dropped is given up later.
pub async fn roll_back(transaction: DatabaseTransaction) -> Result<(), StoreError> {
    Ok(transaction.rollback().await?)
}

fn sqlite_folder(url: &SecretUrl) -> Result<PathBuf> {
    let path = url.expose().strip_prefix("sqlite://");
    Ok(PathBuf::from(
        path.context("database.url is not sqlite://FOLDER")?,
    ))
}

fn sqlite(folder: &Path, schema: &str) -> Result<ConnectOptions> {
    std::fs::create_dir_all(folder)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_verifies_the_certificate_of_a_database_elsewhere() {
        let check = |profile, url: &str| {
            let config = DatabaseConfig {
                url: SecretUrl::new(url),
                max_connections: 2,
                migrate_at_start: false,
            };
            config.check(profile)
        };
        for url in [
            "sqlite://data",
            "postgres://u@localhost/db",
            "postgres://u@127.0.0.1:5433/db",
            "postgres://u@[::1]/db",
            "postgres:///db?host=/run/postgresql",
            "postgres://u@%2Frun%2Fpostgresql/db",
            "postgres://u@db.example/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgresql://u@db.example/db?ssl-mode=verify-full",
        ] {
            check(Profile::Production, url).unwrap();
        }
        for url in [
            "postgres://u@db.example/db",
            "postgres://u@db.example/db?sslmode=require",
            "postgres://u@db.example/db?sslmode=verify-ca",
            "postgres://u@db.example/db?sslmode=verify-full&sslmode=require",
            "postgres://u@db.example/db?sslmode=verify-full&ssl-mode=disable",
            "postgres://u@db.example/db?application_name=sslmode=verify-full",
            "postgres:///db?host=db.example",
            "postgres://u@localhost/db?hostaddr=192.0.2.1",
        ] {
            check(Profile::Development, url).unwrap();
            let error = check(Profile::Production, url).unwrap_err();
            assert!(error.to_string().contains("sslmode=verify-full"), "{url}");
        }
    }
}
