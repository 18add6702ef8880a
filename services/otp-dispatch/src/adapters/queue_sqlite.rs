//! The queue in a SQLite file of its own, for one process: leases instead of a broker's channels,
//! and a wake-up in memory.
//!
//! A lease ends a dead holder's claim; a live holder that drops a delivery gives it back at once,
//! without waiting for the database: what is to be given back is remembered in memory, and written
//! before the next message is taken. So an order is kept, and `Drop` needs no runtime.

mod schema;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sallyport_chassis::{Clock, SecretUrl};
use sallyport_sql::{Database, DatabaseConfig, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, Condition, QueryOrder, QuerySelect};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use self::schema::{Migrator, dead, message};
use crate::domain::message::{Class, QueueMessage};
use crate::ports::{Consumer, Delivery, Queue, QueueError, Wait};

/// Deliveries after which a message is taken for poison.
const DELIVERY_LIMIT: i32 = 50;
/// Notices get at most this part of the prefetch, so that a flood of them leaves room for codes.
const NOTICE_PART: u16 = 5;
/// How often a consumer looks without being woken: waits end and leases run out unannounced.
const LOOK: Duration = Duration::from_millis(250);

/// Why a settled delivery was not.
#[derive(Debug, thiserror::Error)]
#[error("the lease ran out: the queue delivers the message again")]
struct LeaseLost;

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError::Unavailable(Box::new(error))
}

/// The queue in `FOLDER/queue.db`.
pub struct SqliteQueue {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    wake: Notify,
    /// Rows, each with the delivery that holds it, to be given back before the next is taken.
    returned: Mutex<Vec<Held>>,
}

/// One delivery of a row: a later one has a higher number, and then this one's holder lost it.
#[derive(Debug, Clone, Copy)]
struct Held {
    row: i64,
    delivery: i32,
}

impl SqliteQueue {
    /// Opens the queue of `sqlite://FOLDER`, making folder and file if they are missing.
    ///
    /// # Errors
    /// A folder or file that cannot be used.
    pub async fn open(url: &SecretUrl, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let config = DatabaseConfig {
            url: url.clone(),
            max_connections: 4,
            migrate_at_start: true,
        };
        let database = Database::connect(&config, "queue").await?;
        database.migrate::<Migrator>().await?;
        let (wake, returned) = (Notify::new(), Mutex::default());
        Ok(Self {
            shared: Arc::new(Shared {
                database,
                clock,
                wake,
                returned,
            }),
        })
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn publish(&self, message: &QueueMessage) -> Result<(), QueueError> {
        let shared = &self.shared;
        let row = Shared::row(message, shared.clock.now_ms())?;
        message::Entity::insert(row)
            .exec(shared.database.connection())
            .await
            .map_err(unavailable)?;
        shared.wake.notify_waiters();
        Ok(())
    }

    async fn consume(
        &self,
        prefetch: u16,
        hold: Duration,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(SqliteConsumer {
            hold,
            shared: Arc::clone(&self.shared),
            open: Arc::new(Semaphore::new(usize::from(Ord::max(prefetch, 1)))),
            notices: Arc::new(Semaphore::new(usize::from(Ord::max(
                prefetch / NOTICE_PART,
                1,
            )))),
            taking: None,
        }))
    }

    async fn depth(&self, class: Class) -> Result<u64, QueueError> {
        self.shared.give_back().await?;
        message::Entity::find()
            .filter(message::Column::Class.eq(rank(class)))
            .filter(free(self.shared.clock.now_ms()))
            .count(self.shared.database.connection())
            .await
            .map_err(unavailable)
    }
}

/// The order in which classes are served.
fn rank(class: Class) -> i32 {
    match class {
        Class::Code => 0,
        Class::Notice => 1,
    }
}

/// Due, and held by nobody.
fn free(now: i64) -> Condition {
    Condition::all()
        .add(message::Column::DueAt.lte(now))
        .add(message::Column::LeasedUntilAt.lte(now))
}

/// This delivery of this row, unless its lease ran out and another has it.
fn held(held: Held) -> Condition {
    Condition::all()
        .add(message::Column::Id.eq(held.row))
        .add(message::Column::Deliveries.eq(held.delivery))
}

