//! The pumping guard (rule 31). Whoever earns by the message lets codes be sent and verifies none;
//! so in each country and each number block, codes that nobody verified are held against those that
//! somebody did.
//!
//! The rule is here and knows no store. [`ledger`] is what it has to know, as the memory store and
//! the replay of a traffic file keep it; `scripts/sends.lua` decides the same in Redis.

pub mod ledger;
pub mod overrides;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::challenge::{LONGEST_LIFE, Purpose};
use super::limits::{DAY_MS, HOUR_MS, Scope};

/// A code counts from this age on: its person can no longer use it.
pub const RIPE_MS: i64 = LONGEST_LIFE.as_millis() as i64;
/// So long after a right code is a number known to be somebody's, and codes to it do not count.
pub const KNOWN_MS: i64 = 90 * DAY_MS;
/// So many days before today does the best day lie at most.
pub const HISTORY_DAYS: i64 = 14;
/// The part of a day's codes that its busiest hour has.
const BUSIEST_HOUR: u64 = 6;

/// What codes that nobody verified may come to in one window, in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// So many in any place, on an empty history too.
    pub least: u32,
    /// So many of a hundred verified ones.
    pub percent: u32,
}

/// The budgets of every place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budgets {
    /// Of any 60 minutes.
    pub hour: Budget,
    /// Of any 24 hours.
    pub day: Budget,
}

impl Budgets {
    /// The budget of a place that verified so much.
    pub fn of(&self, window: Window, verified: &Verified) -> u64 {
        let (budget, best, now) = match window {
            Window::Hour => (self.hour, verified.best_day, verified.last_hour),
            Window::Day => (self.day, verified.best_day, verified.last_day),
        };
        let percent = u64::from(budget.percent);
        let best_part = match window {
            Window::Hour => 100 * BUSIEST_HOUR,
            Window::Day => 100,
        };
        u64::from(budget.least)
            .max(percent * best / best_part)
            .max(percent * now / 100)
    }
}

/// A span of time, up to now, for which there is a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl Window {
    /// Both, in the order in which they are weighed.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The word in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length.
    pub fn ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }
}

/// How many codes were verified in a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// In the last hour, to ten minutes.
    pub last_hour: u64,
    /// In the last 24 hours, to an hour.
    pub last_day: u64,
    /// On the best UTC day of today and the fourteen before.
    pub best_day: u64,
}

/// What becomes of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Refused where a budget is spent.
    Enforce,
    /// Let through where a budget is spent, and recorded.
    Observe,
    /// An operator lets it through; it does not count.
    Allow,
    /// An operator refuses it.
    Block,
}

/// A country or number block that a send belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which of the two.
    pub scope: Scope,
    /// Its keyed hash under each key of the lookup ring, current first: codes are counted under the
    /// first, and those that an older key counted still count.
    pub keys: Vec<String>,
}

impl Place {
    /// Its names in a store, the current one first.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.keys
            .iter()
            .map(|key| format!("{}:{key}", self.scope.name()))
    }
}

/// A send that the guard looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Keyed hash of the number, under each key of the lookup ring.
    pub number: Vec<String>,
    /// Its number block and its country.
    pub places: Vec<Place>,
    /// What holds for it.
    pub policy: Policy,
    /// The figures.
    pub budgets: Budgets,
}

/// What a place holds: the instants of codes that nobody verified, at least those of the last day,
/// in any order, and how many somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Block or country.
    pub scope: Scope,
    /// Codes that nobody verified.
    pub waiting: Vec<i64>,
    /// Those that somebody did.
    pub verified: Verified,
}

/// How the guard decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Sent.
    Allowed,
    /// Sent, though a budget is spent.
    Observed,
    /// Refused.
    Blocked,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Allowed, Self::Observed, Self::Blocked];

    /// The word in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Observed => "observed",
            Self::Blocked => "blocked",
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An operator allows the country or prefix.
    OperatorAllows,
    /// An operator blocks it.
    OperatorBlocks,
    /// The number is known to be somebody's.
    NumberVerified,
    /// No budget is spent.
    WithinBudget,
    /// One is; the uses say which.
    OverBudget,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::OperatorAllows,
        Self::OperatorBlocks,
        Self::NumberVerified,
        Self::WithinBudget,
        Self::OverBudget,
    ];

    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::OperatorAllows => "operator_allows",
            Self::OperatorBlocks => "operator_blocks",
            Self::NumberVerified => "number_verified",
            Self::WithinBudget => "within_budget",
            Self::OverBudget => "over_budget",
        }
    }
}

