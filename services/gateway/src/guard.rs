//! What a posted form passes before its page sees it: size, origin, token, and only once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use sha2::{Digest, Sha256};
use tonic::Code;
use tracing::Instrument;
use url::form_urlencoded;

use crate::App;
use crate::csrf;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// The largest body of a request, in bytes.
pub(crate) const BODY_LIMIT: usize = 16 * 1024;

/// The fields of a posted form. It may hold passwords and codes, so it shows nothing of itself.
#[derive(Clone)]
pub(crate) struct Form {
    pairs: Arc<Vec<(String, String)>>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form(…)")
    }
}

impl Form {
    /// Reads a posted body.
    pub(crate) fn read(body: &[u8]) -> Self {
        Self {
            pairs: Arc::new(form_urlencoded::parse(body).into_owned().collect()),
        }
    }

    /// The value of a field as it was typed; empty where it did not come.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// The value of a field without blanks around it.
    pub(crate) fn text(&self, name: &str) -> String {
        self.raw(name).trim().to_owned()
    }

    /// Every value of a field that may come several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.pairs
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Whether a box was ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }

    /// The form's nonce.
    pub(crate) fn nonce(&self) -> &str {
        self.raw("nonce")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Checks posts and runs each once; lets other methods pass.
pub(crate) async fn posts(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    guarded(&app, request, next, false).await
}

/// The same for pages that `Frame::before` makes: their forms are bound to `__Host-pre`, also in a
/// browser that has a session.
pub(crate) async fn posts_before(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    guarded(&app, request, next, true).await
}

async fn guarded(app: &App, request: Request, next: Next, before: bool) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (mut parts, body) = request.into_parts();
    if !csrf::own_origin(&parts.headers, &app.origin) {
        tracing::warn!("a form was posted from elsewhere");
        return Problem::refused(Code::PermissionDenied, "form.refused").into_response();
    }
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Problem::refused(Code::InvalidArgument, "form.too_large").into_response(),
    };
    let form = Form::read(&body);
    let posted = form.raw("csrf");
    let session = visitor.caller.bearer.as_ref();
    // Where there is a session, its forms are bound to it and to nothing older.
    let bound = session.is_some_and(|token| csrf::holds(token, posted))
        || ((before || session.is_none()) && csrf::holds(&visitor.pre, posted));
    if !bound || !csrf::is_nonce(form.nonce()) {
        tracing::warn!("a form came without its token");
        return Problem::refused(Code::PermissionDenied, "form.refused").into_response();
    }
    let mut hash = Sha256::new();
    let secret = session.unwrap_or(&visitor.pre).expose().as_bytes();
    for part in [secret, visitor.here.as_bytes(), &body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    parts.extensions.insert(form);
    let request = Request::from_parts(parts, Body::empty());
    let limit = app.settings.request_limit();
    let work = async move {
        let answered = tokio::time::timeout(limit, next.run(request)).await;
        answered.unwrap_or_else(|_| Problem::Failed(Code::Unavailable).into_response())
    };
    app.twice
        .once(hash.finalize().into(), work.in_current_span())
        .await
}
