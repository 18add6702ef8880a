//! The transactional outbox: what a service owes to others, written in the transaction that made it
//! owed, delivered until acknowledged.
//!
//! Relays select rows that are due, never rows "after the last one": a transaction that commits late
//! is not passed over. Deliveries may repeat; receivers deduplicate by the row's id.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
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

/// How many fresh rows one delivery may hold.
const BATCH: u64 = 100;
/// How many rows that have failed are delivered at the same time, each alone.
const ALONE: u64 = 8;
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
            fresh_first: AtomicBool::new(true),
        }
    }

    /// Delivers until `stop`. `deliver` takes up to 100 fresh rows, oldest first, and acknowledges all
    /// or none. Rows that failed are tried again with growing waits up to a minute, in turn with fresh
    /// ones, and each alone: one that is never taken holds up none of those it once came with.
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

    /// One round: a batch of fresh rows, or some that have failed. `true`: something was acknowledged,
    /// and more may be due; `false`: nothing was due, or the other side did not take it, and a pause
    /// is in order.
    pub async fn step<F, Delivery, E>(&self, deliver: &F) -> Result<bool, StoreError>
    where
        F: Fn(Vec<Row>) -> Delivery,
        Delivery: Future<Output = Result<(), E>>,
        E: Display,
    {
        let mut deliveries = Vec::new();
        for rows in self.claim().await? {
            deliveries.push(self.attempt(rows, deliver));
        }
        let (taken, failed): (Vec<_>, Vec<_>) = join_all(deliveries)
            .await
            .into_iter()
            .partition(|attempt| attempt.error.is_none());
        let taken: Vec<Uuid> = taken.into_iter().flat_map(|attempt| attempt.ids).collect();
        let acknowledged = !taken.is_empty();
        if acknowledged {
            let count = taken.len() as u64;
            entity::Entity::delete_many()
                .filter(entity::Column::Id.is_in(taken))
                .exec(self.database.connection())
                .await?;
            metrics::counter!("outbox_delivered_total", "topic" => self.topic).increment(count);
        }
        let mut told = HashSet::new();
        for Attempt { ids, before, error } in failed {
            let due_at = self.clock.now_ms() + wait(before).as_millis() as i64;
            entity::Entity::update_many()
                .filter(entity::Column::Id.is_in(ids))
                .col_expr(entity::Column::Attempts, Expr::value(before + 1))
                .col_expr(entity::Column::DueAt, Expr::value(due_at))
                .exec(self.database.connection())
                .await?;
            metrics::counter!("outbox_failed_total", "topic" => self.topic).increment(1);
            // Where the other side is away, all of a round say so.
            let error = error.unwrap_or_default();
            if !told.contains(&error) {
                tracing::warn!(topic = self.topic, attempts = before, %error, "delivery failed");
                told.insert(error);
            }
        }
        Ok(acknowledged)
    }

    /// Delivers rows together.
    async fn attempt<F, Delivery, E>(&self, rows: Vec<entity::Model>, deliver: &F) -> Attempt
    where
        F: Fn(Vec<Row>) -> Delivery,
        Delivery: Future<Output = Result<(), E>>,
        E: Display,
    {
        let before = rows.first().map_or(0, |row| row.attempts);
        let span = tracing::info_span!("outbox", topic = self.topic, rows = rows.len());
        if let Some(first) = rows.first().filter(|row| !row.trace.is_empty()) {
            let parent = [("traceparent".to_owned(), first.trace.clone())].into();
            sallyport_chassis::telemetry::context::adopt_pairs(&span, &parent);
        }
        let ids = rows.iter().map(|row| row.id).collect();
        let batch = rows
            .into_iter()
            .map(|row| Row {
                id: row.id,
                payload: row.payload,
            })
            .collect();
        let outcome = deliver(batch).instrument(span).await;
        Attempt {
            ids,
            before,
            error: outcome.err().map(|error| error.to_string()),
        }
    }

    /// Takes due rows by moving their due time past the lease. What comes together is delivered
    /// together.
    async fn claim(&self) -> Result<Vec<Vec<entity::Model>>, StoreError> {
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
            let transaction = self.database.begin().await?;
            let mut query = match fresh {
                true => due.order_by_asc(entity::Column::Id).limit(BATCH),
                // Whichever waited longest, so that those that always fail keep no other waiting.
                false => due.order_by_asc(entity::Column::DueAt).limit(ALONE),
            };
            if self.database.backend() == DbBackend::Postgres {
                query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
            }
            let rows = query.all(&transaction).await?;
            if rows.is_empty() {
                // Another relay was quicker.
                return Ok(Vec::new());
            }
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
            return Ok(match fresh {
                true => vec![rows],
                false => rows.into_iter().map(|row| vec![row]).collect(),
            });
        }
        Ok(Vec::new())
    }
}

/// What became of rows that were delivered together.
struct Attempt {
    ids: Vec<Uuid>,
    /// How often they had failed before.
    before: i32,
    /// Why they were not acknowledged.
    error: Option<String>,
}

fn wait(attempts: i32) -> Duration {
    let doubled = Duration::from_secs(1) * 2u32.saturating_pow(attempts.clamp(0, 6) as u32);
    doubled.min(LONGEST_WAIT)
}
