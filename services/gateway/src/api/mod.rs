//! The JSON API for programs: the operations of the pages under `/api/v1`, with a bearer token and
//! without cookies, so that no page of another origin can drive it. The OpenAPI document is made from
//! the same registrations as the routes.

mod authenticator;
mod browsers;
mod code;
mod error;
mod events;
mod openapi;
mod passkeys;
mod password;
mod profile;
mod sign_in;
mod two_factor;
mod user_edit;
mod users;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::{Json, Router};
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use sallyport_chassis::clock::from_proto;
use sallyport_chassis::{Refusal, idempotency};
use serde::de::DeserializeOwned;
use tonic::Code;

use crate::App;
use crate::guard::BODY_LIMIT;
use crate::problem::Problem;

/// The API under `/api/v1`.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (router, document) = openapi::operations().split_for_parts();
    let text = document.to_json().unwrap_or_default();
    router
        .route(
            "/openapi.json",
            axum::routing::get(move || async move {
                ([(header::CONTENT_TYPE, "application/json")], text).into_response()
            }),
        )
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED })
        .layer(from_fn(error::as_json))
        .with_state(app.clone())
}

/// A JSON body of at most 16 KiB, read strictly: unknown fields are refused.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let refused = |why: &str| {
            Problem::from(Refusal::new(Code::InvalidArgument, "body.invalid").with("detail", why))
        };
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|kind| {
                kind.split(';').next().unwrap_or(kind).trim() == "application/json"
            });
        if !json {
            return Err(refused("content-type is not application/json"));
        }
        let Ok(bytes) = Limited::new(request.into_body(), BODY_LIMIT)
            .collect()
            .await
        else {
            return Err(Problem::refused(Code::InvalidArgument, "form.too_large"));
        };
        // The error names fields and positions, never values.
        serde_json::from_slice(&bytes.to_bytes())
            .map(Self)
            .map_err(|error| {
                refused(match error.classify() {
                    serde_json::error::Category::Data => {
                        "a field is missing, unknown or of another type"
                    }
                    _ => "not JSON",
                })
            })
    }
}

/// The header `Idempotency-Key`.
pub(crate) struct IdempotencyKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let value = parts.headers.get("idempotency-key");
        // What is no UTF-8 is no ASCII either: the key's own rule refuses it.
        let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let key = idempotency::IdempotencyKey::parse(text.unwrap_or_default());
        Ok(Self(key.map_err(Refusal::from)?.into_string()))
    }
}

/// An answer, or what went wrong.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// An operation that has nothing to tell.
pub(crate) type Done = Result<StatusCode, Problem>;

/// A wire timestamp as an instant.
pub(crate) fn instant(stamp: &Option<prost_types::Timestamp>) -> Option<Timestamp> {
    stamp.as_ref().and_then(from_proto)
}