impl Shared {
    fn returned(&self) -> MutexGuard<'_, Vec<Held>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn row(message: &QueueMessage, due_at: i64) -> Result<message::ActiveModel, QueueError> {
        Ok(message::ActiveModel {
            class: Set(rank(message.class)),
            body: Set(serde_json::to_string(message).map_err(unavailable)?),
            due_at: Set(due_at),
            leased_until_at: Set(0),
            deliveries: Set(0),
            ..Default::default()
        })
    }

    /// Writes down what was given back since. All of it, or none and it is kept for the next time.
    async fn give_back(&self) -> Result<(), QueueError> {
        let returned = std::mem::take(&mut *self.returned());
        if returned.is_empty() {
            return Ok(());
        }
        let rows = returned
            .iter()
            .fold(Condition::any(), |any, each| any.add(held(*each)));
        let written = message::Entity::update_many()
            .filter(rows)
            .col_expr(message::Column::LeasedUntilAt, Expr::value(0))
            .exec(self.database.connection())
            .await;
        if let Err(error) = written {
            self.returned().extend(returned);
            return Err(unavailable(error));
        }
        Ok(())
    }

    /// Leases the next row, if one is free.
    async fn take(
        &self,
        classes: &[Class],
        hold: Duration,
    ) -> Result<Option<message::Model>, QueueError> {
        self.give_back().await?;
        loop {
            let now = self.clock.now_ms();
            let ranks = classes.iter().map(|class| rank(*class));
            let next = message::Entity::find()
                .filter(free(now))
                .filter(message::Column::Class.is_in(ranks))
                .order_by_asc(message::Column::Class)
                .order_by_asc(message::Column::DueAt)
                .order_by_asc(message::Column::Id)
                .limit(1)
                .one(self.database.connection())
                .await
                .map_err(unavailable)?;
            let Some(mut row) = next else {
                return Ok(None);
            };
            let lease = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
            let leased = message::Entity::update_many()
                .filter(held(Held {
                    row: row.id,
                    delivery: row.deliveries,
                }))
                .filter(free(now))
                .col_expr(
                    message::Column::LeasedUntilAt,
                    Expr::value(now.saturating_add(lease)),
                )
                .col_expr(
                    message::Column::Deliveries,
                    Expr::col(message::Column::Deliveries).add(1),
                )
                .exec(self.database.connection())
                .await
                .map_err(unavailable)?;
            if leased.rows_affected == 1 {
                row.deliveries += 1;
                return Ok(Some(row));
            }
            // Another consumer was faster: look again.
        }
    }

    /// The next message that can be handed out; what cannot is buried on the way.
    async fn take_readable(
        self: Arc<Self>,
        mut slot: Slot,
    ) -> Result<Option<SqliteDelivery>, QueueError> {
        // Kept apart until a notice is handed out: a look that found nothing must wake nobody, or
        // the consumer would wake itself and never rest.
        let notice = slot.notice.take();
        let classes: &[Class] = match notice {
            Some(_) => &Class::ALL,
            None => &[Class::Code],
        };
        while let Some(row) = self.take(classes, slot.hold).await? {
            let held = Held {
                row: row.id,
                delivery: row.deliveries,
            };
            let reason = match serde_json::from_str::<QueueMessage>(&row.body) {
                Ok(message) if row.deliveries <= DELIVERY_LIMIT => {
                    if message.class == Class::Notice {
                        slot.notice = notice;
                    }
                    let hold = Hold {
                        shared: Arc::clone(&self),
                        held: Some(held),
                    };
                    return Ok(Some(SqliteDelivery {
                        message,
                        hold,
                        _slot: slot,
                    }));
                }
                Ok(_) => "delivery_limit",
                Err(_) => "unreadable",
            };
            self.bury(held, row, reason).await?;
        }
        Ok(None)
    }

    /// Moves a row to the dead ones.
    async fn bury(&self, each: Held, row: message::Model, reason: &str) -> Result<(), QueueError> {
        let transaction = self.database.begin().await?;
        let removed = message::Entity::delete_many()
            .filter(held(each))
            .exec(&transaction)
            .await
            .map_err(unavailable)?;
        if removed.rows_affected == 0 {
            return Err(unavailable(LeaseLost));
        }
        let grave = dead::ActiveModel {
            id: Set(row.id),
            body: Set(row.body),
            reason: Set(reason.to_owned()),
            buried_at: Set(self.clock.now_ms()),
        };
        dead::Entity::insert(grave)
            .exec_without_returning(&transaction)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        metrics::counter!("dispatch_buried_total", "reason" => reason.to_owned()).increment(1);
        Ok(())
    }
}

