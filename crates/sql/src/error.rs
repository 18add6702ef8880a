//! Driver errors in the two kinds that callers can act on.

use sea_orm::{DbErr, SqlErr};

/// A store's trouble. `Display` never includes the source: it may hold SQL text or data.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is away or too busy; the same request may succeed later.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store holds cannot be what we wrote.
    #[error("the store holds something unexpected: {0}")]
    Corrupt(&'static str),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// Whether an insert failed because another row already holds the unique value.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
