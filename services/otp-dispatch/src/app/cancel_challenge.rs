//! Ending a challenge unused: the person left the page, or signed out.

use super::binding::BoundTo;
use super::{Otp, OtpError};

impl Otp {
    /// Ends a challenge; its waiting messages are suppressed. Unknown ones are no error.
    #[tracing::instrument(skip_all)]
    pub async fn cancel_challenge(
        &self,
        challenge_id: &str,
        bound_to: &BoundTo,
    ) -> Result<(), OtpError> {
        let binding = bound_to.binding(&self.keys.lookup);
        Ok(self
            .challenges
            .cancel(challenge_id, &binding, self.clock.now_ms())
            .await?)
    }
}
