//! What account-admin keeps, in the schema `admin`.
//!
//! Every transaction that writes begins with [`Head::lock`]: it updates the organisation's row, so
//! that whatever spans rows (seats, administrators, the event chain) is decided by one transaction
//! at a time, and locks are always taken in the same order.

pub mod domains;
pub mod entity;
pub mod events;
pub mod head;
pub mod lifecycle;
pub mod listing;
mod migrations;
pub mod organisations;
pub mod people;
pub mod role_groups;
pub mod seats;

pub use head::{Entry, Head};
pub use migrations::Migrator;
pub use sallyport_sql::{Transaction, commit};

/// What became of a row with a unique value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// It is stored.
    Done,
    /// Another row holds the value. The transaction can only be given up.
    Taken,
}
