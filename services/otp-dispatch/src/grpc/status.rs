//! The error table: every refusal and failure of otp-api as a gRPC status.

use std::time::Duration;

use sallyport_chassis::Refusal;
use sallyport_chassis::refusal::failed;
use tonic::{Code, Status};

use crate::app::OtpError;
use crate::ports::{QueueError, StoreError};

impl From<OtpError> for Status {
    fn from(error: OtpError) -> Self {
        match error {
            OtpError::Field { field, reason } => Refusal::field(field, reason).into(),
            OtpError::Number(error) => Refusal::field(error.field(), error.reason())
                .with_all(error.details())
                .into(),
            OtpError::IdempotencyConflict => {
                Refusal::new(Code::AlreadyExists, "idempotency.conflict").into()
            }
            OtpError::CodeFormat => Refusal::field("code", "code.format").into(),
            OtpError::Full {
                quota, retry_after, ..
            } => slow_down(if quota { "sms.quota" } else { "sms.limit" }, retry_after),
            // Not told apart from a cap: whoever pumps need not know what stops him.
            OtpError::Guarded { retry_after } => slow_down("sms.limit", retry_after),
            OtpError::ResendTooEarly { retry_after } => {
                slow_down("code.resend_too_early", retry_after)
            }
            OtpError::NoSendsLeft => {
                Refusal::new(Code::FailedPrecondition, "code.no_sends_left").into()
            }
            OtpError::Ended => Refusal::new(Code::FailedPrecondition, "code.ended").into(),
            OtpError::NotFound => Refusal::new(Code::NotFound, "code.none").into(),
            OtpError::NoOverride => Refusal::new(Code::NotFound, "guard.no_override").into(),
            OtpError::TooManyWatchers => slow_down("watch.busy", Duration::from_secs(5)),
            OtpError::Store(error @ StoreError::Unavailable(_)) => {
                failed(Code::Unavailable, &error)
            }
            OtpError::Store(error @ StoreError::Corrupt(_)) => failed(Code::Internal, &error),
            OtpError::Database(error @ sallyport_sql::StoreError::Unavailable(_)) => {
                failed(Code::Unavailable, &error)
            }
            OtpError::Database(error @ sallyport_sql::StoreError::Corrupt(_)) => {
                failed(Code::Internal, &error)
            }
            OtpError::Queue(error @ QueueError::Unavailable(_)) => {
                failed(Code::Unavailable, &error)
            }
        }
    }
}

fn slow_down(reason: &str, retry_after: Duration) -> Status {
    Refusal::new(Code::ResourceExhausted, reason)
        .retry_after(retry_after)
        .into()
}
