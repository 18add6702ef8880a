//! What went wrong with a request: a refusal, which has a sentence, or our trouble, which has the
//! request id.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sallyport_chassis::Refusal;
use tonic::{Code, Status};

use crate::words::Words;

/// A request that was not done.
#[derive(Debug, Clone)]
pub(crate) enum Problem {
    /// A service (or the gateway itself) refused, and nothing changed.
    Refused(Box<Refusal>),
    /// Trouble of ours: `UNAVAILABLE` or anything that is no refusal.
    Failed(Code),
}

impl Problem {
    /// A refusal of the gateway's own.
    pub(crate) fn refused(code: Code, reason: &str) -> Self {
        Refusal::new(code, reason).into()
    }

    /// A session that awaits its second factor asked for more than that step (rule 14). As the
    /// services refuse it, so that the API has one answer.
    pub(crate) fn second_factor_required() -> Self {
        Self::refused(Code::FailedPrecondition, "second_factor_required")
    }

    /// A page or row that is not there.
    pub(crate) fn not_found() -> Self {
        Self::refused(Code::NotFound, "page.not_found")
    }

    /// The refusal, or the problem itself where it is our trouble.
    pub(crate) fn refusal(self) -> Result<Refusal, Self> {
        match self {
            Self::Refused(refusal) => Ok(*refusal),
            failed @ Self::Failed(_) => Err(failed),
        }
    }

    /// The reason of a refusal; empty for trouble of ours.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.reason,
            Self::Failed(_) => "",
        }
    }

    /// The HTTP status, by the table in docs/architecture.md.
    pub(crate) fn status(&self) -> StatusCode {
        let code = match self {
            Self::Refused(refusal) => refusal.code,
            Self::Failed(code) => *code,
        };
        match code {
            Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable | Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whole seconds until a repeated request may succeed, rounded up.
    pub(crate) fn retry_seconds(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) => retry_seconds(refusal),
            Self::Failed(_) => None,
        }
    }

    /// Writes `Retry-After` where there is something to say.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// Whole seconds until a repeated request may succeed, rounded up.
pub(crate) fn retry_seconds(refusal: &Refusal) -> Option<u64> {
    refusal
        .retry_after
        .map(|delay| delay.as_millis().div_ceil(1000) as u64)
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        match Refusal::from_status(&status) {
            Some(refusal) => refusal.into(),
            None => {
                tracing::warn!(code = ?status.code(), message = status.message(), "a call failed");
                // A bare refusal of the transport must not look like an answer about the reader.
                Self::Failed(match status.code() {
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                        Code::Unavailable
                    }
                    _ => Code::Internal,
                })
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Carries the problem to the layer that knows whether to write a page; see `pages::errors`.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        self.write(response.headers_mut());
        response.extensions_mut().insert(self);
        response
    }
}

/// A last resort without templates.
pub(crate) fn plain(status: StatusCode, words: Words, request_id: &str) -> Response {
    let text = format!(
        "{}\n{}\n",
        words.something_wrong(),
        words.request_id_is(request_id)
    );
    (status, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statuses_follow_the_table() {
        let status = |code| Problem::refused(code, "x").status().as_u16();
        for (code, http) in [
            (Code::InvalidArgument, 422),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::NotFound, 404),
            (Code::AlreadyExists, 409),
            (Code::Aborted, 409),
            (Code::FailedPrecondition, 409),
            (Code::ResourceExhausted, 429),
            (Code::Unavailable, 503),
            (Code::Internal, 500),
        ] {
            assert_eq!(status(code), http, "{code:?}");
        }
    }

    #[test]
    fn a_bare_status_is_trouble_of_ours_whatever_it_says() {
        let problem = Problem::from(Status::unauthenticated("certificate"));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem.reason(), "");
        let problem = Problem::from(Status::unavailable("away"));
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let refusal = Refusal::new(Code::ResourceExhausted, "sms.limit")
            .retry_after(Duration::from_millis(1_001));
        let response = Problem::from(refusal).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
