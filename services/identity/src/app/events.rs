//! Security events, put into the outbox in the transaction that makes them true.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::{Caller, clock};
use sallyport_proto::admin::v1::event_service_client::EventServiceClient;
use sallyport_proto::admin::v1::{AppendEventsRequest, Event, EventResult};
use sallyport_sql::outbox::{self, Relay, Row};
use sallyport_sql::{Connection, StoreError, Transaction};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use crate::store::users;

/// The outbox topic of events.
pub const TOPIC: &str = "events";

/// Refusals that one process notes in a minute at most: whoever makes up subjects fills neither its
/// memory nor the store.
const MOST_NOTED: usize = 4_096;

/// An event before it has an id and an instant.
#[derive(Debug, Clone)]
pub struct EventDraft {
    /// Whose log it belongs to.
    pub organisation_id: Uuid,
    /// Name from the OWASP logging vocabulary where one exists.
    pub kind: &'static str,
    /// Whether it was refused.
    pub result: EventResult,
    /// User id, or `service:NAME`; empty where nobody is known.
    pub actor: String,
    /// What it is about.
    pub target: String,
    /// Stable reason of a refusal.
    pub reason: &'static str,
    /// Where it came from.
    pub client_ip: String,
    /// With what.
    pub user_agent: String,
    /// Joins it with log lines.
    pub request_id: String,
    /// Typed details; never a code, a token or a full number.
    pub details: Vec<(&'static str, String)>,
}

impl EventDraft {
    /// Something that a user did to himself.
    pub fn of(caller: &Caller, user: &users::Model, kind: &'static str) -> Self {
        Self {
            organisation_id: user.organisation_id,
            kind,
            result: EventResult::Success,
            actor: user.id.to_string(),
            target: user.id.to_string(),
            reason: "",
            client_ip: caller
                .client_ip
                .map(|ip| ip.to_string())
                .unwrap_or_default(),
            user_agent: caller.user_agent.clone(),
            request_id: caller.request_id.clone(),
            details: Vec::new(),
        }
    }

    /// Marks it as refused.
    pub fn refused(mut self, reason: &'static str) -> Self {
        self.result = EventResult::Refused;
        self.reason = reason;
        self
    }

    /// Adds a detail.
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.details.push((key, value.to_string()));
        self
    }

    fn event(self, app: &App, id: Uuid) -> Event {
        Event {
            event_id: id.to_string(),
            organisation_id: self.organisation_id.to_string(),
            occurred_at: Some(clock::to_proto(app.clock.now())),
            r#type: self.kind.to_owned(),
            result: self.result.into(),
            actor: self.actor,
            target: self.target,
            reason: self.reason.to_owned(),
            client_ip: self.client_ip,
            user_agent: self.user_agent,
            request_id: self.request_id,
            details: self
                .details
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }
    }
}

/// Puts an event into the outbox. Call `app.outbox_wake.notify_one()` after the commit.
pub async fn record(txn: &Transaction, app: &App, draft: EventDraft) -> Result<(), StoreError> {
    let id = clock::new_id(&*app.clock);
    let event = draft.event(app, id);
    outbox::put(txn, id, TOPIC, event.encode_to_vec(), app.clock.now_ms()).await
}

/// The same, once for each id: whatever happened only once may be recorded again.
pub async fn record_once(
    db: &impl Connection,
    app: &App,
    id: Uuid,
    draft: EventDraft,
) -> Result<(), StoreError> {
    let event = draft.event(app, id).encode_to_vec();
    outbox::put_once(db, id, TOPIC, event, app.clock.now_ms()).await
}

/// Notes a refusal that changed nothing else, once a minute for each subject, type and reason, so
/// that whoever repeats what is refused does not fill the log. `subject` is whom the limit counts.
/// Nor does repeating it write to the store. Nothing depends on it: what cannot be noted is refused
/// all the same.
pub async fn note_refusal(app: &App, subject: &str, draft: EventDraft) {
    let id = clock::id_of_minute(&*app.clock, &[subject, draft.kind, draft.reason]);
    let Some(mut noting) = app.noted.enter(id) else {
        return;
    };
    match record_once(app.database.connection(), app, id, draft).await {
        Ok(()) => {
            noting.written = true;
            app.outbox_wake.events.notify_one();
        }
        Err(error) => tracing::warn!(%error, "a refusal is not in the event log"),
    }
}

