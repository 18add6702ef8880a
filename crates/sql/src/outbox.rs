//! The transactional outbox: what a service owes to others, written in the transaction that made it
//! owed, delivered until acknowledged.
//!
//! Relays select rows that are due, never rows "after the last one": a transaction that commits late
//! is not passed over. Deliveries may repeat; receivers deduplicate by the row's id.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sallyport_chassis::Clock;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LockBehavior, LockType, OnConflict};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, QueryOrder, QuerySelect};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{big_integer, binary, integer, string_len, text, uuid};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Database, StoreError};

/// How many rows one delivery may hold.
const BATCH: u64 = 100;
/// How long a relay has for a delivery before another may take its rows.
const LEASE: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a relay looks without being woken.
const IDLE: Duration = Duration::from_secs(1);

mod entity {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub topic: String,
        pub payload: Vec<u8>,
        pub trace: String,
        pub attempts: i32,
        pub due_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A row to deliver.
#[derive(Debug, Clone)]
pub struct Row {
    /// Identifies the delivery to its receiver.
    pub id: Uuid,
    /// What was put.
    pub payload: Vec<u8>,
}

/// Makes the table; called by a migration of the service.
pub async fn create_table(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            sea_orm_migration::prelude::Table::create()
                .table("outbox")
                .col(uuid("id").primary_key())
                .col(string_len("topic", 32))
                .col(binary("payload"))
                .col(text("trace"))
                .col(integer("attempts"))
                .col(big_integer("due_at"))
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            sea_orm_migration::prelude::Index::create()
                .name("outbox_due")
                .table("outbox")
                .col("topic")
                .col("due_at")
                .to_owned(),
        )
        .await
}

