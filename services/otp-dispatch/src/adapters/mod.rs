//! One file for each technology behind a port.

pub mod queue_rabbitmq;
pub mod queue_sqlite;
pub mod route_inbox;
pub mod route_smpp;
pub mod store_memory;
pub mod store_redis;
