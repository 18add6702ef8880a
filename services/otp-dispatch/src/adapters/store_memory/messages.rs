//! The port for messages.

use std::time::Duration;

use async_trait::async_trait;

use super::{Inner, MemoryStore, Message, Stage};
use crate::domain::challenge::Phase;
use crate::domain::message::{MessageState, QueueMessage};
use crate::domain::retention::{self, ms};
use crate::ports::{Accepted, Claim, MessageStore, ReceiptState, Settle, StoreError};

#[async_trait]
impl MessageStore for MemoryStore {
    async fn accept_notice(
        &self,
        key: &str,
        body_hash: &str,
        message: &QueueMessage,
        now: i64,
    ) -> Result<Accepted, StoreError> {
        let mut inner = self.lock();
        inner.sweep(now);
        if let Some(known) = inner.keys.get(key).filter(|known| now < known.until) {
            if known.body_hash != body_hash {
                return Ok(Accepted::Conflict);
            }
            let message = inner.messages.get(&known.message_id);
            return Ok(Accepted::Repeated {
                message_id: known.message_id.clone(),
                unconfirmed: message.and_then(Message::unconfirmed),
            });
        }
        inner
            .messages
            .insert(message.message_id.clone(), Message::new(message, now));
        inner.remember(key, body_hash, message, now);
        Ok(Accepted::New)
    }

    async fn queued(&self, message_id: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if let Some(message) = inner.messages.get_mut(message_id)
            && matches!(message.stage, Stage::Accepting(..))
        {
            message.stage = Stage::Queued;
        }
        Ok(())
    }

    async fn unconfirmed(
        &self,
        now: i64,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<QueueMessage>, StoreError> {
        let mut inner = self.lock();
        let mut due: Vec<(i64, &String, &mut Message)> = inner
            .messages
            .iter_mut()
            .filter_map(|(id, message)| match message.stage {
                Stage::Accepting(_, since) if since <= now - ms(older_than) => {
                    Some((since, id, message))
                }
                _ => None,
            })
            .collect();
        due.sort_by(|(since, id, _), (other, other_id, _)| (since, id).cmp(&(other, other_id)));
        let mut handed = Vec::new();
        for (_, _, message) in due.into_iter().take(limit) {
            if message.deadline_at <= now {
                message.stage = Stage::Settled(MessageState::Expired);
            } else if let Stage::Accepting(body, since) = &mut message.stage {
                *since = now;
                handed.push(QueueMessage::clone(body));
            }
        }
        Ok(handed)
    }

    async fn claim(
        &self,
        message: &QueueMessage,
        lease: Duration,
        now: i64,
    ) -> Result<Claim, StoreError> {
        let mut inner = self.lock();
        let Inner {
            messages,
            challenges,
            ..
        } = &mut *inner;
        let Some(stored) = messages.get_mut(&message.message_id) else {
            return Ok(Claim::StateLost);
        };
        match &mut stored.stage {
            Stage::Settled(state) => return Ok(Claim::Settled(state.clone())),
            Stage::Held { until, .. } if *until > now => return Ok(Claim::Held),
            Stage::Held {
                until,
                writing: Some(route),
            } => {
                *until = now + ms(lease);
                stored.fence += 1;
                return Ok(Claim::Doubt {
                    fence: stored.fence,
                    route: route.clone(),
                });
            }
            Stage::Accepting(..) | Stage::Queued | Stage::Held { writing: None, .. } => {}
        }
        let challenge = stored.challenge_id.as_ref().map(|id| challenges.get(id));
        let dead = match challenge {
            _ if stored.deadline_at <= now => Some(Claim::Expired),
            // The store has lost it: nobody can answer this code any more.
            Some(None) => Some(Claim::Expired),
            Some(Some(challenge)) => match challenge.phase(now) {
                Phase::Live => None,
                Phase::Expired => Some(Claim::Expired),
                Phase::Used | Phase::Cancelled | Phase::OutOfTries => Some(Claim::Suppressed),
            },
            None => None,
        };
        if let Some(claim) = dead {
            let state = match claim {
                Claim::Suppressed => MessageState::Suppressed,
                _ => MessageState::Expired,
            };
            stored.stage = Stage::Settled(state);
            return Ok(claim);
        }
        stored.stage = Stage::Held {
            until: now + ms(lease),
            writing: None,
        };
        stored.fence += 1;
        Ok(Claim::Send {
            fence: stored.fence,
        })
    }

    async fn settle(
        &self,
        message_id: &str,
        fence: u64,
        settle: Settle,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let Inner {
            messages,
            carried,
            parked,
            ..
        } = &mut *inner;
        let Some(message) = messages.get_mut(message_id).filter(|m| m.fence == fence) else {
            return Ok(false);
        };
        let Stage::Held { writing, .. } = &mut message.stage else {
            return Ok(false);
        };
        match settle {
            Settle::Writing { route } => *writing = Some(route),
            Settle::Accepted { route, carrier_id } => {
                message.stage = Stage::Settled(MessageState::Submitted);
                if !carrier_id.is_empty() {
                    let place = (route, carrier_id);
                    if let Some((receipt, until)) = parked.remove(&place)
                        && now < until
                    {
                        message.apply(receipt);
                    }
                    let until = message.deadline_at + ms(retention::MESSAGE);
                    carried.insert(place, (message_id.to_owned(), until));
                }
            }
            Settle::Unknown { .. } => {
                message.stage = Stage::Settled(MessageState::OutcomeUnknown);
            }
            Settle::Failed { reason } => {
                message.stage = Stage::Settled(MessageState::Failed(reason));
            }
            Settle::Released => message.stage = Stage::Queued,
        }
        Ok(true)
    }

    async fn receipt(
        &self,
        route: &str,
        carrier_id: &str,
        state: ReceiptState,
        now: i64,
    ) -> Result<(), StoreError> {
        if carrier_id.is_empty() || state == ReceiptState::Intermediate {
            return Ok(());
        }
        let mut inner = self.lock();
        inner.sweep(now);
        let Inner {
            messages,
            carried,
            parked,
            ..
        } = &mut *inner;
        let place = (route.to_owned(), carrier_id.to_owned());
        if let Some((message_id, _)) = carried.get(&place) {
            if let Some(message) = messages.get_mut(message_id) {
                message.apply(state);
            }
            return Ok(());
        }
        let waiting = parked.get(&place).filter(|(_, until)| now < *until);
        if !matches!(waiting, Some((ReceiptState::Delivered, _))) {
            parked.insert(place, (state, now + ms(retention::PARKED_RECEIPT)));
        }
        Ok(())
    }
}
