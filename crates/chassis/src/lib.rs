//! What every Sallyport service stands on: configuration, telemetry, listeners and channels between
//! services, who calls, refusals as gRPC statuses, keys, repeated requests, time, and serving until
//! stopped.
//!
//! Nothing here knows a service by name.

pub mod caller;
pub mod channel;
pub mod clock;
pub mod config;
pub mod idempotency;
pub mod keyring;
pub mod listener;
pub mod process;
pub mod refusal;
pub mod seats;
pub mod secret;
pub mod serve;
pub mod supervise;
pub mod telemetry;

pub use caller::{Access, Caller, CallerTable, Peer};
pub use clock::{Clock, SystemClock};
pub use idempotency::IdempotencyKey;
pub use process::ProcessConfig;
pub use refusal::Refusal;
pub use secret::{Secret, SecretUrl};
