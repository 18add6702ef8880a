//! Errors of the API.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::openapi::{self, Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::problem::Problem;
use crate::refusals;
use crate::visitor::Visitor;
use crate::words::Words;

/// Every error has this form.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable reason, e.g. `phone.country_required`; `unavailable` or `internal` for our trouble.
    pub reason: String,
    /// The fields it is about.
    pub fields: Vec<FieldError>,
    /// Seconds until a repeated request may succeed.
    pub retry_after: Option<u64>,
    /// Values of the sentence, e.g. `tries_left`.
    pub metadata: BTreeMap<String, String>,
    /// For questions to the operator.
    pub request_id: String,
    /// A sentence in the language of `Accept-Language` (English or French).
    pub message: String,
}

/// A field and its reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Name of the field.
    pub field: String,
    /// Stable reason.
    pub reason: String,
}

/// The errors that any operation may give, for the document.
pub(crate) struct Errors;

const STATUSES: [(&str, &str); 8] = [
    ("401", "No session, or it has ended"),
    ("403", "Not permitted"),
    ("404", "What was named is not there"),
    (
        "409",
        "Something else has to be done first, such as the second step, or was done meanwhile",
    ),
    ("422", "A field is wrong"),
    ("429", "Too often; Retry-After says when again"),
    ("500", "Our trouble"),
    ("503", "Our trouble, for now"),
];

impl IntoResponses for Errors {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let body = || Content::new(Some(Ref::from_schema_name("ErrorBody")));
        STATUSES
            .into_iter()
            .map(|(status, description)| {
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/json", body());
                (status.to_owned(), RefOr::T(response.build()))
            })
            .collect()
    }
}

/// Writes problems as JSON.
pub(crate) async fn as_json(visitor: Visitor, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let body = body(visitor.words(), &problem, &visitor.caller.request_id);
    let mut response = (problem.status(), Json(body)).into_response();
    problem.write(response.headers_mut());
    response
}

fn body(w: Words, problem: &Problem, request_id: &str) -> ErrorBody {
    let mut detail = ErrorDetail {
        reason: String::new(),
        fields: Vec::new(),
        retry_after: problem.retry_seconds(),
        metadata: BTreeMap::new(),
        request_id: request_id.to_owned(),
        message: w.something_wrong().to_owned(),
    };
    match problem {
        Problem::Failed(_) => {
            let away = problem.status() == StatusCode::SERVICE_UNAVAILABLE;
            detail.reason = if away { "unavailable" } else { "internal" }.to_owned();
        }
        Problem::Refused(refusal) => {
            detail.reason = refusal.reason.clone();
            detail.message = refusals::sentence(w, refusal);
            detail.metadata = refusal.metadata.iter().cloned().collect();
            detail.fields = refusal
                .fields
                .iter()
                .map(|(field, reason)| FieldError {
                    field: field.clone(),
                    reason: reason.clone(),
                })
                .collect();
        }
    }
    ErrorBody { error: detail }
}
