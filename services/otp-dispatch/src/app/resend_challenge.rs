//! Sending a challenge's code again: the same code and reference under a new message.

use sallyport_chassis::IdempotencyKey;

use super::binding::{BoundTo, Counting, challenge_idempotency, counted};
use super::create_challenge::refused;
use super::{Otp, OtpError, seconds_ms, until};
use crate::domain::challenge::{ChallengeView, Resend, ResendOutcome};

/// A request to send again.
#[derive(Debug)]
pub struct ResendChallenge {
    /// The challenge.
    pub challenge_id: String,
    /// What it is bound to.
    pub bound_to: BoundTo,
    /// The caller's key.
    pub idempotency_key: IdempotencyKey,
    /// BCP 47.
    pub locale: String,
    /// How the send is counted.
    pub counting: Counting,
}

impl Otp {
    /// Sends a live challenge's code again.
    #[tracing::instrument(skip_all, fields(purpose = request.bound_to.purpose.name()))]
    pub async fn resend_challenge(
        &self,
        request: ResendChallenge,
    ) -> Result<ChallengeView, OtpError> {
        let ResendChallenge {
            challenge_id,
            bound_to,
            counting,
            ..
        } = &request;
        self.check_sendable(&bound_to.number, *counting)?;
        let now = self.clock.now_ms();
        let message = self.code_message(challenge_id, bound_to, &request.locale, now)?;
        let resend = Resend {
            id: challenge_id.clone(),
            binding: bound_to.binding(&self.keys.lookup),
            idempotency: challenge_idempotency(
                &self.keys.lookup,
                "resend",
                request.idempotency_key.as_str(),
                bound_to,
                &[
                    challenge_id.as_bytes(),
                    request.locale.as_bytes(),
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
            now,
            resend_at: now + seconds_ms(self.settings.resend_seconds),
            message,
        };
        match self.challenges.resend(resend).await? {
            ResendOutcome::Accepted(view, message, decision) => {
                if let Some(decision) = decision {
                    self.decided(bound_to, decision, now);
                }
                let purpose = bound_to.purpose.name();
                metrics::counter!("otp_challenges_resent_total", "purpose" => purpose).increment(1);
                self.publish(&message).await?;
                Ok(view)
            }
            ResendOutcome::Repeated(repeated) => {
                if let Some(message) = repeated.unconfirmed {
                    self.publish(&message).await?;
                }
                Ok(repeated.view)
            }
            ResendOutcome::Conflict => Err(OtpError::IdempotencyConflict),
            ResendOutcome::NotFound => Err(OtpError::NotFound),
            ResendOutcome::Ended => Err(OtpError::Ended),
            ResendOutcome::NoSendsLeft => Err(OtpError::NoSendsLeft),
            ResendOutcome::TooEarly(at) => Err(OtpError::ResendTooEarly {
                retry_after: until(at, now),
            }),
            ResendOutcome::Refused(full) => Err(refused(full, bound_to.purpose, *counting, now)),
            ResendOutcome::Guarded(decision) => Err(self.guarded(bound_to, decision, now)),
        }
    }
}
