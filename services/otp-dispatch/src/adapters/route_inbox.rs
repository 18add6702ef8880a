//! The development inbox: texts stay in memory, where their reader and tests find them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sallyport_chassis::Clock;
use sallyport_phone::PhoneNumber;
use tokio::sync::watch;

use crate::ports::{MessageStore, ReceiptState, Record, SmsRoute, Submission};

/// How many messages are kept; the oldest go first.
const KEPT: usize = 1_000;

/// A message that arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// Counts from 1 over the whole inbox.
    pub sequence: u64,
    /// Our id of the message.
    pub message_id: String,
    /// The number it was sent to.
    pub to: PhoneNumber,
    /// What it says.
    pub text: String,
    /// When it arrived, unix milliseconds.
    pub at: i64,
}

impl std::fmt::Debug for InboxMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboxMessage")
            .field("sequence", &self.sequence)
            .field("message_id", &self.message_id)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// What arrived, newest 1,000. Clones share it.
#[derive(Clone)]
pub struct SmsInbox {
    messages: Arc<Mutex<VecDeque<InboxMessage>>>,
    /// The sequence of the newest.
    newest: watch::Sender<u64>,
}

impl Default for SmsInbox {
    fn default() -> Self {
        Self {
            messages: Arc::default(),
            newest: watch::Sender::new(0),
        }
    }
}

impl SmsInbox {
    /// An empty inbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages to a number, or to all, whose sequence is above `after`, oldest first.
    pub fn list<'a>(
        &self,
        to: impl Into<Option<&'a PhoneNumber>>,
        after: u64,
    ) -> Vec<InboxMessage> {
        let (messages, to) = (self.messages(), to.into());
        let wanted = |m: &&InboxMessage| m.sequence > after && to.is_none_or(|to| m.to == *to);
        messages.iter().filter(wanted).cloned().collect()
    }

    /// [`SmsInbox::list`], waiting at most `timeout` for the first of them.
    pub async fn wait<'a>(
        &self,
        to: impl Into<Option<&'a PhoneNumber>>,
        after: u64,
        timeout: Duration,
    ) -> Vec<InboxMessage> {
        let to = to.into();
        let mut newest = self.newest.subscribe();
        let arrival = async {
            loop {
                let found = self.list(to, after);
                // The sender lives as long as `self`.
                if !found.is_empty() || newest.changed().await.is_err() {
                    return found;
                }
            }
        };
        tokio::time::timeout(timeout, arrival)
            .await
            .unwrap_or_default()
    }

    fn put(&self, message_id: &str, to: &PhoneNumber, text: &str, at: i64) {
        let mut messages = self.messages();
        let sequence = *self.newest.borrow() + 1;
        messages.push_back(InboxMessage {
            sequence,
            message_id: message_id.to_owned(),
            to: to.clone(),
            text: text.to_owned(),
            at,
        });
        if messages.len() > KEPT {
            messages.pop_front();
        }
        self.newest.send_replace(sequence);
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<InboxMessage>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The route into the inbox. It gives its own receipt, by the path that a carrier's takes.
pub struct InboxRoute {
    name: String,
    inbox: SmsInbox,
    store: Arc<dyn MessageStore>,
    clock: Arc<dyn Clock>,
}

impl InboxRoute {
    /// A route of this name.
    pub fn new(
        name: impl Into<String>,
        inbox: SmsInbox,
        store: Arc<dyn MessageStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name: name.into(),
            inbox,
            store,
            clock,
        }
    }
}

#[async_trait]
impl SmsRoute for InboxRoute {
    fn name(&self) -> &str {
        &self.name
    }

    #[tracing::instrument(name = "inbox", skip_all, fields(route = self.name, message_id))]
    async fn submit(
        &self,
        record: Record<'_>,
        message_id: &str,
        number: &PhoneNumber,
        text: &str,
        deadline_at: i64,
    ) -> Submission {
        if deadline_at <= self.clock.now_ms() || !record.await {
            return Submission::NotWritten;
        }
        let now = self.clock.now_ms();
        self.inbox.put(message_id, number, text, now);
        // A fast carrier: the receipt is there before the answer is recorded.
        let receipt = self
            .store
            .receipt(&self.name, message_id, ReceiptState::Delivered, now);
        if let Err(error) = receipt.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the receipt was not stored"
            );
        }
        Submission::Accepted {
            carrier_id: message_id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(e164: &str) -> PhoneNumber {
        PhoneNumber::parse_e164(e164).unwrap()
    }

    #[test]
    fn only_the_newest_are_kept_and_each_number_sees_its_own() {
        let inbox = SmsInbox::new();
        let (a, b) = (number("+33612345678"), number("+33612345679"));
        inbox.put("m0", &b, "first", 1);
        for i in 1..=KEPT {
            inbox.put(&format!("m{i}"), &a, "text", 2);
        }
        assert!(inbox.list(&b, 0).is_empty());
        assert_eq!(inbox.list(&a, 0).len(), KEPT);
        let last = inbox.list(&a, KEPT as u64);
        assert_eq!((last.len(), last[0].sequence), (1, KEPT as u64 + 1));
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_its_own_number_alone() {
        let inbox = SmsInbox::new();
        let (a, b) = (number("+33612345678"), number("+33612345679"));
        let reader = inbox.clone();
        let to = a.clone();
        let waiting =
            tokio::spawn(async move { reader.wait(&to, 0, Duration::from_secs(60)).await });
        inbox.put("m1", &b, "not yours", 1);
        inbox.put("m2", &a, "yours", 2);
        let found = waiting.await.unwrap();
        assert_eq!((found.len(), found[0].text.as_str()), (1, "yours"));
    }

    #[tokio::test]
    async fn waiting_ends_empty() {
        let found = SmsInbox::new()
            .wait(&number("+33612345678"), 0, Duration::ZERO)
            .await;
        assert!(found.is_empty());
    }

    #[test]
    fn a_message_shows_neither_text_nor_number() {
        let inbox = SmsInbox::new();
        let to = number("+33612345678");
        inbox.put("m1", &to, "secret", 1);
        let shown = format!("{:?}", inbox.list(&to, 0));
        assert!(
            !shown.contains("secret") && !shown.contains("612345"),
            "{shown}"
        );
    }
}
