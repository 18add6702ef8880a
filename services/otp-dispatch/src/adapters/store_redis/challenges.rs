//! The port for challenges: one script each.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::guard::{ProofInput, WatchInput};
use super::{
    MessageInput, Nothing, Outcome, RedisStore, Stored, UNEXPECTED, idempotency_key, message_input,
};
use crate::domain::challenge::{
    Attempt, Binding, ChallengeView, CreateOutcome, NewChallenge, Repeated, Resend, ResendOutcome,
    Verdict,
};
use crate::domain::limits::{Counted, Full, Scope};
use crate::domain::message::QueueMessage;
use crate::domain::retention::{self, ms};
use crate::ports::{ChallengeStore, StoreError};

/// What a script's cap looks like; see `sends.lua`.
#[derive(Serialize)]
struct CapInput {
    scope: Scope,
    places: Vec<String>,
    per_hour: u32,
    per_day: u32,
    refunded: bool,
}

fn caps(counted: &[Counted]) -> Vec<CapInput> {
    counted
        .iter()
        .map(|cap| CapInput {
            scope: cap.scope,
            places: cap
                .keys
                .iter()
                .map(|key| format!("sp:l:{}:{key}", cap.scope.name()))
                .collect(),
            per_hour: cap.cap.per_hour,
            per_day: cap.cap.per_day,
            refunded: cap.scope.refunded(),
        })
        .collect()
}

fn repeated(
    view: Option<ChallengeView>,
    unconfirmed: Option<Stored>,
) -> Result<Repeated, StoreError> {
    Ok(Repeated {
        view: view.ok_or(StoreError::Corrupt(
            "a repeated answer without its challenge",
        ))?,
        unconfirmed: unconfirmed.map(Stored::open).transpose()?,
    })
}

#[derive(Serialize)]
struct Reading<'a> {
    now: i64,
    id: &'a str,
    binding: &'a [String],
}

#[async_trait]
impl ChallengeStore for RedisStore {
    async fn create(&self, new: NewChallenge) -> Result<CreateOutcome, StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            id: &'a str,
            binding: &'a [String],
            reference: &'a str,
            expires_at: i64,
            resend_at: i64,
            sends_left: u32,
            tries: u32,
            idempotency: String,
            body_hash: &'a str,
            counted: Vec<CapInput>,
            #[serde(skip_serializing_if = "Option::is_none")]
            guard: Option<WatchInput>,
            message: MessageInput<'a>,
            keep_challenge: i64,
            keep_message: i64,
            keep_idempotency: i64,
        }
        let input = Input {
            now: new.now,
            id: &new.id,
            binding: &new.binding.hashes,
            reference: &new.reference,
            expires_at: new.expires_at,
            resend_at: new.resend_at,
            sends_left: new.sends_left,
            tries: new.tries,
            idempotency: idempotency_key(&new.idempotency.key),
            body_hash: &new.idempotency.body_hash,
            counted: caps(&new.counted),
            guard: new.guard.as_ref().map(WatchInput::from),
            message: message_input(&new.message)?,
            keep_challenge: ms(retention::CHALLENGE),
            keep_message: ms(retention::MESSAGE),
            keep_idempotency: ms(retention::IDEMPOTENCY),
        };
        match self.run(&self.scripts.create, &input).await? {
            Outcome::Created { view, guard } => Ok(CreateOutcome::Created(view, guard)),
            Outcome::Repeated {
                view, unconfirmed, ..
            } => repeated(view, unconfirmed).map(CreateOutcome::Repeated),
            Outcome::Conflict => Ok(CreateOutcome::Conflict),
            Outcome::Refused { scope, retry_at } => {
                Ok(CreateOutcome::Refused(Full { scope, retry_at }))
            }
            Outcome::Guarded { guard } => Ok(CreateOutcome::Guarded(guard)),
            Outcome::Ended => Ok(CreateOutcome::Ended),
            Outcome::Accepted { .. }
            | Outcome::New
            | Outcome::NotFound
            | Outcome::NoSendsLeft
            | Outcome::TooEarly { .. } => Err(UNEXPECTED),
        }
    }

    async fn verify(&self, attempt: Attempt) -> Result<Verdict, StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            id: &'a str,
            binding: &'a [String],
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            proof: Option<ProofInput>,
        }
        let input = Input {
            now: attempt.now,
            id: &attempt.id,
            binding: &attempt.binding.hashes,
            request_id: &attempt.request_id,
            proof: attempt.proof.as_ref().map(ProofInput::from),
        };
        self.run(&self.scripts.verify, &input).await
    }

    async fn resend(&self, resend: Resend) -> Result<ResendOutcome, StoreError> {
        #[derive(Serialize)]
        struct Input<'a> {
            now: i64,
            id: &'a str,
            binding: &'a [String],
            resend_at: i64,
            idempotency: String,
            body_hash: &'a str,
            counted: Vec<CapInput>,
            #[serde(skip_serializing_if = "Option::is_none")]
            guard: Option<WatchInput>,
            message: MessageInput<'a>,
            keep_message: i64,
            keep_idempotency: i64,
        }
        let input = Input {
            now: resend.now,
            id: &resend.id,
            binding: &resend.binding.hashes,
            resend_at: resend.resend_at,
            idempotency: idempotency_key(&resend.idempotency.key),
            body_hash: &resend.idempotency.body_hash,
            counted: caps(&resend.counted),
            guard: resend.guard.as_ref().map(WatchInput::from),
            message: message_input(&resend.message)?,
            keep_message: ms(retention::MESSAGE),
            keep_idempotency: ms(retention::IDEMPOTENCY),
        };
        match self.run(&self.scripts.resend, &input).await? {
            Outcome::Accepted {
                view,
                deadline_at,
                guard,
            } => {
                let message = QueueMessage {
                    deadline_at,
                    ..resend.message
                };
                Ok(ResendOutcome::Accepted(view, message, guard))
            }
            Outcome::Repeated {
                view, unconfirmed, ..
            } => repeated(view, unconfirmed).map(ResendOutcome::Repeated),
            Outcome::Conflict => Ok(ResendOutcome::Conflict),
            Outcome::NotFound => Ok(ResendOutcome::NotFound),
            Outcome::Ended => Ok(ResendOutcome::Ended),
            Outcome::NoSendsLeft => Ok(ResendOutcome::NoSendsLeft),
            Outcome::TooEarly { at } => Ok(ResendOutcome::TooEarly(at)),
            Outcome::Refused { scope, retry_at } => {
                Ok(ResendOutcome::Refused(Full { scope, retry_at }))
            }
            Outcome::Guarded { guard } => Ok(ResendOutcome::Guarded(guard)),
            Outcome::Created { .. } | Outcome::New => Err(UNEXPECTED),
        }
    }

    async fn cancel(&self, id: &str, binding: &Binding, now: i64) -> Result<(), StoreError> {
        let input = Reading {
            now,
            id,
            binding: &binding.hashes,
        };
        self.run::<Nothing>(&self.scripts.cancel, &input)
            .await
            .map(|_| ())
    }

    async fn read(
        &self,
        id: &str,
        binding: &Binding,
        now: i64,
    ) -> Result<Option<ChallengeView>, StoreError> {
        #[derive(Deserialize)]
        struct Answer {
            view: Option<ChallengeView>,
        }
        let input = Reading {
            now,
            id,
            binding: &binding.hashes,
        };
        let answer: Answer = self.run(&self.scripts.read, &input).await?;
        Ok(answer.view)
    }
}
