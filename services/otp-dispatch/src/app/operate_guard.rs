//! What operators see of the guard, and what they decide instead.

use std::time::Duration;

use sallyport_sql::{Database, StoreError};
use uuid::Uuid;

use super::{Otp, OtpError};
use crate::domain::guard::Record;
use crate::domain::guard::overrides::{Rule, Target};
use crate::store::guard as store;

pub use crate::store::guard::{Override, Wanted};

/// How long an operator waits for a database that is not connected yet.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest note, in characters.
const LONGEST_NOTE: usize = 200;

/// So much of an operator's name is kept, in characters.
const LONGEST_NAME: usize = 100;

/// The database is not connected.
#[derive(Debug, thiserror::Error)]
#[error("not connected yet")]
struct NotConnected;

impl Otp {
    /// Decisions, newest first.
    #[tracing::instrument(skip_all)]
    pub async fn list_decisions(&self, wanted: &Wanted) -> Result<Vec<(Uuid, Record)>, OtpError> {
        let database = self.guard_database().await?;
        Ok(store::decisions(database.connection(), wanted).await?)
    }

    /// Every override.
    #[tracing::instrument(skip_all)]
    pub async fn list_overrides(&self) -> Result<Vec<Override>, OtpError> {
        let database = self.guard_database().await?;
        Ok(store::overrides(database.connection()).await?)
    }

    /// Sets an override. It holds in this process at once, and in others within a second.
    #[tracing::instrument(skip_all)]
    pub async fn set_override(
        &self,
        target: &str,
        rule: Rule,
        note: &str,
        operator: &str,
    ) -> Result<Override, OtpError> {
        let new = Override {
            target: read_target(target)?,
            rule,
            note: read_note(note)?.to_owned(),
            set_by: operator.chars().take(LONGEST_NAME).collect(),
            set_at: self.clock.now_ms(),
        };
        let database = self.guard_database().await?;
        store::put_override(database.connection(), &new).await?;
        tracing::info!(place = %new.target, rule = rule.name(), operator, "override set");
        self.load_overrides(&database).await?;
        Ok(new)
    }

    /// Removes an override.
    #[tracing::instrument(skip_all)]
    pub async fn remove_override(&self, target: &str, operator: &str) -> Result<(), OtpError> {
        let target = read_target(target)?;
        let database = self.guard_database().await?;
        if !store::remove_override(database.connection(), &target).await? {
            return Err(OtpError::NoOverride);
        }
        tracing::info!(place = %target, operator, "override removed");
        self.load_overrides(&database).await
    }

    async fn guard_database(&self) -> Result<Database, OtpError> {
        let mut connected = self.guard.database.subscribe();
        let found = tokio::time::timeout(PATIENCE, connected.wait_for(Option::is_some)).await;
        match found {
            Ok(Ok(database)) => database.clone(),
            _ => None,
        }
        .ok_or_else(|| StoreError::Unavailable(Box::new(NotConnected)).into())
    }
}

fn read_target(target: &str) -> Result<Target, OtpError> {
    target.parse().map_err(|_| OtpError::Field {
        field: "target",
        reason: "guard.target",
    })
}

/// The note without blanks around it. It stands in a line of a table, and PostgreSQL stores no NUL.
pub(crate) fn read_note(note: &str) -> Result<&str, OtpError> {
    let note = note.trim();
    let reason = if note.chars().count() > LONGEST_NOTE {
        "field.too_long"
    } else if note.contains(char::is_control) {
        "field.malformed"
    } else {
        return Ok(note);
    };
    Err(OtpError::Field {
        field: "note",
        reason,
    })
}
