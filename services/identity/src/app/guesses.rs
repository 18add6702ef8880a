//! Guesses for a password are reserved before hashing and settled after it. A reservation that was
//! not settled stays a failure: attempts never fail open.
//!
//! Counted are: the failures of an address within a window; per subject (an e-mail, known or not)
//! and network, failures in a row with growing waits; and all failures of a subject. A remembered
//! browser has a network of its own and does not meet the count of all, so that nobody else's
//! failures keep it out.
//!
//! What is counted is found by keyed hashes. The current key of the ring counts; what another one of
//! the ring has counted is moved to it by the next guess, so that a new key refills no budget.

use std::net::IpAddr;
use std::time::Duration;

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::{StoreError, Transaction, commit};
use uuid::Uuid;

use super::App;
use crate::domain::guesses::{DelayRule, network, source};
use crate::store::guesses::{self, NetworkCount};
use crate::store::users;

/// Races for one row that are tried again before the guess is told to wait.
const RACES: usize = 8;

/// Why a guess may not be made now.
#[derive(Debug, thiserror::Error)]
pub enum GuessRefusal {
    /// The next guess is open after this.
    #[error("the next guess must wait")]
    Delayed(Duration),
    /// Too many failures in all: only a remembered browser or a reset link gets in.
    #[error("closed after too many failures")]
    Closed,
    /// The store is in trouble, so nothing can be counted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GuessRefusal {
    /// Whether a limit refused the guess, and not the store's trouble.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Delayed(_) | Self::Closed => true,
            Self::Store(_) => false,
        }
    }
}

/// Whose guesses are counted; each key under every key of the ring, current first.
#[derive(Debug)]
pub struct Subject {
    keys: Vec<String>,
    network_keys: Vec<String>,
    address_keys: Vec<String>,
    remembered: bool,
}

impl Subject {
    /// Sign-ins for an e-mail in its stored form, or for what was typed instead of one.
    pub fn email(app: &App, email: &str, caller: &Caller) -> Self {
        Self::new(app, &[b"guess.email", email.as_bytes()], caller.client_ip)
    }

    /// Confirmations by somebody who holds a session of the user; others cannot reach this count.
    pub fn confirmation(app: &App, user_id: Uuid, caller: &Caller) -> Self {
        Self::new(
            app,
            &[b"guess.confirm", user_id.as_bytes()],
            caller.client_ip,
        )
    }

    fn new(app: &App, parts: &[&[u8]], address: Option<IpAddr>) -> Self {
        let lookup = &app.lookup;
        Self {
            keys: lookup.lookups(parts),
            network_keys: lookup.lookups(&[b"guess.network", network(address).as_bytes()]),
            address_keys: lookup.lookups(&[b"guess.address", source(address).as_bytes()]),
            remembered: false,
        }
    }

    /// Counts for this browser, which the user had remembered, instead of its network.
    pub fn remembered(mut self, app: &App, browser_token: &Secret) -> Self {
        self.network_keys = app
            .lookup
            .lookups(&[b"guess.browser", browser_token.expose().as_bytes()]);
        self.remembered = true;
        self
    }

    /// The subject and its network under each key of the ring, current first.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let networks = self.network_keys.iter().map(String::as_str);
        self.keys.iter().map(String::as_str).zip(networks)
    }

    /// The two under the key that counts.
    fn current(&self) -> (&str, &str) {
        (&self.keys[0], &self.network_keys[0])
    }

    /// Moves what the other keys of the ring have counted to the current one.
    async fn gather(&self, txn: &Transaction, now: i64) -> Result<(), StoreError> {
        if self.keys.len() == 1 {
            return Ok(());
        }
        guesses::hold_subject(txn, &self.keys).await?;
        let (key, _) = self.current();
        for (other, other_network) in self.pairs().skip(1) {
            let from = (other, other_network);
            guesses::rekey_network(txn, from, self.current(), now).await?;
            guesses::rekey_subject(txn, other, key, now).await?;
        }
        Ok(())
    }
}

/// A guess that counts as a failure until it is settled.
#[derive(Debug)]
pub struct Reservation {
    subject: Subject,
    before: Option<NetworkCount>,
    after: NetworkCount,
    /// All failures with this one; `None` for a remembered browser.
    total: Option<i32>,
}

/// Refuses an address with too many failures in the window, before anything else is done.
pub async fn check_address(app: &App, subject: &Subject) -> Result<(), GuessRefusal> {
    let settings = &app.settings.guesses;
    let now = app.clock.now_ms();
    let until = guesses::address_waits_until(
        app.database.connection(),
        &subject.address_keys,
        settings.address_failures,
        ms(settings.address_window),
        now,
    )
    .await?;
    match until {
        None => Ok(()),
        Some(until) => Err(GuessRefusal::Delayed(wait(until - now))),
    }
}

