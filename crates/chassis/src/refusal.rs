//! Refusals and failures as gRPC statuses, and back.
//!
//! A *refusal* is an answer: it names a stable reason, the field it is about, and when to try again,
//! in `google.rpc.ErrorInfo`, `BadRequest` and `RetryInfo`. A *failure* is our trouble: its chain is
//! logged once and the caller sees a bare `UNAVAILABLE` or `INTERNAL`.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of every reason, as `google.rpc.ErrorInfo` wants one.
pub const DOMAIN: &str = "sallyport";

/// A refused request. A refused request changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code, by the table in docs/architecture.md.
    pub code: Code,
    /// Stable reason, e.g. `phone.country_required`.
    pub reason: String,
    /// Fields and the reason of each, where the refusal is about fields.
    pub fields: Vec<(String, String)>,
    /// Values that the reader's sentence needs, e.g. `seconds_left`.
    pub metadata: Vec<(String, String)>,
    /// When a repeated request may succeed.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a code and a stable reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            fields: Vec::new(),
            metadata: Vec::new(),
            retry_after: None,
        }
    }

    /// A malformed or wrong field (`INVALID_ARGUMENT`).
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(Code::InvalidArgument, reason.clone()).and_field(field, reason)
    }

    /// Adds a field and its reason.
    pub fn and_field(mut self, field: impl Into<String>, reason: impl Into<String>) -> Self {
        self.fields.push((field.into(), reason.into()));
        self
    }

    /// Adds a value for the reader's sentence. Never a code, token or full number.
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.metadata.push((key.into(), value.to_string()));
        self
    }

    /// Adds several such values.
    pub fn with_all<K: Into<String>>(
        self,
        values: impl IntoIterator<Item = (K, impl ToString)>,
    ) -> Self {
        values
            .into_iter()
            .fold(self, |refusal, (key, value)| refusal.with(key, value))
    }

    /// Says when to try again.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// Reads a refusal out of a status that another service sent; `None` for a failure.
    pub fn from_status(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info()?;
        if info.domain != DOMAIN {
            return None;
        }
        let mut metadata: Vec<_> = info
            .metadata
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        metadata.sort();
        Some(Self {
            code: status.code(),
            reason: info.reason.clone(),
            fields: details
                .bad_request()
                .map(|b| {
                    b.field_violations
                        .iter()
                        .map(|v| (v.field.clone(), v.description.clone()))
                        .collect()
                })
                .unwrap_or_default(),
            metadata,
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
        })
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> = refusal.metadata.into_iter().collect();
        details.set_error_info(refusal.reason.clone(), DOMAIN, metadata);
        if !refusal.fields.is_empty() {
            let violations: Vec<FieldViolation> = refusal
                .fields
                .into_iter()
                .map(|(field, reason)| FieldViolation::new(field, reason))
                .collect();
            details.set_bad_request(violations);
        }
        if refusal.retry_after.is_some() {
            details.set_retry_info(refusal.retry_after);
        }
        Status::with_error_details(refusal.code, refusal.reason, details)
    }
}

/// Turns our trouble into a bare status: the chain is logged here, once, and stays here.
pub fn failed(code: Code, error: &(dyn std::error::Error + 'static)) -> Status {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(error = %chain, "request failed");
    Status::new(
        code,
        if code == Code::Unavailable {
            "unavailable"
        } else {
            "internal"
        },
    )
}

/// Whether a call's outcome is in doubt: the other side may have acted, no answer came.
pub fn is_doubt(status: &Status) -> bool {
    Refusal::from_status(status).is_none()
        && matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_survives_the_wire() {
        let refusal = Refusal::field("mobile_number", "phone.country_required")
            .with("country", "FR")
            .retry_after(Duration::from_secs(7));
        let status: Status = refusal.clone().into();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Refusal::from_status(&status), Some(refusal));
    }

    #[test]
    fn failure_hides_its_cause_and_is_no_refusal() {
        let status = failed(
            Code::Unavailable,
            &std::io::Error::other("host db-7 said no"),
        );
        assert_eq!(status.message(), "unavailable");
        assert_eq!(Refusal::from_status(&status), None);
        assert!(is_doubt(&status));
    }
}