/// The refusals of the present minute that this process has noted.
#[derive(Debug, Default)]
pub struct Noted(Mutex<HashSet<Uuid>>);

impl Noted {
    fn ids(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where the refusal of this id is noted already, or no more are.
    fn enter(&self, id: Uuid) -> Option<Noting<'_>> {
        // A UUIDv7 begins with its instant: here, that of the minute.
        let minute = |id: &Uuid| id.as_u128() >> 80;
        let mut ids = self.ids();
        if ids.iter().next().map(minute) != Some(minute(&id)) {
            ids.clear();
        }
        if ids.contains(&id) {
            return None;
        }
        if ids.len() >= MOST_NOTED {
            metrics::counter!("refusals_not_logged_total").increment(1);
            return None;
        }
        ids.insert(id);
        Some(Noting {
            noted: self,
            id,
            written: false,
        })
    }
}

/// A refusal that is being noted. Unless it is written, also where the caller hangs up meanwhile, the
/// next one like it is.
struct Noting<'a> {
    noted: &'a Noted,
    id: Uuid,
    written: bool,
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        if !self.written {
            self.noted.ids().remove(&self.id);
        }
    }
}

/// Hands events to account-admin's log until `stop`. What belongs to no organisation, such as a
/// guess for an e-mail that nobody has, is in no log: it was counted where it happened.
pub async fn relay(app: App, account_admin: Outgoing, stop: CancellationToken) {
    let relay = Relay::new(
        app.database.clone(),
        TOPIC,
        app.clock.clone(),
        app.outbox_wake.events.clone(),
    );
    let nobody = Uuid::nil().to_string();
    let (account_admin, nobody) = (&account_admin, &nobody);
    relay
        .run(stop, |rows: Vec<Row>| async move {
            let events: Vec<Event> = rows
                .iter()
                .filter_map(|row| match Event::decode(row.payload.as_slice()) {
                    Ok(event) => Some(event),
                    Err(error) => {
                        tracing::error!(row = %row.id, %error, "an event cannot be read");
                        None
                    }
                })
                .filter(|event| event.organisation_id != *nobody)
                .collect();
            if events.is_empty() {
                return Ok(());
            }
            EventServiceClient::new(account_admin.clone())
                .append_events(AppendEventsRequest { events })
                .await
                .map(|_| ())
        })
        .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sallyport_testkit::ManualClock;

    use super::*;

    #[test]
    fn a_refusal_is_to_be_noted_until_it_is_and_again_in_the_next_minute() {
        let clock = ManualClock::new("2026-03-02T09:00:30Z".parse().unwrap());
        let noted = Noted::default();
        let id = |subject: &str| clock::id_of_minute(&clock, &[subject]);
        drop(noted.enter(id("a")).expect("it was not written"));
        let mut noting = noted.enter(id("a")).expect("the first");
        assert!(noted.enter(id("a")).is_none(), "under way");
        noting.written = true;
        drop(noting);
        assert!(noted.enter(id("a")).is_none(), "written");
        assert!(noted.enter(id("b")).is_some());
        clock.advance(Duration::from_secs(30));
        assert!(noted.enter(id("a")).is_some());
    }

    #[test]
    fn made_up_subjects_are_noted_up_to_a_number_a_minute() {
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let noted = Noted::default();
        let note = |n: usize| {
            let id = clock::id_of_minute(&clock, &[&n.to_string()]);
            noted.enter(id).map(|mut noting| noting.written = true)
        };
        for n in 0..MOST_NOTED {
            note(n).expect("there is room");
        }
        assert!(note(MOST_NOTED).is_none());
        clock.advance(Duration::from_secs(60));
        note(MOST_NOTED).expect("another minute");
    }
}
