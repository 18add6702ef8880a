//! Challenges and messages in this process's memory: for the all-in-one in development. One lock
//! makes every operation atomic, and what it decides, it decides as the scripts of `store_redis` do:
//! one contract suite holds both.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::challenge::{Binding, ChallengeView, Phase, Repeated, Verdict};
use crate::domain::guard::ledger::Ledger;
use crate::domain::limits::{Counted, DAY_MS, Full, full_until, later};
use crate::domain::message::{MessageState, QueueMessage};
use crate::domain::retention::{self, ms};
use crate::ports::ReceiptState;

mod challenges;
mod guard;
mod messages;

/// Both stores, in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Inner {
    challenges: HashMap<String, Challenge>,
    messages: HashMap<String, Message>,
    keys: HashMap<String, Key>,
    sends: HashMap<String, Vec<Send>>,
    guard: Ledger,
    /// Whether the guard was told its history.
    seeded: bool,
    /// Route and carrier id → message id.
    carried: HashMap<(String, String), (String, i64)>,
    parked: HashMap<(String, String), (ReceiptState, i64)>,
    /// When what has become too old is next thrown away.
    sweep_at: i64,
}

#[derive(Debug)]
struct Send {
    at: i64,
    message_id: String,
}

#[derive(Debug)]
struct Key {
    body_hash: String,
    challenge_id: Option<String>,
    message_id: String,
    until: i64,
}

#[derive(Debug)]
struct Challenge {
    binding: String,
    reference: String,
    expires_at: i64,
    /// When its newest message was accepted.
    sent_at: i64,
    resend_at: i64,
    sends_left: u32,
    tries_left: u32,
    used: bool,
    cancelled: bool,
    newest: String,
    answers: BTreeMap<String, Verdict>,
    /// Caps and sends to take off when the code is verified.
    refunds: Vec<(String, String)>,
    /// Places of the guard, and sends to take off there then.
    watched: Vec<(String, String)>,
}

impl Challenge {
    fn is_bound_to(&self, binding: &Binding) -> bool {
        binding.hashes.contains(&self.binding)
    }

    fn phase(&self, now: i64) -> Phase {
        if self.used {
            Phase::Used
        } else if self.cancelled {
            Phase::Cancelled
        } else if self.tries_left == 0 {
            Phase::OutOfTries
        } else if now >= self.expires_at {
            Phase::Expired
        } else {
            Phase::Live
        }
    }
}

#[derive(Debug)]
struct Message {
    challenge_id: Option<String>,
    deadline_at: i64,
    stage: Stage,
    fence: u64,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the queue's confirmation since then.
    Accepting(Box<QueueMessage>, i64),
    Queued,
    Held {
        until: i64,
        writing: Option<String>,
    },
    Settled(MessageState),
}

impl Message {
    fn new(message: &QueueMessage, now: i64) -> Self {
        Self {
            challenge_id: message.challenge_id.clone(),
            deadline_at: message.deadline_at,
            stage: Stage::Accepting(Box::new(message.clone()), now),
            fence: 0,
        }
    }

    fn state(&self) -> MessageState {
        match &self.stage {
            Stage::Settled(state) => state.clone(),
            _ => MessageState::Queued,
        }
    }

    fn unconfirmed(&self) -> Option<QueueMessage> {
        match &self.stage {
            Stage::Accepting(message, _) => Some(QueueMessage::clone(message)),
            _ => None,
        }
    }

    /// Delivered is the one thing that a carrier cannot take back, so it wins over a failure in
    /// whichever order the two arrive.
    fn apply(&mut self, receipt: ReceiptState) {
        let Stage::Settled(state) = &mut self.stage else {
            return;
        };
        match receipt {
            ReceiptState::Delivered => *state = MessageState::Delivered,
            ReceiptState::Failed(reason) if *state == MessageState::Submitted => {
                *state = MessageState::Failed(reason);
            }
            ReceiptState::Failed(_) | ReceiptState::Intermediate => {}
        }
    }
}

