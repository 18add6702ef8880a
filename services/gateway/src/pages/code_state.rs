//! How far the message is: framed and refreshing itself without script, as server-sent events with.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use sallyport_chassis::clock::from_proto;
use sallyport_proto::identity::v1::{Challenge, MessageState, WatchChallengeRequest};
use serde::Serialize;

use super::{frame, words_of};
use crate::headers::FRAMED_POLICY;
use crate::moment::wait;
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::words::Words;
use crate::{App, assets, watch};

/// The part of a code's life, in seconds before its end, in which the page warns.
const WARNING: u64 = 150;

/// What the code page shows of a challenge, and what it is told at each change.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// In words.
    pub text: String,
    /// How many of the three steps are done.
    pub steps: u8,
    /// The message will not come.
    pub failed: bool,
    /// The state will not change any more.
    pub settled: bool,
    /// Seconds until Resend opens; 0: open.
    pub resend_in: u64,
    /// Seconds left of the code's life.
    pub expires_in: u64,
    /// Sends left.
    pub sends_left: u32,
    /// The sentence on tries, from the third wrong one on; else empty.
    pub tries: String,
}

impl State {
    /// The state of a challenge as it is now.
    pub(crate) fn of(app: &App, w: Words, challenge: &Challenge) -> Self {
        let (text, steps) = match challenge.message_state() {
            MessageState::Queued | MessageState::Unspecified => (w.state_queued(), 1),
            MessageState::Submitted => (w.state_submitted(), 2),
            MessageState::Delivered => (w.state_delivered(), 3),
            MessageState::Failed => (w.state_failed(), 0),
            MessageState::Expired => (w.state_expired(), 0),
            MessageState::Suppressed => (w.state_suppressed(), 0),
            MessageState::OutcomeUnknown => (w.state_unknown(), 0),
        };
        Self {
            text: text.to_owned(),
            steps,
            failed: steps == 0,
            settled: steps == 0 || steps == 3,
            // A message whose fate is unknown, or that failed, may be sent again at once.
            resend_in: Self::seconds(app, &challenge.resend_at),
            expires_in: Self::seconds(app, &challenge.expires_at),
            sends_left: challenge.sends_left,
            tries: match challenge.tries_left {
                1 => w.tries_left_one().to_owned(),
                2 => w.tries_left(2),
                _ => String::new(),
            },
        }
    }

    /// Seconds until an instant, rounded up; 0 where it has passed or is not set.
    pub(crate) fn seconds(app: &App, stamp: &Option<prost_types::Timestamp>) -> u64 {
        let Some(instant) = stamp.as_ref().and_then(from_proto) else {
            return 0;
        };
        let left = instant.as_millisecond() - app.clock.now_ms();
        u64::try_from(left).unwrap_or(0).div_ceil(1000)
    }

    /// The warning in the last part of the code's life; empty before.
    pub(crate) fn warning(&self, w: &Words) -> String {
        if self.expires_in > WARNING {
            String::new()
        } else {
            w.code_expires_in(wait(*w, self.expires_in))
        }
    }

    /// When Resend opens, in words; empty where it is open.
    pub(crate) fn resend_words(&self, w: &Words) -> String {
        if self.resend_in == 0 {
            String::new()
        } else {
            w.resend_in(wait(*w, self.resend_in))
        }
    }
}

#[derive(Template)]
#[template(path = "code_state.html")]
struct Framed {
    w: Words,
    stylesheet: &'static str,
    state: Option<State>,
}

/// The page inside the code page's frame.
pub(crate) async fn framed(
    Shared(app): Shared<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let w = words_of(&session, &visitor);
    let challenge = super::code::challenge(&app, &visitor).await?;
    let template = Framed {
        w,
        stylesheet: assets::address("portal.css"),
        state: challenge.map(|c| State::of(&app, w, &c)),
    };
    let mut response = frame::show(StatusCode::OK, &template);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(FRAMED_POLICY),
    );
    Ok(response)
}

/// The same as server-sent events, for the page's script; each has a [`State`].
pub(crate) async fn events(
    Shared(app): Shared<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    let w = words_of(&session, &visitor);
    let ask = visitor.ask(WatchChallengeRequest {});
    let changes = app.clients.code().watch_challenge(ask).await?.into_inner();
    let stop = app.stop.clone();
    let show = move |challenge: Challenge| Some(State::of(&app, w, &challenge));
    Ok(watch::events(changes, stop, show))
}
