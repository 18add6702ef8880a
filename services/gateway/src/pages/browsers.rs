//! Forgetting remembered browsers, from the block Security.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use sallyport_proto::identity::v1::RevokeBrowsersRequest;

use super::redirect;
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// Forgets the named browser, or all of them.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let request = RevokeBrowsersRequest {
        browser_id: posted.text("browser_id"),
    };
    app.clients
        .two_factor()
        .revoke_browsers(visitor.ask(request))
        .await?;
    Ok(redirect("/account?done=browsers"))
}
