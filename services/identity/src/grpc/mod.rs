//! One file per proto service: decode, one call, encode.

pub mod callers;
pub mod status;
