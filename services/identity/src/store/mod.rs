//! Tables, queries and migrations.

pub mod migrations;
pub mod sessions;
pub mod users;

pub use migrations::Migrator;
