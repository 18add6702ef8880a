//! The servers that the tests of a run share, and the program that owns them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::AsyncTypedCommands;
use sallyport_testkit::lender;
use sallyport_testkit::servers::{Kind, Servers};
use sallyport_testkit::{Process, Ready};
use sea_orm::{ConnectionTrait, Database};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};

const PROGRAM: &str = env!("CARGO_BIN_EXE_testkit-servers");

/// Asks until the answer is yes; there is no event to wait for when another process ends.
async fn eventually(what: &str, mut probe: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !probe().await {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}"
        );
        tokio::task::yield_now().await;
    }
}

/// Whether anything listens at the port of a URL.
async fn listens(url: &str) -> anyhow::Result<bool> {
    let port = url::Url::parse(url)?.port().expect("a port");
    Ok(TcpStream::connect(("127.0.0.1", port)).await.is_ok())
}

#[tokio::test]
async fn every_test_gets_an_empty_part_of_its_own() -> anyhow::Result<()> {
    let (one, two) =
        tokio::try_join!(sallyport_testkit::postgres(), sallyport_testkit::postgres())?;
    assert_ne!(one.url, two.url);
    for database in [&one, &two] {
        let connection = Database::connect(&database.url).await?;
        connection
            .execute_unprepared("CREATE TABLE mine (n BIGINT)")
            .await?;
    }

    let (one, two) = tokio::try_join!(sallyport_testkit::redis(), sallyport_testkit::redis())?;
    for redis in [&one, &two] {
        let client = redis::Client::open(redis.url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        assert!(connection.set_nx("mine", "1").await?);
    }

    let (one, two) =
        tokio::try_join!(sallyport_testkit::rabbitmq(), sallyport_testkit::rabbitmq())?;
    for vhost in [&one, &two] {
        let connection =
            lapin::Connection::connect(&vhost.url, lapin::ConnectionProperties::default()).await?;
        let options = lapin::options::QueueDeclareOptions {
            exclusive: true,
            ..Default::default()
        };
        let channel = connection.create_channel().await?;
        // The queue is locked to the connection that made it, so one of the same name in the same
        // virtual host would be refused.
        channel
            .queue_declare("mine".into(), options, Default::default())
            .await?;
        std::mem::forget(connection);
    }
    Ok(())
}

/// Borrows as a test does, from the lender at `socket`.
async fn borrow(socket: &Path, kind: Kind) -> anyhow::Result<(String, BufReader<UnixStream>)> {
    let mut connection = BufReader::new(UnixStream::connect(socket).await?);
    connection.write_all(format!("{kind}\n").as_bytes()).await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let answer: serde_json::Value = serde_json::from_str(&line)?;
    Ok((
        answer["url"].as_str().expect("a URL").to_owned(),
        connection,
    ))
}

#[tokio::test]
async fn a_part_is_taken_back_when_its_test_ends_and_servers_end_with_the_run() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(lender::lend(listener, async {
        let _ = stopped.await;
    }));

    let (database, holder) = borrow(&socket, Kind::Postgres).await?;
    Database::connect(&database).await?;
    drop(holder);
    // A database that is not there is refused at once; a server that is not there is not.
    eventually("the database is dropped", async || {
        Database::connect(&database).await.is_err()
    })
    .await;

    let (redis, holder) = borrow(&socket, Kind::Redis).await?;
    let mut connection = redis::Client::open(redis.as_str())?
        .get_multiplexed_async_connection()
        .await?;
    connection.set("left behind", "1").await?;
    drop(holder);
    eventually("the keys are gone", async || {
        connection.keys("*").await.unwrap().is_empty()
    })
    .await;

    let (other, _holder) = borrow(&socket, Kind::Postgres).await?;
    Database::connect(&other).await?;
    stop.send(()).expect("the lender waits");
    run.await??;
    assert!(!listens(&other).await?, "the server outlived the run");
    Ok(())
}

#[tokio::test]
async fn a_wrong_question_is_answered_by_an_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket)?;
    let run = tokio::spawn(lender::lend(listener, std::future::pending()));
    let mut connection = BufReader::new(UnixStream::connect(&socket).await?);
    connection.write_all(b"oracle\n").await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    assert_eq!(line, "{\"error\":\"there is no server \\\"oracle\\\"\"}\n");
    run.abort();
    Ok(())
}

/// The program by hand, with the three servers ready; and their URLs.
async fn run_by_hand(folder: &Path) -> anyhow::Result<(Child, Vec<String>)> {
    let file = folder.join("urls");
    let program = Command::new(PROGRAM)
        .args(["run", "--urls"])
        .arg(&file)
        .env_remove("SALLYPORT_TEST_SERVERS")
        .stdin(Stdio::piped())
        .spawn()?;
    eventually("the URLs are written", async || file.exists()).await;
    let mut urls = Vec::new();
    for line in std::fs::read_to_string(&file)?.lines() {
        let (name, url) = line.split_once('=').expect("NAME=VALUE");
        assert!(name.starts_with("SALLYPORT_TEST_"), "{name}");
        assert!(listens(url).await?, "{url}");
        urls.push(url.to_owned());
    }
    assert_eq!(urls.len(), 3);
    Ok((program, urls))
}

#[tokio::test]
async fn the_servers_end_when_stdin_closes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut program, urls) = run_by_hand(folder.path()).await?;
    drop(program.stdin.take());
    assert!(
        tokio::task::spawn_blocking(move || program.wait())
            .await??
            .success()
    );
    for url in &urls {
        assert!(!listens(url).await?, "{url} is left behind");
    }
    Ok(())
}

#[tokio::test]
async fn the_servers_end_when_their_owner_is_killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut program, urls) = run_by_hand(folder.path()).await?;
    program.kill()?;
    program.wait()?;
    for url in &urls {
        eventually(&format!("{url} is gone"), async || {
            !listens(url).await.unwrap()
        })
        .await;
    }
    Ok(())
}

#[tokio::test]
async fn the_lender_ends_with_the_runner() -> anyhow::Result<()> {
    let mut runner = Command::new("cat").stdin(Stdio::piped()).spawn()?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", runner.id()))?;
    let started = stat.split_whitespace().nth(21).expect("field 22");
    let mut lender = Process::builder(PROGRAM)?
        .args(["lend", &runner.id().to_string(), started])
        .start(Ready::Line("/socket".into()))
        .await?;
    let socket = lender.log()?.trim().to_owned();
    let (database, _holder) = borrow(Path::new(&socket), Kind::Postgres).await?;
    Database::connect(&database).await?;
    drop(runner.stdin.take());
    runner.wait()?;
    assert!(lender.end().await?.success());
    assert!(!listens(&database).await?, "the server outlived the run");
    assert!(!Path::new(&socket).exists());
    Ok(())
}

#[tokio::test]
async fn servers_start_only_when_wanted() -> anyhow::Result<()> {
    let servers = Servers::from_env();
    assert!(!format!("{servers:?}").contains("Supervised"));
    let part = servers.lend(Kind::Redis).await?;
    assert_eq!(format!("{servers:?}").matches("Supervised {").count(), 1);
    servers.take_back(part).await
}
