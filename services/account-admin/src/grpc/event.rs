//! EventService.

use sallyport_chassis::clock::from_proto;
use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::stamp;
use super::status::{caller, status};
use crate::app::list_events::Shown;
use crate::app::{App, Entry, append_events, list_events};
use crate::domain::permission::rpc;
use crate::domain::refused::Refused;

/// Events in one request at most.
const MOST: usize = 1_000;
/// Details of one event at most, and bytes of one's key and value.
const MOST_DETAILS: usize = 32;
const LONGEST_DETAIL: usize = 1_000;

pub struct Events(pub App);

#[tonic::async_trait]
impl pb::event_service_server::EventService for Events {
    #[tracing::instrument(skip_all)]
    async fn append_events(
        &self,
        request: Request<pb::AppendEventsRequest>,
    ) -> Result<Response<pb::AppendEventsResponse>, Status> {
        let entries = decode(request.into_inner().events)
            .map_err(|field| status(Refused::field(field, "event.invalid").into()))?;
        append_events::append(&self.0, entries)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::AppendEventsResponse {}))
    }

    #[tracing::instrument(skip_all)]
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let who = self
            .0
            .enter(rpc::LIST_EVENTS, &caller(&request)?)
            .await
            .map_err(status)?;
        let asked = request.into_inner();
        let listed = list_events::list(
            &self.0,
            &who,
            &asked.user_id,
            asked.page_size,
            &asked.page_token,
        )
        .await;
        let (events, next_page_token) = self
            .0
            .audit(&who, &asked.user_id, listed)
            .await
            .map_err(status)?;
        let events = events.into_iter().map(encode).collect();
        Ok(Response::new(pb::ListEventsResponse {
            events,
            next_page_token,
        }))
    }
}

/// The events, all or none; or the field that is malformed. Another service made them, so a refusal
/// is a defect there: its outbox sends each again alone, and keeps the malformed one until that is
/// mended.
pub(crate) fn decode(events: Vec<pb::Event>) -> Result<Vec<(Uuid, Entry)>, &'static str> {
    if events.len() > MOST {
        return Err("events");
    }
    events.into_iter().map(decode_one).collect()
}

fn decode_one(event: pb::Event) -> Result<(Uuid, Entry), &'static str> {
    // An event of nobody known (a try on an unknown address) belongs to no organisation and goes
    // into the chain of its own.
    let organisation = match event.organisation_id.as_str() {
        "" => Uuid::nil(),
        text => text.parse().map_err(|_| "organisation_id")?,
    };
    let success = match event.result() {
        pb::EventResult::Success => true,
        pb::EventResult::Refused => false,
        pb::EventResult::Unspecified => return Err("result"),
    };
    let occurred_at = event
        .occurred_at
        .as_ref()
        .and_then(from_proto)
        .ok_or("occurred_at")?
        .as_millisecond();
    let kind = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if event.r#type.is_empty() || event.r#type.len() > 64 || !event.r#type.bytes().all(kind) {
        return Err("type");
    }
    let details_fit = event.details.len() <= MOST_DETAILS
        && event.details.iter().all(|(key, value)| {
            key.len() + value.len() <= LONGEST_DETAIL
                && !key.chars().chain(value.chars()).any(char::is_control)
        });
    if !details_fit {
        return Err("details");
    }
    let entry = Entry {
        event_id: event.event_id.parse().map_err(|_| "event_id")?,
        occurred_at,
        kind: event.r#type,
        success,
        actor: whom(event.actor).ok_or("actor")?,
        target: whom(event.target).ok_or("target")?,
        reason: plain(event.reason, 100).ok_or("reason")?,
        // What a caller or his browser calls itself is cut and cleaned, never refused.
        request_id: cleaned(&event.request_id, 64),
        client_ip: plain(event.client_ip, 45).ok_or("client_ip")?,
        user_agent: cleaned(&event.user_agent, 256),
        details: event.details.into_iter().collect(),
    };
    Ok((organisation, entry))
}

/// A user id in the one spelling by which events are found, or another short word.
fn whom(text: String) -> Option<String> {
    match text.parse::<Uuid>() {
        Ok(id) => Some(id.to_string()),
        Err(_) => plain(text, 200),
    }
}

fn plain(text: String, longest: usize) -> Option<String> {
    (text.len() <= longest && !text.chars().any(char::is_control)).then_some(text)
}

fn cleaned(text: &str, longest: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(longest)
        .collect()
}

fn encode(shown: Shown) -> pb::LoggedEvent {
    let event = shown.event;
    let result = match event.result.as_str() {
        "success" => pb::EventResult::Success,
        "refused" => pb::EventResult::Refused,
        _ => pb::EventResult::Unspecified,
    };
    pb::LoggedEvent {
        sequence: u64::try_from(event.sequence).unwrap_or(0),
        actor_name: shown.actor_name,
        target_name: shown.target_name,
        event: Some(pb::Event {
            event_id: event.event_id.to_string(),
            organisation_id: event.organisation_id.to_string(),
            occurred_at: Some(stamp(event.occurred_at)),
            r#type: event.kind,
            result: result.into(),
            actor: event.actor,
            target: event.target,
            reason: event.reason,
            client_ip: shown.client_ip,
            user_agent: shown.user_agent,
            request_id: event.request_id,
            details: shown.details.into_iter().collect(),
        }),
    }
}
