//! What a relay delivers, when, and beside what.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use sallyport_chassis::SecretUrl;
use sea_orm_migration::prelude::*;

use super::*;
use crate::DatabaseConfig;

struct Migrator;

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m1"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_table(manager).await
    }
}

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First)]
    }
}

#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> jiff::Timestamp {
        sallyport_chassis::clock::from_ms(self.0.load(Ordering::SeqCst))
    }
}

async fn fixture() -> (tempfile::TempDir, Database, Arc<HandClock>, Relay) {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig {
        url: SecretUrl::new(format!("sqlite://{}", folder.path().display())),
        max_connections: 4,
        migrate_at_start: true,
    };
    let database = Database::connect(&config, "sample").await.unwrap();
    database.migrate::<Migrator>().await.unwrap();
    let clock = Arc::new(HandClock::default());
    let relay = Relay::new(
        database.clone(),
        "t",
        clock.clone(),
        Arc::new(Notify::new()),
    );
    (folder, database, clock, relay)
}

async fn put_rows(database: &Database, texts: &[&str]) {
    let transaction = database.begin().await.unwrap();
    for text in texts {
        put(
            &transaction,
            Uuid::now_v7(),
            "t",
            text.as_bytes().to_vec(),
            0,
        )
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn rows_are_delivered_once_in_order_and_only_after_commit() {
    let (_folder, database, _, relay) = fixture().await;
    let seen = Mutex::new(Vec::new());
    let deliver = |rows: Vec<Row>| {
        seen.lock()
            .unwrap()
            .extend(rows.into_iter().map(|r| r.payload));
        async { Ok::<(), String>(()) }
    };
    let rolled_back = database.begin().await.unwrap();
    put(&rolled_back, Uuid::now_v7(), "t", b"never".to_vec(), 0)
        .await
        .unwrap();
    rolled_back.rollback().await.unwrap();
    put_rows(&database, &["a", "b"]).await;
    assert!(relay.step(&deliver).await.unwrap());
    assert!(!relay.step(&deliver).await.unwrap());
    assert_eq!(*seen.lock().unwrap(), [b"a".to_vec(), b"b".to_vec()]);
}

#[tokio::test]
async fn a_failed_row_waits_longer_each_time_and_holds_up_no_other() {
    let (_folder, database, clock, relay) = fixture().await;
    put_rows(&database, &["poison"]).await;
    let poison = |_: Vec<Row>| async { Err::<(), _>("no") };
    assert!(!relay.step(&poison).await.unwrap());
    assert_eq!(attempts(&database).await, [1]);
    assert!(!relay.step(&poison).await.unwrap());
    assert_eq!(attempts(&database).await, [1], "not due yet");
    put_rows(&database, &["good"]).await;
    let seen = Mutex::new(Vec::new());
    let deliver = |rows: Vec<Row>| {
        seen.lock()
            .unwrap()
            .extend(rows.into_iter().map(|r| r.payload));
        async { Ok::<(), String>(()) }
    };
    assert!(relay.step(&deliver).await.unwrap());
    assert_eq!(*seen.lock().unwrap(), [b"good".to_vec()]);
    clock.0.store(1_000, Ordering::SeqCst);
    assert!(!relay.step(&poison).await.unwrap());
    clock.0.store(2_999, Ordering::SeqCst);
    assert!(
        !relay.step(&poison).await.unwrap(),
        "the second wait is two seconds"
    );
    clock.0.store(3_000, Ordering::SeqCst);
    assert!(relay.step(&deliver).await.unwrap());
    assert_eq!(seen.lock().unwrap().last().unwrap(), b"poison");
}

#[tokio::test]
async fn rows_that_keep_failing_do_not_keep_fresh_ones_waiting() {
    let (_folder, database, clock, relay) = fixture().await;
    put_rows(&database, &["poison", "poison", "poison"]).await;
    let sent = Mutex::new(Vec::new());
    let deliver = |rows: Vec<Row>| {
        let poisoned = rows.iter().any(|row| row.payload == b"poison");
        if !poisoned {
            sent.lock()
                .unwrap()
                .extend(rows.into_iter().map(|row| row.payload));
        }
        async move { if poisoned { Err("no") } else { Ok(()) } }
    };
    relay.step(&deliver).await.unwrap();
    for round in 0..20 {
        // Every failed row is due again, and older than the fresh one.
        clock.0.fetch_add(120_000, Ordering::SeqCst);
        put_rows(&database, &[&format!("fresh {round}")]).await;
        relay.step(&deliver).await.unwrap();
        relay.step(&deliver).await.unwrap();
        assert_eq!(sent.lock().unwrap().len(), round + 1, "round {round}");
    }
    assert!(
        attempts(&database)
            .await
            .iter()
            .all(|attempts| *attempts > 1),
        "they are tried"
    );
}

#[tokio::test]
async fn what_failed_beside_a_poisoned_row_arrives_whatever_comes_meanwhile() {
    let (_folder, database, clock, relay) = fixture().await;
    put_rows(&database, &["good", "poison"]).await;
    let sent = Mutex::new(Vec::new());
    let deliver = |rows: Vec<Row>| {
        let poisoned = rows.iter().any(|row| row.payload == b"poison");
        if !poisoned {
            sent.lock()
                .unwrap()
                .extend(rows.into_iter().map(|row| row.payload));
        }
        async move { if poisoned { Err("no") } else { Ok(()) } }
    };
    assert!(!relay.step(&deliver).await.unwrap(), "they fail together");
    assert_eq!(attempts(&database).await, [1, 1]);
    for due in [0, 1_000] {
        // A delivery that succeeds comes before each that may fail.
        clock.0.store(due, Ordering::SeqCst);
        put_rows(&database, &["fresh"]).await;
        relay.step(&deliver).await.unwrap();
    }
    assert!(relay.step(&deliver).await.unwrap(), "the good one");
    assert_eq!(
        *sent.lock().unwrap(),
        [b"fresh".to_vec(), b"fresh".to_vec(), b"good".to_vec()]
    );
    assert_eq!(attempts(&database).await, [2], "the poisoned one, alone");
}

#[tokio::test]
async fn many_rows_that_always_fail_do_not_keep_a_later_one_waiting() {
    let (_folder, database, clock, relay) = fixture().await;
    put_rows(&database, &["poison"; ALONE as usize + 5]).await;
    let poison = |_: Vec<Row>| async { Err::<(), _>("no") };
    relay.step(&poison).await.unwrap();
    put_rows(&database, &["good"]).await;
    relay.step(&poison).await.unwrap();
    let sent = Mutex::new(Vec::new());
    let deliver = |rows: Vec<Row>| {
        let [row] = &rows[..] else {
            panic!("those that failed go alone")
        };
        let good = row.payload == b"good";
        if good {
            sent.lock().unwrap().push(row.id);
        }
        async move { if good { Ok(()) } else { Err("no") } }
    };
    for _ in 0..2 {
        // Every failed row is due again, and most are older than the good one.
        clock.0.fetch_add(120_000, Ordering::SeqCst);
        relay.step(&deliver).await.unwrap();
    }
    assert_eq!(sent.lock().unwrap().len(), 1);
}

async fn attempts(database: &Database) -> Vec<i32> {
    let rows = entity::Entity::find().order_by_asc(entity::Column::Id);
    rows.all(database.connection())
        .await
        .unwrap()
        .iter()
        .map(|row| row.attempts)
        .collect()
}

#[tokio::test]
async fn a_relay_that_died_leaves_its_rows_to_another_after_the_lease() {
    let (_folder, database, clock, relay) = fixture().await;
    put_rows(&database, &["a"]).await;
    assert_eq!(relay.claim().await.unwrap().len(), 1);
    assert!(relay.claim().await.unwrap().is_empty());
    clock.0.store(LEASE.as_millis() as i64, Ordering::SeqCst);
    assert_eq!(relay.claim().await.unwrap().len(), 1);
}
