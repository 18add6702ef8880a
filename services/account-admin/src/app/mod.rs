//! What is done for callers: one file a use case.

pub mod add_user;
pub mod administrators;
pub mod append_events;
pub mod delete_user;
pub mod domains;
pub mod edit_user;
pub mod licences;
pub mod list_events;
pub mod organisations;
pub mod profile;
pub mod session;
pub mod start_password_reset;
pub mod tell_identity;
pub mod users;
pub mod verify_chain;

use std::collections::BTreeMap;
use std::sync::Arc;

use sallyport_chassis::clock::new_id;
use sallyport_chassis::{Caller, Clock, Peer, Refusal};
use sallyport_sql::{Database, StoreError};
use tokio::sync::Notify;
use tonic::Status;
use uuid::Uuid;

use crate::clients::Identity;
use crate::config::Settings;
use crate::domain::refused::Refused;
pub use crate::store::Entry;
pub use crate::store::entity::{domain, plan, role_group, user};
pub use crate::store::listing::Sort;

/// What every use case works with.
#[derive(Clone)]
pub struct App {
    /// The schema `admin`.
    pub database: Database,
    /// The identity service.
    pub identity: Identity,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The section `[account_admin]`.
    pub settings: Settings,
    /// Wakes the relay of projections after a commit.
    pub projections_owed: Arc<Notify>,
    /// Wakes the relay of invitations.
    pub invitations_owed: Arc<Notify>,
    /// Wakes the relay of password resets.
    pub resets_owed: Arc<Notify>,
}

/// Why a use case gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules refuse it.
    #[error("refused: {0:?}")]
    Refused(Refused),
    /// Identity refuses the session.
    #[error("session refused: {}", .0.reason)]
    Session(Refusal),
    /// Identity is in trouble, or refuses what it must not.
    #[error("identity did not answer")]
    Identity(#[source] Box<Status>),
    /// Our store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Where a request comes from, as its events tell it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// User id, or `operator:NAME`.
    pub actor: String,
    /// Address of the client.
    pub client_ip: String,
    /// Browser.
    pub user_agent: String,
    /// Joins the events of one request.
    pub request_id: String,
}

impl Origin {
    /// A user's request.
    pub fn user(user_id: Uuid, caller: &Caller) -> Self {
        Self::new(user_id.to_string(), caller)
    }

    /// An operator's request.
    pub fn operator(caller: &Caller) -> Self {
        let name = match &caller.peer {
            Peer::Operator(name) => name.as_str(),
            Peer::Service(_) | Peer::Anonymous => "",
        };
        Self::new(format!("operator:{name}"), caller)
    }

    fn new(actor: String, caller: &Caller) -> Self {
        Self {
            actor,
            client_ip: caller
                .client_ip
                .map(|ip| ip.to_string())
                .unwrap_or_default(),
            user_agent: caller
                .user_agent
                .chars()
                .filter(|c| !c.is_control())
                .collect(),
            request_id: caller
                .request_id
                .chars()
                .filter(char::is_ascii_graphic)
                .collect(),
        }
    }
}

impl App {
    /// An event that happens now, by this request.
    fn event(&self, origin: &Origin, kind: &str, target: impl ToString) -> Entry {
        Entry {
            event_id: new_id(&*self.clock),
            occurred_at: self.clock.now_ms(),
            kind: kind.to_owned(),
            success: true,
            actor: origin.actor.clone(),
            target: target.to_string(),
            reason: String::new(),
            request_id: origin.request_id.clone(),
            client_ip: origin.client_ip.clone(),
            user_agent: origin.user_agent.clone(),
            details: BTreeMap::new(),
        }
    }
}

impl Entry {
    /// Adds a detail. Nothing personal: details are never erased.
    fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.details.insert(key.to_owned(), value.to_string());
        self
    }
}

/// What a use case says after it has lost the same race again and again.
fn contended() -> Error {
    Error::Store(StoreError::Unavailable(
        "other requests were faster each time".into(),
    ))
}
