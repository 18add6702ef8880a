//! Watching a challenge: its reader hears of every change until it ends (rule 24).

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::time::{Interval, MissedTickBehavior};

use super::binding::BoundTo;
use super::{Otp, OtpError};
use crate::domain::challenge::{ChallengeView, Phase};

/// How often the store is asked.
const LOOK: Duration = Duration::from_millis(500);

struct Watching {
    otp: Arc<Otp>,
    challenge_id: String,
    bound_to: BoundTo,
    ticks: Interval,
    seen: Option<ChallengeView>,
    /// Given back when the reader leaves.
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Otp {
    /// The challenge at once, and again at each change. Ends with the challenge, or when the process
    /// stops; a trouble of the store ends it as an error.
    pub async fn watch_challenge(
        self: Arc<Self>,
        challenge_id: String,
        bound_to: BoundTo,
    ) -> Result<impl Stream<Item = Result<ChallengeView, OtpError>> + Send + 'static, OtpError>
    {
        let place = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| OtpError::TooManyWatchers)?;
        // What does not exist is an answer to the call, not to the first look.
        self.read_challenge(&challenge_id, &bound_to).await?;
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watching = Watching {
            otp: self,
            challenge_id,
            bound_to,
            ticks,
            seen: None,
            _place: place,
        };
        Ok(stream::unfold(Some(watching), |watching| async {
            let mut watching = watching?;
            match watching.next_change().await? {
                Ok(view) if view.phase == Phase::Live => {
                    watching.seen = Some(view.clone());
                    Some((Ok(view), Some(watching)))
                }
                // The last word: the challenge has ended, or the store is away.
                last => Some((last, None)),
            }
        }))
    }
}

impl Watching {
    /// `None` when the process stops.
    async fn next_change(&mut self) -> Option<Result<ChallengeView, OtpError>> {
        loop {
            tokio::select! {
                () = self.otp.stop.cancelled() => return None,
                _ = self.ticks.tick() => {}
            }
            match self
                .otp
                .read_challenge(&self.challenge_id, &self.bound_to)
                .await
            {
                Ok(view) if self.seen.as_ref() == Some(&view) => {}
                changed => return Some(changed),
            }
        }
    }
}