impl Inner {
    /// Throws away what has become too old, now and then.
    fn sweep(&mut self, now: i64) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + 60_000;
        self.challenges
            .retain(|_, c| now < c.expires_at + ms(retention::CHALLENGE));
        self.messages
            .retain(|_, m| now < m.deadline_at + ms(retention::MESSAGE));
        self.keys.retain(|_, k| now < k.until);
        self.carried.retain(|_, (_, until)| now < *until);
        self.parked.retain(|_, (_, until)| now < *until);
        self.guard.sweep(now);
        self.sends.retain(|_, sends| {
            sends.retain(|send| send.at > now - DAY_MS);
            !sends.is_empty()
        });
    }

    fn full(&self, counted: &[Counted], now: i64) -> Option<Full> {
        counted.iter().fold(None, |worst, cap| {
            let sends: Vec<i64> = cap
                .keys
                .iter()
                .filter_map(|key| self.sends.get(&place(cap, key)))
                .flatten()
                .map(|send| send.at)
                .collect();
            let full = full_until(&sends, cap.cap, now).map(|retry_at| Full {
                scope: cap.scope,
                retry_at,
            });
            later(worst, full)
        })
    }

    /// Counts a send; answers with what to take off again when the code is verified.
    fn count(&mut self, counted: &[Counted], message_id: &str, now: i64) -> Vec<(String, String)> {
        let mut refunds = Vec::new();
        for cap in counted {
            let Some(key) = cap.keys.first() else {
                continue;
            };
            let place = place(cap, key);
            let message_id = message_id.to_owned();
            if cap.scope.refunded() {
                refunds.push((place.clone(), message_id.clone()));
            }
            self.sends.entry(place).or_default().push(Send {
                at: now,
                message_id,
            });
        }
        refunds
    }

    /// When the challenge may be sent again. What is known not to have arrived, or may not have, is
    /// not waited for (rule 28): then it is the instant at which it was last sent.
    fn opens_at(&self, challenge: &Challenge) -> i64 {
        match self.messages.get(&challenge.newest).map(Message::state) {
            Some(MessageState::Failed(_) | MessageState::OutcomeUnknown) => challenge.sent_at,
            _ => challenge.resend_at,
        }
    }

    fn view(&self, id: &str, message_id: Option<&str>, now: i64) -> Option<ChallengeView> {
        let challenge = self.challenges.get(id)?;
        let message_id = message_id.unwrap_or(&challenge.newest);
        Some(ChallengeView {
            id: id.to_owned(),
            message_id: message_id.to_owned(),
            reference: challenge.reference.clone(),
            expires_at: challenge.expires_at,
            resend_at: self.opens_at(challenge),
            sends_left: challenge.sends_left,
            tries_left: challenge.tries_left,
            message_state: self
                .messages
                .get(message_id)
                .map_or(MessageState::Expired, Message::state),
            phase: challenge.phase(now),
        })
    }

    /// What a known key made, while its challenge is still there.
    fn repeated(&self, key: &str, body_hash: &str, now: i64) -> Option<Known> {
        let known = self.keys.get(key).filter(|known| now < known.until)?;
        let view = self.view(known.challenge_id.as_deref()?, Some(&known.message_id), now)?;
        if known.body_hash != body_hash {
            return Some(Known::Conflict);
        }
        // No answer: whoever took it for the one to answer would give up a live one for it.
        if view.phase != Phase::Live {
            return Some(Known::Ended);
        }
        let message = self.messages.get(&known.message_id);
        let unconfirmed = message.and_then(Message::unconfirmed);
        Some(Known::Repeated(Box::new(Repeated { view, unconfirmed })))
    }

    fn remember(&mut self, key: &str, body_hash: &str, message: &QueueMessage, now: i64) {
        self.keys.insert(
            key.to_owned(),
            Key {
                body_hash: body_hash.to_owned(),
                challenge_id: message.challenge_id.clone(),
                message_id: message.message_id.clone(),
                until: now + ms(retention::IDEMPOTENCY),
            },
        );
    }
}

/// What a known key says to its request.
enum Known {
    Repeated(Box<Repeated>),
    Conflict,
    Ended,
}

fn place(cap: &Counted, key: &str) -> String {
    format!("{}:{key}", cap.scope.name())
}
