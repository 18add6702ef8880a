//! PostgreSQL and Redis, really started and really spoken with.

use redis::AsyncTypedCommands;
use sallyport_testkit::{Postgres, Redis, ReplicatedRedis};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use tokio::net::TcpStream;

async fn number(url: &str, sql: &str) -> anyhow::Result<i64> {
    let database = Database::connect(url).await?;
    let row = database
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await?
        .expect("one row");
    let number = row.try_get_by_index(0)?;
    database.close().await?;
    Ok(number)
}

async fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    let database = Database::connect(url).await?;
    database.execute_unprepared(sql).await?;
    database.close().await?;
    Ok(())
}

#[tokio::test]
async fn postgres_keeps_what_was_committed_through_stop_and_kill() -> anyhow::Result<()> {
    let mut server = Postgres::start().await?;
    let url = server.create_database("kept").await?;
    execute(&url, "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (1)").await?;
    // Databases do not see each other.
    assert!(number(&server.url(), "SELECT n FROM t").await.is_err());
    assert!(server.create_database("no; DROP TABLE t").await.is_err());

    server.stop().await?;
    // Not by the driver, which tries again for half a minute.
    let address = format!(
        "127.0.0.1:{}",
        url::Url::parse(&url)?.port().expect("a port")
    );
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "it listens after stop"
    );
    server.start_again().await?;
    execute(&url, "INSERT INTO t VALUES (2)").await?;

    // A back end that is busy, and would not notice for long that its parent is gone.
    let busy = Database::connect(&url).await?;
    let sleeping = tokio::spawn(async move {
        busy.execute_unprepared("SELECT pg_sleep(600)")
            .await
            .map(drop)
    });
    let count = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
    while number(&url, count).await? == 0 {}
    server.kill9().await?;
    assert!(sleeping.await?.is_err(), "the back end outlived the kill");
    server.start_again().await?;
    assert_eq!(number(&url, "SELECT sum(n)::BIGINT FROM t").await?, 3);
    assert!(server.start_again().await.is_err(), "started twice");
    Ok(())
}

#[tokio::test]
async fn redis_keeps_what_was_written_through_stop_and_kill() -> anyhow::Result<()> {
    let mut server = Redis::start().await?;
    let connect = async |url: String| {
        redis::Client::open(url)?
            .get_multiplexed_async_connection()
            .await
    };
    let mut connection = connect(server.url()).await?;
    let answer: String = redis::cmd("PING").query_async(&mut connection).await?;
    assert_eq!(answer, "PONG");
    connection.set("key", "1").await?;
    assert_eq!(
        connect(server.url_for_db(4095)).await?.get("key").await?,
        None
    );

    server.stop().await?;
    assert!(
        connect(server.url()).await.is_err(),
        "it answers after stop"
    );
    server.start_again().await?;
    let mut connection = connect(server.url()).await?;
    assert_eq!(connection.get("key").await?.as_deref(), Some("1"));
    connection.set("key", "2").await?;
    server.kill9().await?;
    server.start_again().await?;
    let mut connection = connect(server.url()).await?;
    assert_eq!(connection.get("key").await?.as_deref(), Some("2"));

    let policy: Vec<String> = redis::cmd("CONFIG")
        .arg(&["GET", "maxmemory-policy"])
        .query_async(&mut connection)
        .await?;
    assert_eq!(policy[1], "noeviction");
    connect(server.url_for_db(4095))
        .await?
        .set("other", "1")
        .await?;
    server.flush().await?;
    assert_eq!(connection.get("key").await?, None);
    assert_eq!(
        connect(server.url_for_db(4095)).await?.get("other").await?,
        None
    );
    Ok(())
}

/// The value of `key`, and whether the server says that it is a primary.
async fn key_and_role(server: &Redis) -> anyhow::Result<(String, bool)> {
    let mut connection = redis::Client::open(server.url())?
        .get_multiplexed_async_connection()
        .await?;
    let info: String = redis::cmd("INFO")
        .arg("replication")
        .query_async(&mut connection)
        .await?;
    let key = connection.get("key").await?.unwrap_or_default();
    Ok((key, info.contains("role:master")))
}

async fn set_key(server: &Redis, value: &str) -> anyhow::Result<()> {
    redis::Client::open(server.url())?
        .get_multiplexed_async_connection()
        .await?
        .set("key", value)
        .await?;
    Ok(())
}

#[tokio::test]
async fn sentinels_promote_the_replica_with_what_it_has_heard() -> anyhow::Result<()> {
    let mut servers = ReplicatedRedis::start().await?;
    let (primary, replica) = (servers.primary().url(), servers.replica().url());
    set_key(servers.primary(), "heard").await?;
    servers.cut_replication().await?;
    set_key(servers.primary(), "unheard").await?;
    let stands = key_and_role(servers.primary()).await?;
    assert_eq!(stands, ("unheard".to_owned(), true));
    let stands = key_and_role(servers.replica()).await?;
    assert_eq!(stands, ("heard".to_owned(), false));

    servers.fail_over().await?;
    assert_eq!(servers.primary().url(), replica);
    assert_eq!(servers.replica().url(), primary);
    let stands = key_and_role(servers.primary()).await?;
    assert_eq!(stands, ("heard".to_owned(), true));
    for sentinel in servers.sentinel_urls() {
        let mut sentinel = redis::Client::open(sentinel)?
            .get_multiplexed_async_connection()
            .await?;
        let (host, port): (String, String) = redis::cmd("SENTINEL")
            .arg(&["GET-MASTER-ADDR-BY-NAME", "challenges"])
            .query_async(&mut sentinel)
            .await?;
        assert_eq!(format!("redis://{host}:{port}"), replica);
    }
    Ok(())
}

#[tokio::test]
async fn a_primary_from_which_the_role_is_taken_lives_on_as_a_replica() -> anyhow::Result<()> {
    let mut servers = ReplicatedRedis::start().await?;
    let (primary, replica) = (servers.primary().url(), servers.replica().url());
    servers.switch_over().await?;
    assert_eq!(servers.primary().url(), replica);
    assert_eq!(servers.replica().url(), primary);
    assert!(key_and_role(servers.primary()).await?.1);
    assert!(!key_and_role(servers.replica()).await?.1);
    Ok(())
}
