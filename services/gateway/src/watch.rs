//! The changes of a challenge as server-sent events, for the code page and for programs alike.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use sallyport_proto::identity::v1::{Challenge, WatchChallengeResponse};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// How often a stream with nothing to tell says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// Events `state` with what `show` makes of the challenge as JSON, at each change; `end` when there
/// will be none any more.
pub(crate) fn events<T: Serialize>(
    changes: Streaming<WatchChallengeResponse>,
    stop: CancellationToken,
    show: impl Fn(Challenge) -> Option<T> + Send + 'static,
) -> Response {
    let events = changes
        .map(move |change| {
            let challenge = change.ok().and_then(|change| change.challenge);
            let shown = challenge.and_then(&show);
            shown.and_then(|shown| state(&shown)).unwrap_or_else(end)
        })
        .chain(stream::once(async { end() }))
        .take_until(stop.cancelled_owned())
        .map(Ok::<_, Infallible>);
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response()
}

fn state(shown: &impl Serialize) -> Option<Event> {
    Event::default().event("state").json_data(shown).ok()
}

fn end() -> Event {
    Event::default().event("end").data("")
}
