//! SQL for every service: connecting to SQLite or PostgreSQL, migrating, reading driver errors, and
//! the transactional outbox. Queries are written once, with sea-orm, in the services.

mod database;
mod error;
pub mod outbox;

pub use database::{Database, DatabaseConfig, commit, roll_back};
pub use error::{StoreError, is_unique_violation};
// What use cases hand from one store function to the next. They build no query with it.
pub use sea_orm::{ConnectionTrait as Connection, DatabaseTransaction as Transaction};
