//! SQL for every service: connecting to SQLite or PostgreSQL, migrating, reading driver errors, and
//! the transactional outbox. Queries are written once, with sea-orm, in the services.

mod database;
mod error;
pub mod outbox;

pub use database::{Database, DatabaseConfig};
pub use error::{StoreError, is_unique_violation};
