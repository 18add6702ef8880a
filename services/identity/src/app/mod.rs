//! One file per use case, and what they share.

pub mod code;
pub mod events;
pub mod guesses;
pub mod hashing;
pub mod housekeeping;
pub mod link;
pub mod mail;
pub mod notices;
pub mod password;
pub mod projection;
pub mod relying_party;
pub mod second_step;
pub mod session;
pub mod sessions;
pub mod sign_in;
pub mod two_factor;

use std::sync::Arc;

use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::config::Profile;
use sallyport_chassis::keyring::Keyring;
use sallyport_sql::Database;
use tokio::sync::Notify;

use crate::config::Settings;
use events::Noted;
use hashing::HashPool;
use relying_party::RelyingParty;

/// What every use case stands on. Clones share it.
#[derive(Clone)]
pub struct App {
    /// The service's own schema.
    pub database: Database,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The `[identity]` section.
    pub settings: Arc<Settings>,
    /// Keyed hashes of e-mails, numbers and addresses.
    pub lookup: Arc<Keyring>,
    /// What passwords are mixed with before hashing.
    pub pepper: Arc<Keyring>,
    /// What the seeds of authenticator apps are sealed under.
    pub totp: Arc<Keyring>,
    /// What passkeys are bound to; `None` where the portal has no name.
    pub relying_party: Option<Arc<RelyingParty>>,
    /// The threads that hash passwords.
    pub hashing: Arc<HashPool>,
    /// The channel to otp-api.
    pub otp: Outgoing,
    /// Tells the relays that a commit left something for them.
    pub outbox_wake: OutboxWake,
    /// What refusals need not be logged again.
    pub noted: Arc<Noted>,
    /// What the deployment is for.
    pub profile: Profile,
}

/// Wakes the relays of this process; without it they look once a second.
#[derive(Debug, Clone, Default)]
pub struct OutboxWake {
    pub(crate) events: Arc<Notify>,
    pub(crate) mail: Arc<Notify>,
    pub(crate) notices: Arc<Notify>,
}

impl OutboxWake {
    /// To be called after a commit that put rows into the outbox.
    pub fn notify_one(&self) {
        self.events.notify_one();
        self.mail.notify_one();
        self.notices.notify_one();
    }
}
