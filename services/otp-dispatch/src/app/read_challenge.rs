//! Reading a challenge with its newest message.

use super::binding::BoundTo;
use super::{Otp, OtpError};
use crate::domain::challenge::ChallengeView;

impl Otp {
    /// The challenge as it stands.
    #[tracing::instrument(skip_all)]
    pub async fn read_challenge(
        &self,
        challenge_id: &str,
        bound_to: &BoundTo,
    ) -> Result<ChallengeView, OtpError> {
        let binding = bound_to.binding(&self.keys.lookup);
        self.challenges
            .read(challenge_id, &binding, self.clock.now_ms())
            .await?
            .ok_or(OtpError::NotFound)
    }
}