/// Puts a row, in the caller's transaction. `id` (UUIDv7) orders and deduplicates.
pub async fn put(
    transaction: &impl ConnectionTrait,
    id: Uuid,
    topic: &str,
    payload: Vec<u8>,
    now_ms: i64,
) -> Result<(), StoreError> {
    entity::Entity::insert(row(id, topic, payload, now_ms))
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// The same, unless a row of this id waits already.
pub async fn put_once(
    connection: &impl ConnectionTrait,
    id: Uuid,
    topic: &str,
    payload: Vec<u8>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let waiting = OnConflict::column(entity::Column::Id)
        .do_nothing()
        .to_owned();
    entity::Entity::insert(row(id, topic, payload, now_ms))
        .on_conflict(waiting)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

fn row(id: Uuid, topic: &str, payload: Vec<u8>, now_ms: i64) -> entity::ActiveModel {
    let context = sallyport_chassis::telemetry::context::current();
    entity::ActiveModel {
        id: Set(id),
        topic: Set(topic.to_owned()),
        payload: Set(payload),
        trace: Set(context.get("traceparent").cloned().unwrap_or_default()),
        attempts: Set(0),
        due_at: Set(now_ms),
    }
}

/// Delivers the rows of one topic.
pub struct Relay {
    database: Database,
    topic: &'static str,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    /// Whether the last delivery was acknowledged; after a failure, rows that failed go one by one.
    healthy: AtomicBool,
    /// Whose turn it is, so that neither fresh rows nor failed ones hold up the others.
    fresh_first: AtomicBool,
}

impl Relay {
    /// A relay; `wake` spares the second of waiting after a commit.
    pub fn new(
        database: Database,
        topic: &'static str,
        clock: Arc<dyn Clock>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            database,
            topic,
            clock,
            wake,
            healthy: AtomicBool::new(true),
            fresh_first: AtomicBool::new(true),
        }
    }

    /// Delivers until `stop`. `deliver` takes up to 100 rows, oldest first, and acknowledges all or
    /// none; rows that failed are tried again with growing waits up to a minute, in turn with fresh
    /// ones, and one at a time until a delivery is acknowledged.
    pub async fn run<F, Delivery, E>(self, stop: CancellationToken, deliver: F)
    where
        F: Fn(Vec<Row>) -> Delivery,
        Delivery: Future<Output = Result<(), E>>,
        E: Display,
    {
        loop {
            let more = match self.step(&deliver).await {
                Ok(more) => more,
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(topic = self.topic, %error, source, "outbox is not readable");
                    false
                }
            };
            if stop.is_cancelled() {
                return;
            }
            if !more {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
        }
    }

    /// One delivery. `true`: something was acknowledged, and more may be due; `false`: nothing was
    /// due, or the other side did not take it, and a pause is in order.
    pub async fn step<F, Delivery, E>(&self, deliver: &F) -> Result<bool, StoreError>
    where
        F: Fn(Vec<Row>) -> Delivery,
        Delivery: Future<Output = Result<(), E>>,
        E: Display,
    {
        let rows = self.claim().await?;
        let Some(first) = rows.first() else {
            return Ok(false);
        };
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let attempts = first.attempts;
        let span = tracing::info_span!("outbox", topic = self.topic, rows = rows.len());
        if !first.trace.is_empty() {
            let parent = [("traceparent".to_owned(), first.trace.clone())].into();
            sallyport_chassis::telemetry::context::adopt_pairs(&span, &parent);
        }
        let batch = rows
            .into_iter()
            .map(|row| Row {
                id: row.id,
                payload: row.payload,
            })
            .collect();
        let outcome = deliver(batch).instrument(span).await;
        let mine = entity::Entity::delete_many().filter(entity::Column::Id.is_in(ids.clone()));
        let acknowledged = outcome.is_ok();
        self.healthy.store(acknowledged, Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                mine.exec(self.database.connection()).await?;
                metrics::counter!("outbox_delivered_total", "topic" => self.topic)
                    .increment(ids.len() as u64);
            }
            Err(error) => {
                metrics::counter!("outbox_failed_total", "topic" => self.topic).increment(1);
                tracing::warn!(topic = self.topic, attempts, %error, "delivery failed");
                let due_at = self.clock.now_ms() + wait(attempts).as_millis() as i64;
                entity::Entity::update_many()
                    .filter(entity::Column::Id.is_in(ids))
                    .col_expr(entity::Column::Attempts, Expr::value(attempts + 1))
                    .col_expr(entity::Column::DueAt, Expr::value(due_at))
                    .exec(self.database.connection())
                    .await?;
            }
        }
        Ok(acknowledged)
    }

    /// Takes due rows by moving their due time past the lease.
    async fn claim(&self) -> Result<Vec<entity::Model>, StoreError> {
        let now = self.clock.now_ms();
        let fresh_first = self.fresh_first.fetch_xor(true, Ordering::Relaxed);
        for fresh in [fresh_first, !fresh_first] {
            let attempts = match fresh {
                true => entity::Column::Attempts.eq(0),
                false => entity::Column::Attempts.gt(0),
            };
            let due = entity::Entity::find()
                .filter(entity::Column::Topic.eq(self.topic))
                .filter(entity::Column::DueAt.lte(now))
                .filter(attempts);
            // Most looks find nothing, and then no write lock is taken.
            if due
                .clone()
                .limit(1)
                .one(self.database.connection())
                .await?
                .is_none()
            {
                continue;
            }
            let alone = !fresh && !self.healthy.load(Ordering::Relaxed);
            let most = if alone { 1 } else { BATCH };
            let transaction = self.database.begin().await?;
            let mut query = due.order_by_asc(entity::Column::Id).limit(most);
            if self.database.backend() == DbBackend::Postgres {
                query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
            }
            let rows = query.all(&transaction).await?;
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            entity::Entity::update_many()
                .filter(entity::Column::Id.is_in(ids))
                .col_expr(
                    entity::Column::DueAt,
                    Expr::value(now + LEASE.as_millis() as i64),
                )
                .exec(&transaction)
                .await?;
            transaction.commit().await?;
            return Ok(rows);
        }
        Ok(Vec::new())
    }
}

fn wait(attempts: i32) -> Duration {
    let doubled = Duration::from_secs(1) * 2u32.saturating_pow(attempts.clamp(0, 6) as u32);
    doubled.min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
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
}
