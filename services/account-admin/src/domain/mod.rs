//! The rules of organisations, users, seats and the event log: no I/O, no clock, no async.

pub mod chain;
pub mod digest;
pub mod event_kind;
pub mod page;
pub mod permission;
pub mod profile;
pub mod providers;
pub mod refused;