struct SqliteConsumer {
    shared: Arc<Shared>,
    hold: Duration,
    /// Deliveries that may be open, and how many of them may be notices.
    open: Arc<Semaphore>,
    notices: Arc<Semaphore>,
    /// A take under way: whoever stops waiting for it finds it here the next time, and no lease is
    /// forgotten.
    taking: Option<JoinHandle<Result<Option<SqliteDelivery>, QueueError>>>,
}

/// The room that an open delivery takes.
struct Slot {
    shared: Arc<Shared>,
    hold: Duration,
    notice: Option<OwnedSemaphorePermit>,
    _open: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A consumer that had no room for notices looks again.
        if self.notice.take().is_some() {
            self.shared.wake.notify_waiters();
        }
    }
}

#[async_trait]
impl Consumer for SqliteConsumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError> {
        loop {
            // Before looking: a message that comes while we look wakes the wait after it.
            let shared = Arc::clone(&self.shared);
            let mut woken = std::pin::pin!(shared.wake.notified());
            woken.as_mut().enable();
            let taking = match &mut self.taking {
                Some(taking) => taking,
                None => {
                    let open = Arc::clone(&self.open).acquire_owned().await;
                    let slot = Slot {
                        shared: Arc::clone(&self.shared),
                        hold: self.hold,
                        notice: Arc::clone(&self.notices).try_acquire_owned().ok(),
                        _open: open.map_err(unavailable)?,
                    };
                    let take = Arc::clone(&self.shared).take_readable(slot);
                    self.taking.insert(tokio::spawn(take))
                }
            };
            let taken = taking.await;
            self.taking = None;
            match taken.map_err(unavailable)? {
                Ok(Some(delivery)) => return Ok(Box::new(delivery)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue cannot be read"
                    );
                }
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// A lease. Dropped unused it is given back.
struct Hold {
    shared: Arc<Shared>,
    held: Option<Held>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.shared.returned().push(held);
            self.shared.wake.notify_waiters();
        }
    }
}

struct SqliteDelivery {
    message: QueueMessage,
    hold: Hold,
    _slot: Slot,
}

impl SqliteDelivery {
    /// The lease, which is given back if what follows fails.
    fn held(&self) -> Result<Held, QueueError> {
        self.hold.held.ok_or_else(|| unavailable(LeaseLost))
    }

    fn settled(&mut self, rows: u64) -> Result<(), QueueError> {
        self.hold.held = None;
        if rows == 1 {
            Ok(())
        } else {
            Err(unavailable(LeaseLost))
        }
    }
}

#[async_trait]
impl Delivery for SqliteDelivery {
    fn message(&self) -> &QueueMessage {
        &self.message
    }

    fn redelivered(&self) -> bool {
        self.hold.held.is_some_and(|held| held.delivery > 1)
    }

    async fn acknowledge(mut self: Box<Self>) -> Result<(), QueueError> {
        let removed = message::Entity::delete_many()
            .filter(held(self.held()?))
            .exec(self.hold.shared.database.connection())
            .await
            .map_err(unavailable)?;
        self.settled(removed.rows_affected)
    }

    async fn again(
        mut self: Box<Self>,
        after: Wait,
        message: QueueMessage,
    ) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.hold.shared);
        let due_at = shared.clock.now_ms().saturating_add(milliseconds(after));
        let row = Shared::row(&message, due_at)?;
        // One transaction: the copy and the original are never both there or both gone.
        let transaction = shared.database.begin().await?;
        let removed = message::Entity::delete_many()
            .filter(held(self.held()?))
            .exec(&transaction)
            .await
            .map_err(unavailable)?;
        if removed.rows_affected == 1 {
            message::Entity::insert(row)
                .exec(&transaction)
                .await
                .map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
        }
        self.settled(removed.rows_affected)
    }

    async fn bury(mut self: Box<Self>, reason: &str) -> Result<(), QueueError> {
        let each = self.held()?;
        let row = message::Model {
            id: each.row,
            class: rank(self.message.class),
            body: serde_json::to_string(&self.message).map_err(unavailable)?,
            due_at: 0,
            leased_until_at: 0,
            deliveries: each.delivery,
        };
        self.hold.shared.bury(each, row, reason).await?;
        self.settled(1)
    }
}

fn milliseconds(wait: Wait) -> i64 {
    match wait {
        Wait::Second => 1_000,
        Wait::Three => 3_000,
        Wait::Ten => 10_000,
    }
}
