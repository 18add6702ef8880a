//! The event log.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use sallyport_proto::admin::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Errors;
use super::{Answer, instant};
use crate::App;
use crate::visitor::Visitor;

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListEvents {
    /// At most 200; 50 where left out.
    page_size: u32,
    /// `next_page_token` of the page before.
    page_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    events: Vec<Event>,
    /// Empty on the last page.
    next_page_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    event_id: String,
    /// Place in the organisation's chain.
    sequence: u64,
    occurred_at: Option<Timestamp>,
    /// E.g. `authn_login_success`.
    r#type: String,
    /// Whether it was refused; see `reason`.
    refused: bool,
    reason: String,
    actor: String,
    actor_name: String,
    target: String,
    target_name: String,
    client_ip: String,
    user_agent: String,
    request_id: String,
    details: BTreeMap<String, String>,
}

/// The user's own events, newest first
#[utoipa::path(get, path = "/events", operation_id = "listOwnEvents", tag = "events",
    security(("session" = [])), params(ListEvents), responses((status = 200, body = Events), Errors))]
pub(crate) async fn own(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<ListEvents>,
) -> Answer<Events> {
    list(&app, &visitor, String::new(), asked).await
}

/// The events of a user, for who may read logs
#[utoipa::path(get, path = "/users/{user_id}/events", operation_id = "listEvents", tag = "events",
    security(("session" = [])), params(("user_id" = String, Path), ListEvents),
    responses((status = 200, body = Events), Errors))]
pub(crate) async fn of_user(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    Query(asked): Query<ListEvents>,
) -> Answer<Events> {
    list(&app, &visitor, user_id, asked).await
}

async fn list(app: &App, visitor: &Visitor, user_id: String, asked: ListEvents) -> Answer<Events> {
    let ask = visitor.ask(wire::ListEventsRequest {
        user_id,
        page_size: asked.page_size,
        page_token: asked.page_token,
    });
    let answer = app.clients.event().list_events(ask).await?.into_inner();
    let events = answer.events.into_iter().map(|logged| {
        let event = logged.event.unwrap_or_default();
        Event {
            sequence: logged.sequence,
            occurred_at: instant(&event.occurred_at),
            refused: event.result() == wire::EventResult::Refused,
            actor_name: logged.actor_name,
            target_name: logged.target_name,
            event_id: event.event_id,
            r#type: event.r#type,
            reason: event.reason,
            actor: event.actor,
            target: event.target,
            client_ip: event.client_ip,
            user_agent: event.user_agent,
            request_id: event.request_id,
            details: event.details.into_iter().collect(),
        }
    });
    Ok(Json(Events {
        events: events.collect(),
        next_page_token: answer.next_page_token,
    }))
}
