//! The port for challenges.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Challenge, Known, MemoryStore, Message};
use crate::domain::challenge::{
    Attempt, Binding, ChallengeView, CreateOutcome, NewChallenge, Phase, Resend, ResendOutcome,
    Verdict,
};
use crate::ports::{ChallengeStore, StoreError};

#[async_trait]
impl ChallengeStore for MemoryStore {
    async fn create(&self, new: NewChallenge) -> Result<CreateOutcome, StoreError> {
        let mut inner = self.lock();
        inner.sweep(new.now);
        let NewChallenge {
            idempotency,
            message,
            now,
            ..
        } = &new;
        match inner.repeated(&idempotency.key, &idempotency.body_hash, *now) {
            Some(Known::Repeated(repeated)) => return Ok(CreateOutcome::Repeated(*repeated)),
            Some(Known::Conflict) => return Ok(CreateOutcome::Conflict),
            Some(Known::Ended) => return Ok(CreateOutcome::Ended),
            None => {}
        }
        if let Some(full) = inner.full(&new.counted, *now) {
            return Ok(CreateOutcome::Refused(full));
        }
        let (decision, watched) = match inner.watch(new.guard.as_ref(), message, *now) {
            Ok(watched) => watched,
            Err(blocked) => return Ok(CreateOutcome::Guarded(blocked)),
        };
        let refunds = inner.count(&new.counted, &message.message_id, *now);
        let binding = new
            .binding
            .hashes
            .first()
            .ok_or(StoreError::Corrupt("no binding"))?;
        let challenge = Challenge {
            binding: binding.clone(),
            reference: new.reference.clone(),
            expires_at: new.expires_at,
            sent_at: *now,
            resend_at: new.resend_at,
            sends_left: new.sends_left,
            tries_left: new.tries,
            used: false,
            cancelled: false,
            newest: message.message_id.clone(),
            answers: BTreeMap::new(),
            refunds,
            watched,
        };
        inner.challenges.insert(new.id.clone(), challenge);
        inner
            .messages
            .insert(message.message_id.clone(), Message::new(message, *now));
        inner.remember(&idempotency.key, &idempotency.body_hash, message, *now);
        inner
            .view(&new.id, None, *now)
            .map(|view| CreateOutcome::Created(view, decision))
            .ok_or(StoreError::Corrupt("no challenge"))
    }

    async fn verify(&self, attempt: Attempt) -> Result<Verdict, StoreError> {
        let mut inner = self.lock();
        let Some(challenge) = inner
            .challenges
            .get_mut(&attempt.id)
            .filter(|challenge| challenge.is_bound_to(&attempt.binding))
        else {
            return Ok(Verdict::NotFound);
        };
        if let Some(answer) = challenge.answers.get(&attempt.request_id) {
            return Ok(*answer);
        }
        if challenge.cancelled || challenge.tries_left == 0 {
            return Ok(Verdict::Ended);
        }
        let verdict = if attempt.proof.is_none() {
            challenge.tries_left -= 1;
            Verdict::Wrong {
                tries_left: challenge.tries_left,
            }
        } else if challenge.used {
            Verdict::Used
        } else if attempt.now >= challenge.expires_at {
            Verdict::Expired
        } else {
            challenge.used = true;
            Verdict::Right
        };
        challenge.answers.insert(attempt.request_id, verdict);
        if verdict == Verdict::Right {
            let refunds = std::mem::take(&mut challenge.refunds);
            let watched = std::mem::take(&mut challenge.watched);
            for (place, message_id) in refunds {
                if let Some(sends) = inner.sends.get_mut(&place) {
                    sends.retain(|send| send.message_id != message_id);
                }
            }
            for (place, message_id) in watched {
                inner.guard.take_off(&place, &message_id);
            }
            if let Some(proof) = &attempt.proof {
                inner.guard.prove(proof, attempt.now);
            }
        }
        Ok(verdict)
    }

    async fn resend(&self, resend: Resend) -> Result<ResendOutcome, StoreError> {
        let mut inner = self.lock();
        let Resend {
            idempotency, now, ..
        } = &resend;
        let Some(challenge) = inner
            .challenges
            .get(&resend.id)
            .filter(|challenge| challenge.is_bound_to(&resend.binding))
        else {
            return Ok(ResendOutcome::NotFound);
        };
        match inner.repeated(&idempotency.key, &idempotency.body_hash, *now) {
            Some(Known::Repeated(repeated)) => return Ok(ResendOutcome::Repeated(*repeated)),
            Some(Known::Conflict) => return Ok(ResendOutcome::Conflict),
            Some(Known::Ended) => return Ok(ResendOutcome::Ended),
            None => {}
        }
        if challenge.phase(*now) != Phase::Live {
            return Ok(ResendOutcome::Ended);
        }
        if challenge.sends_left == 0 {
            return Ok(ResendOutcome::NoSendsLeft);
        }
        let opens_at = inner.opens_at(challenge);
        if *now < opens_at {
            return Ok(ResendOutcome::TooEarly(opens_at));
        }
        if let Some(full) = inner.full(&resend.counted, *now) {
            return Ok(ResendOutcome::Refused(full));
        }
        let (decision, watched) = match inner.watch(resend.guard.as_ref(), &resend.message, *now) {
            Ok(watched) => watched,
            Err(blocked) => return Ok(ResendOutcome::Guarded(blocked)),
        };
        let refunds = inner.count(&resend.counted, &resend.message.message_id, *now);
        let mut message = resend.message.clone();
        if let Some(challenge) = inner.challenges.get_mut(&resend.id) {
            challenge.sends_left -= 1;
            challenge.sent_at = *now;
            challenge.resend_at = resend.resend_at;
            challenge.newest = message.message_id.clone();
            challenge.refunds.extend(refunds);
            challenge.watched.extend(watched);
            message.deadline_at = message.deadline_at.min(challenge.expires_at);
        }
        inner
            .messages
            .insert(message.message_id.clone(), Message::new(&message, *now));
        inner.remember(&idempotency.key, &idempotency.body_hash, &message, *now);
        inner
            .view(&resend.id, None, *now)
            .map(|view| ResendOutcome::Accepted(view, message, decision))
            .ok_or(StoreError::Corrupt("no challenge"))
    }

    async fn cancel(&self, id: &str, binding: &Binding, _now: i64) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if let Some(challenge) = inner.challenges.get_mut(id)
            && challenge.is_bound_to(binding)
            && !challenge.used
        {
            challenge.cancelled = true;
        }
        Ok(())
    }

    async fn read(
        &self,
        id: &str,
        binding: &Binding,
        now: i64,
    ) -> Result<Option<ChallengeView>, StoreError> {
        let inner = self.lock();
        let bound = inner
            .challenges
            .get(id)
            .is_some_and(|c| c.is_bound_to(binding));
        Ok(bound.then(|| inner.view(id, None, now)).flatten())
    }
}
