//! What a test asks for: an empty database, Redis or virtual host, for itself, for as long as it
//! holds the value.

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::servers::{Answer, Kind, Servers};

/// Where the lender of this run listens: the path of a Unix socket. Set by the setup script.
pub const LENDER: &str = "SALLYPORT_TEST_SERVERS";

/// An empty PostgreSQL database, dropped after the test.
#[derive(Debug)]
pub struct TestDatabase {
    /// `postgres://…/test_…`
    pub url: String,
    _lease: Lease,
}

/// An empty numbered Redis database, emptied after the test. Keys are the test's own; scripts and
/// channels are shared with the other tests of the run.
#[derive(Debug)]
pub struct TestRedis {
    /// `redis://…/N`
    pub url: String,
    _lease: Lease,
}

/// An empty virtual host of RabbitMQ.
#[derive(Debug)]
pub struct TestVhost {
    /// `amqp://…/test-N`
    pub url: String,
    _lease: Lease,
}

/// What must live as long as the part is used.
#[derive(Debug)]
enum Lease {
    /// The lender takes the part back when this connection ends, however the test ended.
    Shared { _connection: BufReader<UnixStream> },
    /// A server of this test alone, which ends with it.
    Private { _servers: Box<Servers> },
}

/// An empty database for this test.
pub async fn postgres() -> anyhow::Result<TestDatabase> {
    let (url, lease) = borrow(Kind::Postgres).await?;
    Ok(TestDatabase { url, _lease: lease })
}

/// An empty Redis database for this test.
pub async fn redis() -> anyhow::Result<TestRedis> {
    let (url, lease) = borrow(Kind::Redis).await?;
    Ok(TestRedis { url, _lease: lease })
}

/// An empty virtual host for this test.
pub async fn rabbitmq() -> anyhow::Result<TestVhost> {
    let (url, lease) = borrow(Kind::RabbitMq).await?;
    Ok(TestVhost { url, _lease: lease })
}

async fn borrow(kind: Kind) -> anyhow::Result<(String, Lease)> {
    match std::env::var_os(LENDER) {
        Some(socket) => {
            let (url, connection) = ask(socket.as_ref(), kind).await?;
            Ok((
                url,
                Lease::Shared {
                    _connection: connection,
                },
            ))
        }
        None => {
            let servers = Servers::from_env();
            let part = servers.lend(kind).await?;
            Ok((
                part.url,
                Lease::Private {
                    _servers: Box::new(servers),
                },
            ))
        }
    }
}

/// Asks the lender at `socket` for a part, which is held for as long as the connection is.
async fn ask(
    socket: &std::path::Path,
    kind: Kind,
) -> anyhow::Result<(String, BufReader<UnixStream>)> {
    let connection = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "the test servers of this run are gone ({} does not answer)",
            socket.display()
        )
    })?;
    let mut connection = BufReader::new(connection);
    connection.write_all(format!("{kind}\n").as_bytes()).await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    match serde_json::from_str(&line).context("the test servers of this run ended")? {
        Answer::Url(url) => Ok((url, connection)),
        Answer::Error(error) => bail!("{kind}: {error}"),
    }
}
