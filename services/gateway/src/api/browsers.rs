//! Remembered browsers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use sallyport_proto::identity::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Errors;
use super::{Answer, Body, instant};
use crate::App;
use crate::visitor::Visitor;

#[derive(Serialize, ToSchema)]
pub(crate) struct Browsers {
    browsers: Vec<RememberedBrowser>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RememberedBrowser {
    browser_id: String,
    created_at: Option<Timestamp>,
    /// When it last signed in.
    last_used_at: Option<Timestamp>,
    /// When it is forgotten.
    expires_at: Option<Timestamp>,
    client_ip: String,
    user_agent: String,
}

/// The browsers that sign in without a code
#[utoipa::path(get, path = "/browsers", operation_id = "listBrowsers", tag = "two-factor",
    security(("session" = [])), responses((status = 200, body = Browsers), Errors))]
pub(crate) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Browsers> {
    // Programs hold their browser token apart from the session; none of the list is told to be theirs.
    let ask = visitor.ask(wire::ListBrowsersRequest::default());
    let answer = app.clients.two_factor().list_browsers(ask).await?;
    let browsers = answer.into_inner().browsers.into_iter();
    let browsers = browsers.map(|browser| RememberedBrowser {
        created_at: instant(&browser.created_at),
        last_used_at: instant(&browser.last_used_at),
        expires_at: instant(&browser.expires_at),
        browser_id: browser.browser_id,
        client_ip: browser.client_ip,
        user_agent: browser.user_agent,
    });
    Ok(Json(Browsers {
        browsers: browsers.collect(),
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeBrowsers {
    /// Left out: all of them.
    #[serde(default)]
    browser_id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Forgotten {
    /// How many there were.
    forgotten: u32,
}

/// Forgets one remembered browser, or all
#[utoipa::path(post, path = "/browsers/revoke", operation_id = "revokeBrowsers",
    tag = "two-factor", security(("session" = [])), request_body = RevokeBrowsers,
    responses((status = 200, body = Forgotten), Errors))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Body(body): Body<RevokeBrowsers>,
) -> Answer<Forgotten> {
    let ask = visitor.ask(wire::RevokeBrowsersRequest {
        browser_id: body.browser_id,
    });
    let answer = app.clients.two_factor().revoke_browsers(ask).await?;
    Ok(Json(Forgotten {
        forgotten: answer.into_inner().forgotten,
    }))
}