/// Counts a reset that is asked for from the caller's address; false where there were too many in
/// the window. They have a count of their own, with the limit of failed guesses.
pub async fn reserve_reset(app: &App, caller: &Caller) -> Result<bool, StoreError> {
    let settings = &app.settings.guesses;
    let address = source(caller.client_ip);
    guesses::reserve_address(
        app.database.connection(),
        &app.lookup.lookups(&[b"reset.address", address.as_bytes()]),
        settings.address_failures,
        ms(settings.address_window),
        app.clock.now_ms(),
    )
    .await
}

/// Counts the guess as a failure, or refuses it.
pub async fn reserve(app: &App, subject: Subject) -> Result<Reservation, GuessRefusal> {
    let settings = &app.settings.guesses;
    let rule = DelayRule {
        from: settings.delay_from_failure,
        first: settings.first_delay,
        longest: settings.longest_delay,
    };
    let now = app.clock.now_ms();
    let txn = app.database.begin().await?;
    subject.gather(&txn, now).await?;
    let (key, network_key) = subject.current();
    let mut moved = None;
    for _ in 0..RACES {
        let before = guesses::network(&txn, key, network_key).await?;
        let count = before.unwrap_or_default();
        if count.open_at > now {
            return Err(GuessRefusal::Delayed(wait(count.open_at - now)));
        }
        if subject.remembered && i64::from(count.failures) >= i64::from(settings.closed_at_failures)
        {
            return Err(GuessRefusal::Closed);
        }
        let failures = count.failures.saturating_add(1);
        let delay = rule.after(u32::try_from(failures).unwrap_or(u32::MAX));
        let after = NetworkCount {
            failures,
            open_at: if delay.is_zero() { 0 } else { now + ms(delay) },
        };
        if guesses::move_network(&txn, key, network_key, before, after, now).await? {
            moved = Some((before, after));
            break;
        }
    }
    let Some((before, after)) = moved else {
        return Err(GuessRefusal::Delayed(Duration::from_secs(1)));
    };
    let total = if subject.remembered {
        None
    } else {
        let limit = settings.closed_at_failures;
        match guesses::reserve_subject(&txn, key, limit, now).await? {
            None => return Err(GuessRefusal::Closed),
            total => total,
        }
    };
    commit(txn).await?;
    Ok(Reservation {
        subject,
        before,
        after,
        total,
    })
}

impl Reservation {
    /// The guess was wrong: the reservation stays, and the address has failed once more. True where
    /// this failure closed the subject.
    pub async fn failed(&self, txn: &Transaction, app: &App) -> Result<bool, StoreError> {
        let settings = &app.settings.guesses;
        guesses::count_address(
            txn,
            &self.subject.address_keys[0],
            ms(settings.address_window),
            app.clock.now_ms(),
        )
        .await?;
        let limit = i64::from(settings.closed_at_failures);
        Ok(self.total.is_some_and(|total| i64::from(total) >= limit))
    }

    /// The guess was right: the failures of this network are forgotten, and of all networks too
    /// unless a remembered browser got in past them.
    pub async fn succeeded(&self, txn: &Transaction) -> Result<(), StoreError> {
        for (key, network_key) in self.subject.pairs() {
            guesses::clear_network(txn, key, network_key).await?;
            if !self.subject.remembered {
                guesses::clear_subject(txn, key).await?;
            }
        }
        Ok(())
    }

    /// The guess was not judged at all.
    pub async fn give_back(self, app: &App) -> Result<(), StoreError> {
        let txn = app.database.begin().await?;
        let before = self.before.unwrap_or_default();
        let (key, network_key) = self.subject.current();
        guesses::give_back_network(&txn, key, network_key, self.after.open_at, before.open_at)
            .await?;
        if self.total.is_some() {
            guesses::give_back_subject(&txn, key).await?;
        }
        commit(txn).await?;
        Ok(())
    }
}

/// A reset link was used: sign-ins and confirmations of the user start anew, everywhere.
pub async fn clear(txn: &Transaction, app: &App, user: &users::Model) -> Result<(), StoreError> {
    let counted: [[&[u8]; 2]; 2] = [
        [b"guess.email", user.email.as_bytes()],
        [b"guess.confirm", user.id.as_bytes()],
    ];
    for key in counted.iter().flat_map(|parts| app.lookup.lookups(parts)) {
        guesses::clear_networks(txn, &key).await?;
        guesses::clear_subject(txn, &key).await?;
    }
    Ok(())
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn wait(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
