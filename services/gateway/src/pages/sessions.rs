//! Ending open sessions, from the block Security.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use tonic::Code;

use super::two_factor::{self, Go, Intent};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// Ends the named session, or all others, once the password was typed lately.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let go = Go {
        intent: Intent::EndSessions,
        nonce: posted.nonce().to_owned(),
        of: posted.text("session_id"),
    };
    // What is no id names no session; the next page would not read it.
    if !two_factor::is_id(&go.of) {
        return Err(Problem::refused(Code::NotFound, "session.not_found"));
    }
    two_factor::begin(&app, &visitor, go).await
}
