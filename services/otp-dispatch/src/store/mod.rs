//! What otp-api keeps in SQL, in the schema `dispatch`: what the guard decided, what operators decide
//! instead, and how much was verified in the last days. Nothing that creates, verifies or sends a code waits for it.

mod entity;
pub mod guard;
mod migrations;

pub use migrations::Migrator;

/// The schema (PostgreSQL) or file (SQLite) of this service.
pub const SCHEMA: &str = "dispatch";
