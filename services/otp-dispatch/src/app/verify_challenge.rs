//! Deciding one attempt at a code.

use super::binding::BoundTo;
use super::{Otp, OtpError};
use crate::domain::challenge::{Attempt, Verdict};
use crate::domain::code::{Code, code};

/// An attempt.
#[derive(Debug)]
pub struct VerifyChallenge {
    /// The challenge.
    pub challenge_id: String,
    /// What it is bound to.
    pub bound_to: BoundTo,
    /// What was typed: six digits.
    pub typed: String,
    /// Made by the caller for this attempt.
    pub request_id: String,
}

impl Otp {
    /// Decides an attempt. The right code is computed here and compared in constant time; the store
    /// decides the rest in one step.
    #[tracing::instrument(skip_all, fields(purpose = request.bound_to.purpose.name()))]
    pub async fn verify_challenge(&self, request: VerifyChallenge) -> Result<Verdict, OtpError> {
        let VerifyChallenge {
            challenge_id,
            bound_to,
            ..
        } = &request;
        let typed = Code::parse(&request.typed).ok_or(OtpError::CodeFormat)?;
        let (purpose, number) = (bound_to.purpose, &bound_to.number);
        let verdict = match code(&self.keys.code, challenge_id, purpose, number) {
            None => Verdict::NotFound,
            Some(code) => {
                // Made for a right code alone. Its time may tell that apart, as the answer does; where
                // the answer does not, the challenge is over and its code worth nothing.
                let proof = code.matches(&typed).then(|| self.proof(number));
                let places = proof.as_ref().map(|proof| proof.places.clone());
                let now = self.clock.now_ms();
                let attempt = Attempt {
                    id: challenge_id.clone(),
                    binding: bound_to.binding(&self.keys.lookup),
                    request_id: request.request_id,
                    proof,
                    now,
                };
                let verdict = self.challenges.verify(attempt).await?;
                if let (Verdict::Right, Some(places)) = (verdict, places) {
                    self.guard.proved(places, now);
                }
                verdict
            }
        };
        let word = match verdict {
            Verdict::Right => "right",
            Verdict::Wrong { .. } => "wrong",
            Verdict::Expired => "expired",
            Verdict::Used => "used",
            Verdict::Ended => "ended",
            Verdict::NotFound => "not_found",
        };
        metrics::counter!(
            "otp_attempts_total", "purpose" => purpose.name(), "verdict" => word
        )
        .increment(1);
        Ok(verdict)
    }
}
