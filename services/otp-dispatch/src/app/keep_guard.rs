//! What the guard keeps in the database, beside the requests: decisions and the days' counts of what
//! was verified go there, operators' overrides come from there, and so does the history of a store
//! that has lost its own. While the database is away the last overrides hold, and the rest waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sallyport_sql::{Database, DatabaseConfig};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{Otp, OtpError};
use crate::domain::guard::ledger::day;
use crate::domain::guard::overrides::Overrides;
use crate::domain::guard::{HISTORY_DAYS, Record};
use crate::domain::limits::DAY_MS;
use crate::ports::GuardStore;
use crate::store::guard as store;
use crate::store::{Migrator, SCHEMA};

/// How often overrides are read: so long may an operator's word need until it holds.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks what is old is deleted.
const FORGET_AT: u64 = 3_600;
/// How long after a failure the database is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How many decisions one statement stores, and days' counts one step seeds.
const BATCH: usize = 500;

/// The task's own state.
struct Keeper {
    otp: Arc<Otp>,
    database: Database,
    history: Arc<dyn GuardStore>,
    records: mpsc::Receiver<Record>,
    /// Taken from `records`, and not stored yet.
    batch: Vec<(Uuid, Record)>,
    looks: u64,
    /// Whether the last thing that it did worked; told once, not each second.
    healthy: bool,
}

impl Otp {
    /// Keeps it until stopped. Outages are waited out; the first connection is, too.
    pub async fn keep_guard(
        self: Arc<Self>,
        config: DatabaseConfig,
        history: Arc<dyn GuardStore>,
        records: mpsc::Receiver<Record>,
    ) -> Result<()> {
        let Some(database) = self.connect(&config).await else {
            return Ok(());
        };
        self.guard.database.send_replace(Some(database.clone()));
        let keeper = Keeper {
            otp: self,
            database,
            history,
            records,
            batch: Vec::new(),
            looks: 0,
            healthy: true,
        };
        keeper.run().await
    }

    /// `None` when it was stopped before.
    async fn connect(&self, config: &DatabaseConfig) -> Option<Database> {
        loop {
            let opened = async {
                let database = Database::connect(config, SCHEMA).await?;
                if config.migrate_at_start {
                    database.migrate::<Migrator>().await?;
                }
                anyhow::Ok(database)
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                opened = opened => match opened {
                    Ok(database) => return Some(database),
                    Err(error) => {
                        tracing::warn!("the guard's database cannot be used yet: {error:#}");
                    }
                },
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Reads the overrides.
    pub(super) async fn load_overrides(&self, database: &Database) -> Result<(), OtpError> {
        let list = store::overrides(database.connection()).await?;
        let list = list.into_iter().map(|found| (found.target, found.rule));
        self.guard.set_overrides(Overrides::new(list.collect()));
        Ok(())
    }
}

impl Keeper {
    async fn run(mut self) -> Result<()> {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fresh = Vec::new();
        loop {
            tokio::select! {
                () = self.otp.stop.cancelled() => break,
                _ = ticks.tick() => {
                    let looked = self.look().await;
                    self.tell(looked);
                }
                // A batch that could not be stored is tried again at the next look.
                _ = self.records.recv_many(&mut fresh, BATCH), if self.batch.is_empty() => {
                    self.take(&mut fresh);
                    let stored = self.store().await;
                    self.tell(stored);
                }
            }
        }
        self.finish(fresh).await;
        Ok(())
    }

    /// Stores what the last requests left. A database that is away at the stop loses it.
    async fn finish(mut self, mut fresh: Vec<Record>) {
        loop {
            let mut stored = self.store().await;
            if stored.is_ok() {
                stored = self.store_verified().await;
            }
            if let Err(error) = stored {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the guard's last decisions are not stored");
                break;
            }
            while fresh.len() < BATCH
                && let Ok(record) = self.records.try_recv()
            {
                fresh.push(record);
            }
            if fresh.is_empty() {
                break;
            }
            self.take(&mut fresh);
        }
        if let Err(error) = self.database.close().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the guard's database is not closed");
        }
    }

    async fn look(&mut self) -> Result<(), OtpError> {
        self.otp.load_overrides(&self.database).await?;
        self.store().await?;
        self.store_verified().await?;
        let today = day(self.otp.clock.now_ms());
        if !self.history.is_seeded().await? {
            self.seed(today).await?;
        }
        if self.looks.is_multiple_of(FORGET_AT) {
            let kept = i64::from(self.otp.settings.guard.keep_days) * DAY_MS;
            let before = self.otp.clock.now_ms() - kept;
            store::forget_decisions(self.database.connection(), before).await?;
            store::forget_totals(self.database.connection(), today - HISTORY_DAYS).await?;
        }
        self.looks += 1;
        Ok(())
    }

    /// Ids sort by the instant of the decision, and are given once, so that a batch whose storing was
    /// in doubt is stored once.
    fn take(&mut self, fresh: &mut Vec<Record>) {
        self.batch
            .extend(fresh.drain(..).map(|record| (id(record.at), record)));
    }

    async fn store(&mut self) -> Result<(), OtpError> {
        if !self.batch.is_empty() {
            store::put_decisions(self.database.connection(), &self.batch).await?;
            self.batch.clear();
        }
        Ok(())
    }

    async fn store_verified(&self) -> Result<(), OtpError> {
        let totals = self.otp.guard.take_verified();
        if totals.is_empty() {
            return Ok(());
        }
        let stored = store::add_totals(&self.database, &totals).await;
        if stored.is_err() {
            self.otp.guard.give_back(totals);
        }
        Ok(stored?)
    }

    /// Tells a store that lost everything, or is new, what was verified in the last days.
    async fn seed(&self, today: i64) -> Result<(), OtpError> {
        let now = self.otp.clock.now_ms();
        let oldest = today - HISTORY_DAYS;
        let totals = store::totals_from(self.database.connection(), oldest).await?;
        for batch in totals.chunks(BATCH) {
            self.history.seed(batch, false, now).await?;
        }
        self.history.seed(&[], true, now).await?;
        tracing::info!(totals = totals.len(), "the guard's history is seeded");
        Ok(())
    }

    fn tell(&mut self, outcome: Result<(), OtpError>) {
        match outcome {
            Ok(()) => self.healthy = true,
            Err(error) => {
                if self.healthy {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what the guard keeps cannot be kept; tried again");
                }
                self.healthy = false;
            }
        }
    }
}

/// A UUIDv7 of an instant in unix milliseconds.
fn id(at: i64) -> Uuid {
    let at = u64::try_from(at).unwrap_or(0);
    let nanoseconds = (at % 1_000) as u32 * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(
        uuid::NoContext,
        at / 1_000,
        nanoseconds,
    ))
}
