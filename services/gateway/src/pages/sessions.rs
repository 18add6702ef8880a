//! Ending open sessions, from the block Security.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use sallyport_proto::identity::v1::RevokeSessionsRequest;

use super::redirect;
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// Ends the named session, or all others.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let request = RevokeSessionsRequest {
        session_id: posted.text("session_id"),
    };
    app.clients
        .sign_in()
        .revoke_sessions(visitor.ask(request))
        .await?;
    Ok(redirect("/account?done=sessions"))
}
