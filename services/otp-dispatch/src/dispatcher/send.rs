//! Handing a claimed message to a carrier, and what follows from the answer.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::Dispatcher;
use super::deliver::Content;
use crate::domain::message::{Class, QueueMessage};
use crate::ports::{Claim, Settle, SmsRoute, StoreError, Submission};

/// A code in doubt is sent once more only if its reader has longer than this to type it.
const WORTH_RESENDING_MS: i64 = 15_000;
/// A message that so many routes refuse on their own account will not be taken by a third.
const MOST_REFUSALS: usize = 2;

/// What became of a claimed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its state is recorded: the delivery may be acknowledged.
    Recorded,
    /// Nothing was written anywhere: again later.
    Later,
    /// Nothing was written anywhere, and the claim is gone: to another dispatcher, or in a failover of
    /// the store, after which nobody else may know of the message.
    Lost,
}

/// A claim on a message.
#[derive(Debug)]
pub(super) struct Hold {
    /// `None`: the state is lost, so nothing can be recorded, and a notice is sent all the same.
    fence: Option<u64>,
}

impl Hold {
    pub(super) fn claimed(fence: u64) -> Self {
        Self { fence: Some(fence) }
    }

    pub(super) fn without_state() -> Self {
        Self { fence: None }
    }
}

/// Where a message is being written to, as the record names it: a route, or a route and behind a
/// `+` the one whose answer was in doubt before. So a death during the one resend is not followed by
/// another resend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    route: String,
    after: Option<String>,
}

impl Written {
    pub(super) fn parse(record: &str) -> Self {
        // Names of routes hold no `+`.
        match record.split_once('+') {
            Some((route, after)) => Self {
                route: route.into(),
                after: Some(after.into()),
            },
            None => Self {
                route: record.into(),
                after: None,
            },
        }
    }

    fn to_record(&self) -> String {
        match &self.after {
            Some(after) => format!("{}+{after}", self.route),
            None => self.route.clone(),
        }
    }
}

impl Dispatcher {
    /// Tries the routes in their order.
    pub(super) async fn send(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        content: &Content,
    ) -> Result<End, StoreError> {
        let mut may_work_later = false;
        let mut refusals = Vec::new();
        for route in &self.routes {
            let written = Written {
                route: route.name().to_owned(),
                after: None,
            };
            let Some(submission) = self
                .attempt(hold, message, content, route, &written)
                .await?
            else {
                return Ok(End::Lost);
            };
            match submission {
                Submission::NotWritten | Submission::Busy => may_work_later = true,
                Submission::RefusedByRoute { reason } => refusals.push(reason),
                Submission::Unanswered => {
                    return self
                        .after_doubt(hold, message, content, &written, "unanswered")
                        .await;
                }
                Submission::Accepted { carrier_id } => {
                    let route = written.route;
                    let accepted = Settle::Accepted { route, carrier_id };
                    return self.record(hold, message, accepted).await;
                }
                Submission::RefusedForGood { reason } => {
                    return self.record(hold, message, Settle::Failed { reason }).await;
                }
            }
            if refusals.len() == MOST_REFUSALS {
                break;
            }
        }
        match refusals.pop() {
            Some(reason) if !may_work_later || !refusals.is_empty() => {
                self.record(hold, message, Settle::Failed { reason }).await
            }
            _ => Ok(match self.settle(hold, message, Settle::Released).await? {
                true => End::Later,
                false => End::Lost,
            }),
        }
    }

    /// The message may have reached a carrier. A code is sent once more, on another route, if there
    /// is time to use it; a notice never is. `cause`: `unanswered`, or `died` with its holder.
    pub(super) async fn after_doubt(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        content: &Content,
        doubtful: &Written,
        cause: &'static str,
    ) -> Result<End, StoreError> {
        let class = message.class.name();
        metrics::counter!("sms_doubt_total", "class" => class, "cause" => cause).increment(1);
        tracing::warn!(
            route = doubtful.route,
            cause,
            "it is in doubt whether a carrier has it"
        );
        let mut renewed = None;
        let left = message.deadline_at.saturating_sub(self.clock.now_ms());
        let others = || {
            self.routes
                .iter()
                .filter(|route| route.name() != doubtful.route)
        };
        if message.class == Class::Code
            && left > WORTH_RESENDING_MS
            && doubtful.after.is_none()
            && others().next().is_some()
        {
            let Some(hold) = self.if_still_wanted(hold, message, doubtful).await? else {
                return Ok(End::Recorded);
            };
            let hold = renewed.insert(hold);
            for route in others() {
                let (name, after) = (route.name().to_owned(), Some(doubtful.route.clone()));
                let written = Written { route: name, after };
                match self
                    .attempt(hold, message, content, route, &written)
                    .await?
                {
                    Some(Submission::Accepted { carrier_id }) => {
                        let route = written.route;
                        let accepted = Settle::Accepted { route, carrier_id };
                        return self.record(hold, message, accepted).await;
                    }
                    Some(
                        Submission::NotWritten
                        | Submission::Busy
                        | Submission::RefusedByRoute { .. },
                    ) => {}
                    // The one resend is used up, or the claim is gone and the doubt is left.
                    Some(Submission::Unanswered | Submission::RefusedForGood { .. }) | None => {
                        break;
                    }
                }
            }
        }
        let settle = Settle::Unknown {
            route: doubtful.route.clone(),
        };
        let hold = renewed.as_ref().unwrap_or(hold);
        self.record(hold, message, settle).await
    }

