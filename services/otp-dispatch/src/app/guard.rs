//! The guard's part of a send and of a right code: what it is told, and what is told of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};

use sallyport_phone::PhoneNumber;
use sallyport_sql::Database;
use tokio::sync::{mpsc, watch};

use super::binding::{BoundTo, Counting};
use super::{Otp, OtpError, until};
use crate::domain::challenge::Purpose;
use crate::domain::guard::ledger::day;
use crate::domain::guard::overrides::{Overrides, Rule};
use crate::domain::guard::{DayTotal, Decision, Place, Policy, Proof, Record, Use, Watch};
use crate::domain::limits::{Scope, country};

/// How many decisions wait for the database. What comes beyond is counted, and forgotten.
const RECORDS: usize = 10_000;

/// What the requests share with [`keep_guard`](super::keep_guard), so that none of them waits for the
/// database.
#[derive(Debug)]
pub struct Guard {
    overrides: RwLock<Overrides>,
    records: mpsc::Sender<Record>,
    /// Codes that were verified and are not in the database yet, by place and day.
    verified: Mutex<HashMap<(String, i64), u64>>,
    /// Where it is, once it is connected.
    pub(super) database: watch::Sender<Option<Database>>,
}

impl Guard {
    /// Without overrides, and the decisions that will be made.
    pub fn new() -> (Self, mpsc::Receiver<Record>) {
        let (records, kept) = mpsc::channel(RECORDS);
        let guard = Self {
            overrides: RwLock::default(),
            records,
            verified: Mutex::default(),
            database: watch::Sender::new(None),
        };
        (guard, kept)
    }

    pub(super) fn set_overrides(&self, overrides: Overrides) {
        *self
            .overrides
            .write()
            .unwrap_or_else(PoisonError::into_inner) = overrides;
    }

    fn rule(&self, number: &PhoneNumber) -> Option<Rule> {
        self.overrides
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .of(number)
    }

    /// Counts for the history what the store has counted for the present. An answer that is repeated
    /// counts again here: a budget that is too large for it is not worth a question more.
    pub(super) fn proved(&self, places: Vec<String>, now: i64) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            *verified.entry((place, day(now))).or_default() += 1;
        }
    }

    /// What the database does not have yet.
    pub(super) fn take_verified(&self) -> Vec<DayTotal> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *verified)
            .into_iter()
            .map(|((place, day), verified)| DayTotal {
                place,
                day,
                verified,
            })
            .collect()
    }

    /// The database did not take it.
    pub(super) fn give_back(&self, totals: Vec<DayTotal>) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        for total in totals {
            *verified.entry((total.place, total.day)).or_default() += total.verified;
        }
    }

    fn record(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            metrics::counter!("guard_records_dropped_total").increment(1);
        }
    }
}

impl Otp {
    /// What the guard looks at; `None` for what it never refuses nor counts: codes of confirmed factors
    /// and, unless an operator blocks them, the one live code of a licensed user.
    pub(super) fn watch(&self, bound_to: &BoundTo, counting: Counting) -> Option<Watch> {
        let number = &bound_to.number;
        let policy = match self.guard.rule(number) {
            Some(Rule::Allow) => Policy::Allow,
            Some(Rule::Block) => Policy::Block,
            Some(Rule::Observe) => Policy::Observe,
            None if self.settings.guard.blocks => Policy::Enforce,
            None => Policy::Observe,
        };
        let looks = match (counting, bound_to.purpose) {
            (Counting::Untrusted { .. }, _) => true,
            (Counting::Trusted, Purpose::SignIn | Purpose::StepUp) => false,
            (Counting::Trusted, Purpose::Enrolment | Purpose::NumberChange) => {
                policy == Policy::Block
            }
        };
        looks.then(|| Watch {
            number: self
                .keys
                .lookup
                .lookups(&[b"guard", b"number", number.e164().as_bytes()]),
            places: self.places(number),
            policy,
            budgets: self.settings.guard.budgets(),
        })
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

    /// Records a decision, and counts it.
    pub(super) fn decided(&self, bound_to: &BoundTo, decision: Decision, now: i64) {
        let country = country(&bound_to.number);
        metrics::counter!(
            "guard_decisions_total",
            "decision" => decision.outcome.name(), "country" => country.clone()
        )
        .increment(1);
        for used in &decision.uses {
            if used.scope == Scope::Country {
                metrics::gauge!(
                    "guard_budget_use",
                    "country" => country.clone(), "window" => used.window.name()
                )
                .set(part(used));
            }
        }
        self.guard.record(Record {
            at: now,
            purpose: bound_to.purpose,
            country,
            prefix: bound_to.number.prefix().to_owned(),
            decision,
        });
    }

    /// The refusal by the guard. Whoever is refused hears what a full cap says: that it was the guard,
    /// and why, is for operators.
    pub(super) fn guarded(&self, bound_to: &BoundTo, decision: Decision, now: i64) -> OtpError {
        let retry_after = until(decision.retry_at.unwrap_or(now), now);
        let (country, reason) = (country(&bound_to.number), decision.reason.name());
        tracing::info!(country, reason, "the guard blocks a code");
        self.decided(bound_to, decision, now);
        OtpError::Guarded { retry_after }
    }
}

/// How much of a budget is used: 1 is all of it.
fn part(used: &Use) -> f64 {
    used.counted as f64 / used.budget.max(1) as f64
}
