//! The development inbox: the newest mails, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use sallyport_chassis::Clock;
use tokio::sync::watch;

use crate::ports::{Mail, MailError, MailRoute};

/// How many mails it holds; the oldest go.
const NEWEST: usize = 1_000;

/// A mail and when it came.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The mail.
    pub mail: Mail,
    /// When it came.
    pub at: Timestamp,
}

/// The inbox.
pub struct MailInbox {
    clock: Arc<dyn Clock>,
    mails: Mutex<VecDeque<Kept>>,
    /// Grows with every mail.
    arrived: watch::Sender<u64>,
}

impl MailInbox {
    /// An empty inbox.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            mails: Mutex::default(),
            arrived: watch::Sender::new(0),
        }
    }

    /// The mails to this address (empty: to all) after the first `after` of them, oldest first, as
    /// soon as there is one. Wait for it under a time limit.
    pub async fn wait(&self, to: &str, after: usize) -> Vec<Kept> {
        let mut arrived = self.arrived.subscribe();
        loop {
            arrived.mark_unchanged();
            let mails = self.list(to, after);
            if !mails.is_empty() {
                return mails;
            }
            // The sender lives as long as this inbox, so this never fails.
            if arrived.changed().await.is_err() {
                return mails;
            }
        }
    }

    /// The mails to this address (empty: to all) after the first `after` of them, oldest first.
    pub fn list(&self, to: &str, after: usize) -> Vec<Kept> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails
            .iter()
            .filter(|kept| to.is_empty() || kept.mail.to.eq_ignore_ascii_case(to))
            .skip(after)
            .cloned()
            .collect()
    }
}

#[async_trait]
impl MailRoute for MailInbox {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let kept = Kept {
            mail: mail.clone(),
            at: self.clock.now(),
        };
        {
            let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
            mails.push_back(kept);
            if mails.len() > NEWEST {
                mails.pop_front();
            }
        }
        self.arrived.send_modify(|count| *count += 1);
        Ok(())
    }
}
