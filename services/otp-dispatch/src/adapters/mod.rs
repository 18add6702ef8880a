//! One file for each technology behind a port.

pub mod store_memory;
pub mod store_redis;
