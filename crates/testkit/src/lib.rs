//! Real servers for tests: PostgreSQL, Redis, RabbitMQ, a foreign SMSC, a browser and our own
//! programs as child processes, and time that is moved by hand. Only ever a dev-dependency.
//!
//! # Shared and private servers
//!
//! A test that wants an *empty place* asks [`postgres()`], [`redis()`] or [`rabbitmq()`] and holds
//! what it gets for as long as it uses it:
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! let database = sallyport_testkit::postgres().await?;
//! let connection = sea_orm::Database::connect(&database.url).await?;
//! # Ok(()) }
//! ```
//!
//! `cargo nextest run` gives every test a process of its own, so a server per process would cost
//! seconds per test. The setup script of `.config/nextest.toml` therefore starts the program
//! `testkit-servers` once per run. It starts nothing at first; it listens on a Unix socket, whose
//! path tests find in `SALLYPORT_TEST_SERVERS`, starts each server when the first test asks for a
//! part of it, and takes the part back when that test's connection closes, however the test ended.
//! It ends, and its servers with it, when the runner's process is gone. With `cargo test`, which
//! knows no setup scripts, each such test starts a server of its own.
//!
//! Where the environment names a server (`SALLYPORT_TEST_POSTGRES_URL`, `SALLYPORT_TEST_REDIS_URL`,
//! `SALLYPORT_TEST_AMQP_URL`), that one is used instead of a started one. The program can also be
//! run by hand, `cargo run -p sallyport-testkit -- run --urls FILE`: it then starts all three,
//! writes these variables to FILE, and stays until its stdin closes or SIGTERM.
//!
//! A test that stops or kills a server starts its own: [`Postgres::start`], [`Redis::start`],
//! [`RabbitMq::start`]. So does one that has the primary of a replicated Redis fail:
//! [`ReplicatedRedis::start`].
//!
//! # What every child has in common
//!
//! It listens on 127.0.0.1 at a [`Port`] that no other test takes, with its data in a temporary
//! folder. It is killed, with everything that it started, when its value is dropped and when the
//! test process ends, also by SIGKILL. The folder, with the log, stays when the test panics (its
//! path goes to stderr) or the server does not start; with `SALLYPORT_TEST_KEEP=1` always. A
//! missing program is an error that names the Debian package.
//!
//! `start` must run before a test pauses Tokio's time, since waiting for a real server takes real
//! time.

mod account;
mod authenticator_app;
mod browser;
mod clock;
mod folder;
mod foreign_smsc;
mod lease;
pub mod lender;
mod passkey_device;
mod port;
mod postgres;
mod process;
mod rabbitmq;
mod redis_server;
mod replicated_redis;
pub mod servers;
mod supervised;

pub use authenticator_app::AuthenticatorApp;
pub use browser::{Browser, BrowserOptions};
pub use clock::ManualClock;
pub use foreign_smsc::{ForeignSmsc, SmscMessage, SmscOptions};
pub use lease::{LENDER, TestDatabase, TestRedis, TestVhost, postgres, rabbitmq, redis};
pub use passkey_device::PasskeyDevice;
pub use port::Port;
pub use postgres::Postgres;
pub use process::{Process, ProcessBuilder, Ready};
pub use rabbitmq::RabbitMq;
pub use redis_server::Redis;
pub use replicated_redis::ReplicatedRedis;

/// Cargo's target folder, where screenshots and logs that outlive a run go.
pub fn target_folder() -> std::path::PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}