/// How far a budget was used when a send was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Of the block or the country.
    pub scope: Scope,
    /// In which window.
    pub window: Window,
    /// Codes that nobody verified, older than ten minutes.
    pub counted: u64,
    /// So many may be.
    pub budget: u64,
}

impl Use {
    /// Whether nothing more fits.
    pub fn is_spent(&self) -> bool {
        self.counted >= self.budget
    }
}

/// A decision and its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What became of the send.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The budgets, where they were looked at.
    #[serde(default)]
    pub uses: Vec<Use>,
    /// Of a refusal: the instant (unix milliseconds) from which on every budget has room, if nothing
    /// else is sent.
    pub retry_at: Option<i64>,
}

impl Decision {
    /// Whether the send counts in its places until it is verified.
    pub fn counts(&self) -> bool {
        self.outcome != Outcome::Blocked
            && matches!(self.reason, Reason::WithinBudget | Reason::OverBudget)
    }

    fn allowed(reason: Reason) -> Self {
        Self {
            outcome: Outcome::Allowed,
            reason,
            uses: Vec::new(),
            retry_at: None,
        }
    }
}

/// A decision as it is kept for operators. It names the number block, never the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, in unix milliseconds.
    pub at: i64,
    /// What the code was for.
    pub purpose: Purpose,
    /// ISO 3166-1 alpha-2, or a calling code that no country has.
    pub country: String,
    /// The number less its last four digits.
    pub prefix: String,
    /// What was decided.
    pub decision: Decision,
}

/// What a right code proves: the number is somebody's, and so are its block and country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Keyed hash of the number under the current key.
    pub number: String,
    /// Names of its places under the current key.
    pub places: Vec<String>,
}

/// How many codes were verified in a place on a UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayTotal {
    /// The place's name.
    pub place: String,
    /// Days since 1970.
    pub day: i64,
    /// So many.
    pub verified: u64,
}

impl Watch {
    /// The decision that needs no counting, if this is one.
    pub fn exempt(&self, number_is_known: bool, now: i64) -> Option<Decision> {
        match self.policy {
            Policy::Block => Some(Decision {
                outcome: Outcome::Blocked,
                reason: Reason::OperatorBlocks,
                uses: Vec::new(),
                retry_at: Some(now + DAY_MS),
            }),
            Policy::Allow => Some(Decision::allowed(Reason::OperatorAllows)),
            Policy::Enforce | Policy::Observe => {
                number_is_known.then(|| Decision::allowed(Reason::NumberVerified))
            }
        }
    }

    /// Holds what nobody verified against what somebody did.
    pub fn weigh(&self, held: &[Held], now: i64) -> Decision {
        let mut uses = Vec::with_capacity(held.len() * Window::ALL.len());
        let mut opens_at: Option<i64> = None;
        for place in held {
            for window in Window::ALL {
                let budget = self.budgets.of(window, &place.verified);
                uses.push(Use {
                    scope: place.scope,
                    window,
                    counted: place.counted(window, now),
                    budget,
                });
                opens_at = opens_at.max(place.opens_at(window, budget, now));
            }
        }
        let spent = uses.iter().any(Use::is_spent);
        let (outcome, reason) = match (spent, self.policy) {
            (false, _) => (Outcome::Allowed, Reason::WithinBudget),
            (true, Policy::Observe) => (Outcome::Observed, Reason::OverBudget),
            (true, _) => (Outcome::Blocked, Reason::OverBudget),
        };
        Decision {
            outcome,
            reason,
            uses,
            retry_at: opens_at.filter(|_| outcome == Outcome::Blocked),
        }
    }
}

impl Held {
    fn counted(&self, window: Window, now: i64) -> u64 {
        let ripe = now - RIPE_MS;
        let counts = |at: &&i64| **at > now - window.ms() && **at <= ripe;
        self.waiting.iter().filter(counts).count() as u64
    }

    /// When the window has room whatever is still unripe now; `None` where it has.
    fn opens_at(&self, window: Window, budget: u64, now: i64) -> Option<i64> {
        let mut live: Vec<i64> = self.waiting.clone();
        live.retain(|at| *at > now - window.ms());
        live.sort_unstable();
        let leaving = live.len().checked_sub(budget as usize)?;
        // A budget of nothing has no room ever: say the whole window.
        Some(live.get(leaving).map_or(now, |at| *at) + window.ms())
    }
}
