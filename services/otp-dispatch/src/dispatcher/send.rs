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
                return Ok(End::Recorded);
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
                    let settle = Settle::Accepted {
                        route: written.route,
                        carrier_id,
                    };
                    return self
                        .record(hold, message, settle)
                        .await
                        .map(|_| End::Recorded);
                }
                Submission::RefusedForGood { reason } => {
                    let settle = Settle::Failed { reason };
                    return self
                        .record(hold, message, settle)
                        .await
                        .map(|_| End::Recorded);
                }
            }
            if refusals.len() == MOST_REFUSALS {
                break;
            }
        }
        match refusals.pop() {
            Some(reason) if !may_work_later || !refusals.is_empty() => {
                let settle = Settle::Failed { reason };
                self.record(hold, message, settle)
                    .await
                    .map(|_| End::Recorded)
            }
            _ => self
                .record(hold, message, Settle::Released)
                .await
                .map(|mine| {
                    // Another holder settles what is no longer ours.
                    if mine { End::Later } else { End::Recorded }
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
            let Some(hold) = self.if_still_wanted(hold, message).await? else {
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
                    None => return Ok(End::Recorded),
                    Some(Submission::Accepted { carrier_id }) => {
                        let settle = Settle::Accepted {
                            route: written.route,
                            carrier_id,
                        };
                        return self
                            .record(hold, message, settle)
                            .await
                            .map(|_| End::Recorded);
                    }
                    Some(
                        Submission::NotWritten
                        | Submission::Busy
                        | Submission::RefusedByRoute { .. },
                    ) => {}
                    // The one resend is used up.
                    Some(Submission::Unanswered | Submission::RefusedForGood { .. }) => break,
                }
            }
        }
        let settle = Settle::Unknown {
            route: doubtful.route.clone(),
        };
        let hold = renewed.as_ref().unwrap_or(hold);
        self.record(hold, message, settle)
            .await
            .map(|_| End::Recorded)
    }

    /// A new claim, if the code is still wanted: while its fate was in doubt the reader may have
    /// typed it. The store decides that with each claim, so the old one is released for it.
    async fn if_still_wanted(
        &self,
        hold: &Hold,
        message: &QueueMessage,
    ) -> Result<Option<Hold>, StoreError> {
        if !self.record(hold, message, Settle::Released).await? {
            return Ok(None);
        }
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

    /// One attempt on one route, which is recorded before. `None`: the claim is lost to another
    /// dispatcher, and nothing was written.
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
        match self.settle_once(hold, message, settle).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                // It may be recorded, and is not going to be true.
                if written.after.is_none()
                    && let Err(error) = self.record(hold, message, Settle::Released).await
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a message that was not sent is left in doubt"
                    );
                }
                return Err(error);
            }
        }
        // Recording took time: nothing is sent late (rule 34).
        if message.deadline_at <= self.clock.now_ms() {
            return Ok(Some(Submission::NotWritten));
        }
        let submission = route
            .submit(
                &message.message_id,
                &content.number,
                &content.text,
                message.deadline_at,
            )
            .await;
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

    /// Records an outcome, over a moment's outage of the store; well within the lease. `false`: the
    /// claim is lost, and its new holder records.
    pub(super) async fn record(
        &self,
        hold: &Hold,
        message: &QueueMessage,
        settle: Settle,
    ) -> Result<bool, StoreError> {
        let recorded = (|| self.settle_once(hold, message, settle.clone()))
            .retry(pauses())
            .await?;
        if !recorded {
            metrics::counter!("dispatch_claim_lost_total").increment(1);
            tracing::warn!("the claim was lost to another dispatcher: its record counts");
        }
        Ok(recorded)
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
                self.store
                    .settle(&message.message_id, fence, settle, now)
                    .await
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
