//! `GuardService`: the pumping guard, for operators.

use std::sync::Arc;

use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_chassis::{Caller, Peer};
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::guard_service_server::GuardService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::binding::{optional, purpose_of};
use crate::app::operate_guard::{Override, Wanted};
use crate::app::{Otp, OtpError};
use crate::domain::guard::overrides::Rule;
use crate::domain::guard::{Outcome, Reason, Record, Use, Window};
use crate::domain::limits::Scope;

/// Decisions of one page, where the caller does not say, and at most.
const PAGE: (u32, u32) = (50, 500);

pub(super) struct Guards(pub(super) Arc<Otp>);

#[tonic::async_trait]
impl GuardService for Guards {
    async fn list_decisions(
        &self,
        request: Request<pb::ListDecisionsRequest>,
    ) -> Result<Response<pb::ListDecisionsResponse>, Status> {
        let request = request.into_inner();
        let outcome = outcome(request.outcome());
        let before = match request.before.as_str() {
            "" => None,
            id => Some(id.parse::<Uuid>().map_err(|_| OtpError::Field {
                field: "before",
                reason: "field.malformed",
            })?),
        };
        let limit = match request.limit {
            0 => PAGE.0,
            limit => limit.min(PAGE.1),
        };
        let country = optional("country", request.country)?;
        let wanted = Wanted {
            outcome,
            country: (!country.is_empty()).then(|| country.to_ascii_uppercase()),
            before,
            limit: limit.into(),
        };
        let found = self.0.list_decisions(&wanted).await?;
        Ok(Response::new(pb::ListDecisionsResponse {
            decisions: found.into_iter().map(decision).collect(),
        }))
    }

    async fn list_overrides(
        &self,
        _request: Request<pb::ListOverridesRequest>,
    ) -> Result<Response<pb::ListOverridesResponse>, Status> {
        let found = self.0.list_overrides().await?;
        Ok(Response::new(pb::ListOverridesResponse {
            overrides: found.into_iter().map(an_override).collect(),
        }))
    }

    async fn set_override(
        &self,
        request: Request<pb::SetOverrideRequest>,
    ) -> Result<Response<pb::SetOverrideResponse>, Status> {
        let operator = operator(&request)?;
        let request = request.into_inner();
        let rule = rule(request.rule())?;
        let set = self
            .0
            .set_override(&request.target, rule, &request.note, &operator)
            .await?;
        Ok(Response::new(pb::SetOverrideResponse {
            guard_override: Some(an_override(set)),
        }))
    }

    async fn remove_override(
        &self,
        request: Request<pb::RemoveOverrideRequest>,
    ) -> Result<Response<pb::RemoveOverrideResponse>, Status> {
        let operator = operator(&request)?;
        let target = request.into_inner().target;
        self.0.remove_override(&target, &operator).await?;
        Ok(Response::new(pb::RemoveOverrideResponse {}))
    }
}

/// The name in the operator's certificate. The caller table lets nobody else in.
fn operator<T>(request: &Request<T>) -> Result<String, Status> {
    match Caller::of(request)?.peer {
        Peer::Operator(name) => Ok(name),
        Peer::Anonymous | Peer::Service(_) => Err(Status::internal("no operator calls")),
    }
}

fn outcome(outcome: pb::GuardOutcome) -> Option<Outcome> {
    match outcome {
        pb::GuardOutcome::Unspecified => None,
        pb::GuardOutcome::Allowed => Some(Outcome::Allowed),
        pb::GuardOutcome::Observed => Some(Outcome::Observed),
        pb::GuardOutcome::Blocked => Some(Outcome::Blocked),
    }
}

fn rule(rule: pb::GuardRule) -> Result<Rule, OtpError> {
    match rule {
        pb::GuardRule::Unspecified => Err(OtpError::Field {
            field: "rule",
            reason: "field.required",
        }),
        pb::GuardRule::Allow => Ok(Rule::Allow),
        pb::GuardRule::Block => Ok(Rule::Block),
        pb::GuardRule::Observe => Ok(Rule::Observe),
    }
}

fn decision((id, record): (Uuid, Record)) -> pb::GuardDecision {
    let outcome = match record.decision.outcome {
        Outcome::Allowed => pb::GuardOutcome::Allowed,
        Outcome::Observed => pb::GuardOutcome::Observed,
        Outcome::Blocked => pb::GuardOutcome::Blocked,
    };
    let reason = match record.decision.reason {
        Reason::OperatorAllows => pb::GuardReason::OperatorAllows,
        Reason::OperatorBlocks => pb::GuardReason::OperatorBlocks,
        Reason::NumberVerified => pb::GuardReason::NumberVerified,
        Reason::WithinBudget => pb::GuardReason::WithinBudget,
        Reason::OverBudget => pb::GuardReason::OverBudget,
    };
    pb::GuardDecision {
        decision_id: id.to_string(),
        decided_at: Some(to_proto(from_ms(record.at))),
        outcome: outcome.into(),
        reason: reason.into(),
        uses: record.decision.uses.iter().map(used).collect(),
        country: record.country,
        prefix: record.prefix,
        purpose: purpose_of(record.purpose).into(),
    }
}

fn used(used: &Use) -> pb::GuardUse {
    let scope = match used.scope {
        Scope::Prefix => pb::GuardScope::Prefix,
        Scope::Country => pb::GuardScope::Country,
        // The guard has no budgets of these.
        Scope::Number | Scope::User | Scope::Ip => pb::GuardScope::Unspecified,
    };
    let window = match used.window {
        Window::Hour => pb::GuardWindow::Hour,
        Window::Day => pb::GuardWindow::Day,
    };
    pb::GuardUse {
        scope: scope.into(),
        window: window.into(),
        counted: used.counted,
        budget: used.budget,
    }
}

fn an_override(found: Override) -> pb::GuardOverride {
    let rule = match found.rule {
        Rule::Allow => pb::GuardRule::Allow,
        Rule::Block => pb::GuardRule::Block,
        Rule::Observe => pb::GuardRule::Observe,
    };
    pb::GuardOverride {
        target: found.target.to_string(),
        rule: rule.into(),
        note: found.note,
        set_by: found.set_by,
        set_at: Some(to_proto(from_ms(found.set_at))),
    }
}
