//! otp-dispatch: one-time codes by SMS. Two processes share this crate: `otp-api` decides
//! challenges, and `sms-dispatcher` hands messages to carriers. This file puts them together.

pub mod adapters;
pub mod app;
pub mod config;
pub mod dispatcher;
pub mod domain;
pub mod grpc;
pub mod ports;

pub use config::Config;
