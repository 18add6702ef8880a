//! The port for messages: one script each.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    MessageInput, Nothing, Outcome, RedisStore, Stored, UNEXPECTED, idempotency_key, message_input,
};
use crate::domain::message::{MessageState, QueueMessage};
use crate::domain::retention::{self, ms};
use crate::ports::{Accepted, Claim, MessageStore, ReceiptState, Settle, StoreError};

#[async_trait]
impl MessageStore for RedisStore {
    async fn accept_notice(
        &self,
        key: &str,
        body_hash: &str,
        message: &QueueMessage,
        now: i64,
    ) -> Result<Accepted, StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            idempotency: String,
            body_hash: &'a str,
            message: MessageInput<'a>,
            keep_message: i64,
            keep_idempotency: i64,
        }
        let input = Input {
            now,
            idempotency: idempotency_key(key),
            body_hash,
            message: message_input(message)?,
            keep_message: ms(retention::MESSAGE),
            keep_idempotency: ms(retention::IDEMPOTENCY),
        };
        match self.run(&self.scripts.accept_notice, &input).await? {
            Outcome::New => Ok(Accepted::New),
            Outcome::Repeated {
                message_id,
                unconfirmed,
                ..
            } => Ok(Accepted::Repeated {
                message_id,
                unconfirmed: unconfirmed.map(Stored::open).transpose()?,
            }),
            Outcome::Conflict => Ok(Accepted::Conflict),
            Outcome::Created { .. }
            | Outcome::Accepted { .. }
            | Outcome::Refused { .. }
            | Outcome::Guarded { .. }
            | Outcome::NotFound
            | Outcome::Ended
            | Outcome::NoSendsLeft
            | Outcome::TooEarly { .. } => Err(UNEXPECTED),
        }
    }

    async fn queued(&self, message_id: &str) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            id: &'a str,
        }
        let input = Input { id: message_id };
        self.run::<Nothing>(&self.scripts.queued, &input)
            .await
            .map(|_| ())
    }

    async fn unconfirmed(
        &self,
        now: i64,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<QueueMessage>, StoreError> {
        #[derive(Serialize)]
        struct Input {
            now: i64,
            older_than: i64,
            limit: usize,
        }
        let input = Input {
            now,
            older_than: ms(older_than),
            limit,
        };
        let stored: Vec<Stored> = self.run(&self.scripts.unconfirmed, &input).await?;
        stored.into_iter().map(Stored::open).collect()
    }

    async fn claim(
        &self,
        message: &QueueMessage,
        lease: Duration,
        now: i64,
    ) -> Result<Claim, StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            id: &'a str,
            lease: i64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case", tag = "claim")]
        enum Answer {
            Send { fence: u64 },
            Settled { state: MessageState },
            Expired,
            Suppressed,
            Held,
            Doubt { fence: u64, route: String },
            StateLost,
        }
        let input = Input {
            now,
            id: &message.message_id,
            lease: ms(lease),
        };
        Ok(match self.run(&self.scripts.claim, &input).await? {
            Answer::Send { fence } => Claim::Send { fence },
            Answer::Settled { state } => Claim::Settled(state),
            Answer::Expired => Claim::Expired,
            Answer::Suppressed => Claim::Suppressed,
            Answer::Held => Claim::Held,
            Answer::Doubt { fence, route } => Claim::Doubt { fence, route },
            Answer::StateLost => Claim::StateLost,
        })
    }

    async fn settle(
        &self,
        message_id: &str,
        fence: u64,
        settle: Settle,
        now: i64,
    ) -> Result<bool, StoreError> {
        #[derive(Serialize, Default)]
        struct Input<'a> {
            now: i64,
            id: &'a str,
            fence: u64,
            settle: &'static str,
            route: String,
            carrier_id: String,
            reason: String,
            keep_message: i64,
        }
        #[derive(Deserialize)]
        struct Answer {
            recorded: bool,
        }
        let mut input = Input {
            now,
            id: message_id,
            fence,
            keep_message: ms(retention::MESSAGE),
            ..Input::default()
        };
        match settle {
            Settle::Writing { route } => {
                input.settle = "writing";
                input.route = route;
            }
            Settle::Accepted { route, carrier_id } => {
                input.settle = "accepted";
                input.route = route;
                input.carrier_id = carrier_id;
            }
            Settle::Unknown { route } => {
                input.settle = "unknown";
                input.route = route;
            }
            Settle::Failed { reason } => {
                input.settle = "failed";
                input.reason = reason;
            }
            Settle::Released => input.settle = "released",
        }
        let answer: Answer = self.run(&self.scripts.settle, &input).await?;
        Ok(answer.recorded)
    }

    async fn receipt(
        &self,
        route: &str,
        carrier_id: &str,
        state: ReceiptState,
        now: i64,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            route: &'a str,
            carrier_id: &'a str,
            state: &'static str,
            reason: String,
            keep_parked: i64,
        }
        let (state, reason) = match state {
            _ if carrier_id.is_empty() => return Ok(()),
            ReceiptState::Intermediate => return Ok(()),
            ReceiptState::Delivered => ("delivered", String::new()),
            ReceiptState::Failed(reason) => ("failed", reason),
        };
        let input = Input {
            now,
            route,
            carrier_id,
            state,
            reason,
            keep_parked: ms(retention::PARKED_RECEIPT),
        };
        self.run::<Nothing>(&self.scripts.receipt, &input)
            .await
            .map(|_| ())
    }
}
