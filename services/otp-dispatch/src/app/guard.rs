//! The guard's part of a send and of a right code: what it is told, and what is told of it.

use sallyport_phone::PhoneNumber;

use super::binding::{BoundTo, Counting};
use super::{Otp, OtpError, until};
use crate::domain::guard::{Decision, Place, Policy, Proof, Use, Watch};
use crate::domain::limits::{Scope, country};

impl Otp {
    /// What the guard looks at; `None` for what it never refuses nor counts: codes of confirmed factors
    /// and the one live code of a licensed user.
    pub(super) fn watch(&self, bound_to: &BoundTo, counting: Counting) -> Option<Watch> {
        match counting {
            Counting::Trusted => None,
            Counting::Untrusted { .. } => Some(Watch {
                number: self.keys.lookup.lookups(&[
                    b"guard",
                    b"number",
                    bound_to.number.e164().as_bytes(),
                ]),
                places: self.places(&bound_to.number),
                policy: if self.settings.guard.blocks {
                    Policy::Enforce
                } else {
                    Policy::Observe
                },
                budgets: self.settings.guard.budgets(),
            }),
        }
    }

    /// What a right code to a number proves.
    pub(super) fn proof(&self, number: &PhoneNumber) -> Proof {
        let places = self.places(number);
        Proof {
            number: self
                .keys
                .lookup
                .lookup(&[b"guard", b"number", number.e164().as_bytes()]),
            places: places.iter().filter_map(|p| p.names().next()).collect(),
        }
    }

    fn places(&self, number: &PhoneNumber) -> Vec<Place> {
        let place = |scope: Scope, value: &str| Place {
            scope,
            keys: self
                .keys
                .lookup
                .lookups(&[b"guard", scope.name().as_bytes(), value.as_bytes()]),
        };
        vec![
            place(Scope::Prefix, number.prefix()),
            place(Scope::Country, &country(number)),
        ]
    }

    /// Tells of a decision.
    pub(super) fn decided(&self, number: &PhoneNumber, decision: &Decision) {
        let country = country(number);
        metrics::counter!(
            "guard_decisions_total",
            "decision" => decision.outcome.name(), "country" => country.clone()
        )
        .increment(1);
        for used in decision.uses.iter().filter(|u| u.scope == Scope::Country) {
            metrics::gauge!(
                "guard_budget_use",
                "country" => country.clone(), "window" => used.window.name()
            )
            .set(part(used));
        }
    }

    /// The refusal by the guard. Whoever is refused hears what a full cap says: that it was the guard,
    /// and why, is for operators.
    pub(super) fn guarded(&self, bound_to: &BoundTo, decision: &Decision, now: i64) -> OtpError {
        self.decided(&bound_to.number, decision);
        let country = country(&bound_to.number);
        let reason = decision.reason.name();
        tracing::info!(country, reason, "the guard blocks a code");
        OtpError::Guarded {
            retry_after: until(decision.retry_at.unwrap_or(now), now),
        }
    }
}

/// How much of a budget is used: 1 is all of it.
fn part(used: &Use) -> f64 {
    used.counted as f64 / used.budget.max(1) as f64
}