    /// A new claim, if the code is still wanted: while its fate was in doubt the reader may have
    /// typed it. The store decides that with each claim, so the old one is released for it.
    async fn if_still_wanted(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        doubtful: &Written,
    ) -> Result<Option<Hold>, StoreError> {
        // Where it is not ours any more, the claim says whose it is.
        self.settle(hold, message, Settle::Released).await?;
        let Some(hold) = self.claim_anew(message).await? else {
            return Ok(None);
        };
        // Until it is written to another route, a death leaves the same doubt behind as before.
        let doubt = Settle::Writing {
            route: doubtful.to_record(),
        };
        Ok(self.settle(&hold, message, doubt).await?.then_some(hold))
    }

    /// A claim in place of one that is gone. `None`: another dispatcher has the message, or its end is
    /// recorded.
    async fn claim_anew(&self, message: &QueueMessage) -> Result<Option<Hold>, StoreError> {
        let claim = || self.store.claim(message, self.lease, self.clock.now_ms());
        Ok(match claim.retry(pauses()).await? {
            Claim::Send { fence } => Some(Hold::claimed(fence)),
            // Recorded as expired or suppressed, or in the hands of another dispatcher.
            Claim::Expired
            | Claim::Suppressed
            | Claim::Settled(_)
            | Claim::Held
            | Claim::Doubt { .. }
            | Claim::StateLost => None,
        })
    }

    /// One attempt on one route, which is recorded once it is certain that the message is written
    /// next. `None`: the claim is gone, and nothing was written.
    async fn attempt(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        content: &Content,
        route: &std::sync::Arc<dyn SmsRoute>,
        written: &Written,
    ) -> Result<Option<Submission>, StoreError> {
        let settle = Settle::Writing {
            route: written.to_record(),
        };
        let mut recorded = None;
        let record = async {
            let settled = self.settle_once(hold, message, settle).await;
            // Recording took time: nothing is sent late (rule 34).
            let write = matches!(settled, Ok(true)) && message.deadline_at > self.clock.now_ms();
            recorded = Some(settled);
            write
        };
        let submission = route
            .submit(
                Box::pin(record),
                &message.message_id,
                &content.number,
                &content.text,
                message.deadline_at,
            )
            .await;
        match recorded {
            // It may not have come as far as that.
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => return Ok(None),
            Some(Err(error)) => {
                // It may be recorded, and is not going to be true.
                if written.after.is_none()
                    && let Err(error) = self.settle(hold, message, Settle::Released).await
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a message that was not sent is left in doubt"
                    );
                }
                return Err(error);
            }
        }
        let class = message.class.name();
        metrics::counter!(
            "sms_submitted_total",
            "route" => written.route.clone(), "class" => class, "outcome" => label(&submission)
        )
        .increment(1);
        if let Submission::Accepted { .. } = submission {
            let took = self
                .clock
                .now_ms()
                .saturating_sub(message.accepted_at)
                .max(0);
            metrics::histogram!("sms_accept_to_submit_seconds", "class" => class)
                .record(took as f64 / 1_000.0);
        }
        Ok(Some(submission))
    }

    /// Records an outcome. Where the claim is gone another dispatcher's record counts; but a failover
    /// of the store may have forgotten the claim alone, and then nobody else would record it.
    pub(super) async fn record(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        outcome: Settle,
    ) -> Result<End, StoreError> {
        if !self.settle(hold, message, outcome.clone()).await?
            && let Some(hold) = self.claim_anew(message).await?
        {
            self.settle(&hold, message, outcome).await?;
        }
        Ok(End::Recorded)
    }

    /// Tells the store, over a moment's outage of it; well within the lease. `false`: the claim is
    /// gone, and nothing was recorded.
    async fn settle(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        settle: Settle,
    ) -> Result<bool, StoreError> {
        (|| self.settle_once(hold, message, settle.clone()))
            .retry(pauses())
            .await
    }

    async fn settle_once(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        settle: Settle,
    ) -> Result<bool, StoreError> {
        match hold.fence {
            Some(fence) => {
                let now = self.clock.now_ms();
                let settled = self.store.settle(&message.message_id, fence, settle, now);
                let recorded = settled.await?;
                if !recorded {
                    metrics::counter!("dispatch_claim_lost_total").increment(1);
                    tracing::warn!("the claim is gone, to another dispatcher or in a failover");
                }
                Ok(recorded)
            }
            None => Ok(true),
        }
    }
}

/// Over a moment's outage of the store: 3 s in all.
fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(2.0)
        .with_max_times(5)
}

fn label(submission: &Submission) -> &'static str {
    match submission {
        Submission::Accepted { .. } => "accepted",
        Submission::NotWritten => "not_written",
        Submission::Busy => "busy",
        Submission::RefusedByRoute { .. } => "refused_by_route",
        Submission::RefusedForGood { .. } => "refused",
        Submission::Unanswered => "unanswered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_resend_names_both_routes() {
        for (record, after) in [("a", None), ("b+a", Some("a"))] {
            let written = Written::parse(record);
            assert_eq!(written.after.as_deref(), after);
            assert_eq!(written.to_record(), record);
        }
    }
}
