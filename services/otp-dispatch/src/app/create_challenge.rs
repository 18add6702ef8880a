//! Creating a challenge: validate, count, watch, store, publish.

use std::net::IpAddr;

use sallyport_chassis::IdempotencyKey;
use sallyport_chassis::keyring::random_id;
use sallyport_phone::PhoneNumber;

use super::binding::{BoundTo, Counting, challenge_idempotency, counted};
use super::publish::Content;
use super::{Otp, OtpError, seconds_ms, until};
use crate::domain::challenge::{ChallengeView, CreateOutcome, NewChallenge, Purpose};
use crate::domain::code::{challenge_id, code, reference};
use crate::domain::limits::Full;
use crate::domain::message::{Class, QueueMessage};

/// A request for a code.
#[derive(Debug)]
pub struct CreateChallenge {
    /// What the code will be bound to.
    pub bound_to: BoundTo,
    /// The caller's key.
    pub idempotency_key: IdempotencyKey,
    /// BCP 47.
    pub locale: String,
    /// The user's organisation.
    pub organisation_id: String,
    /// How the send is counted.
    pub counting: Counting,
}

impl Otp {
    /// Creates a challenge and publishes its message. The same key and body give the same challenge
    /// and one message, however often; once that challenge is over, they are refused.
    #[tracing::instrument(skip_all, fields(purpose = request.bound_to.purpose.name()))]
    pub async fn create_challenge(
        &self,
        request: CreateChallenge,
    ) -> Result<ChallengeView, OtpError> {
        let CreateChallenge {
            bound_to, counting, ..
        } = &request;
        self.check_sendable(&bound_to.number, *counting)?;
        let now = self.clock.now_ms();
        let id = challenge_id(&self.keys.code, &random_id());
        let message = self.code_message(&id, bound_to, &request.locale, now)?;
        let new = NewChallenge {
            binding: bound_to.binding(&self.keys.lookup),
            reference: reference(&self.keys.code, &id).ok_or(OtpError::NotFound)?,
            now,
            expires_at: message.deadline_at,
            resend_at: now + seconds_ms(self.settings.resend_seconds),
            tries: self.settings.tries,
            sends_left: self.settings.sends - 1,
            idempotency: challenge_idempotency(
                &self.keys.lookup,
                "create",
                request.idempotency_key.as_str(),
                bound_to,
                &[
                    request.locale.as_bytes(),
                    request.organisation_id.as_bytes(),
                    &[u8::from(matches!(counting, Counting::Trusted))],
                ],
            ),
            counted: counted(
                &self.keys.lookup,
                &self.settings.limits,
                bound_to,
                *counting,
            ),
            guard: self.watch(bound_to, *counting),
            message: message.clone(),
            id,
        };
        let purpose = bound_to.purpose.name();
        match self.challenges.create(new).await? {
            CreateOutcome::Created(view, decision) => {
                if let Some(decision) = decision {
                    self.decided(bound_to, decision, now);
                }
                metrics::counter!("otp_challenges_created_total", "purpose" => purpose)
                    .increment(1);
                self.publish(&message).await?;
                Ok(view)
            }
            CreateOutcome::Repeated(repeated) => {
                if let Some(message) = repeated.unconfirmed {
                    self.publish(&message).await?;
                }
                Ok(repeated.view)
            }
            CreateOutcome::Conflict => Err(OtpError::IdempotencyConflict),
            CreateOutcome::Ended => Err(OtpError::Ended),
            CreateOutcome::Refused(full) => Err(refused(full, bound_to.purpose, *counting, now)),
            CreateOutcome::Guarded(decision) => Err(self.guarded(bound_to, decision, now)),
        }
    }

    /// A number that a person has just typed passes every rule; one that was confirmed before only
    /// has to be served still, since number plans change.
    pub(super) fn check_sendable(
        &self,
        number: &PhoneNumber,
        counting: Counting,
    ) -> Result<(), OtpError> {
        match counting {
            Counting::Trusted => {}
            Counting::Untrusted { .. } => {
                sallyport_phone::parse(number.e164(), None)?;
            }
        }
        Ok(self.served.check(number)?)
    }

    /// A new message with the challenge's code, good for a code's whole life.
    pub(super) fn code_message(
        &self,
        challenge_id: &str,
        bound_to: &BoundTo,
        locale: &str,
        now: i64,
    ) -> Result<QueueMessage, OtpError> {
        let ring = &self.keys.code;
        let (purpose, number) = (bound_to.purpose, &bound_to.number);
        let code = code(ring, challenge_id, purpose, number).ok_or(OtpError::NotFound)?;
        let reference = reference(ring, challenge_id).ok_or(OtpError::NotFound)?;
        Ok(self.seal(Content {
            challenge_id: Some(challenge_id),
            class: Class::Code,
            accepted_at: now,
            deadline_at: now + seconds_ms(self.settings.challenge_seconds),
            number,
            text: &self.templates.code(locale, purpose, &reference, &code),
        }))
    }
}

/// The refusal by a full cap. A person who signs in with a confirmed factor is told of the quota,
/// since other ways in stay open (rule 21).
pub(super) fn refused(full: Full, purpose: Purpose, counting: Counting, now: i64) -> OtpError {
    metrics::counter!("otp_sends_refused_total", "cap" => full.scope.name()).increment(1);
    tracing::info!(cap = full.scope.name(), "a cap is full");
    let signing_in = matches!(purpose, Purpose::SignIn | Purpose::StepUp);
    OtpError::Full {
        scope: full.scope,
        quota: signing_in && matches!(counting, Counting::Trusted),
        retry_after: until(full.retry_at, now),
    }
}

/// How a send is counted, from the words of the wire.
pub(crate) fn counting(trusted: bool, client_ip: &str) -> Result<Counting, OtpError> {
    if trusted {
        return Ok(Counting::Trusted);
    }
    let reason = if client_ip.is_empty() {
        "field.required"
    } else {
        "field.malformed"
    };
    let client_ip: IpAddr = client_ip.parse().map_err(|_| OtpError::Field {
        field: "client_ip",
        reason,
    })?;
    Ok(Counting::Untrusted { client_ip })
}
