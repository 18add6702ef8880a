//! The rules: no I/O, no clock, no async.

pub mod challenge;
pub mod code;
pub mod guard;
pub mod limits;
pub mod message;
pub mod retention;
pub mod template;
