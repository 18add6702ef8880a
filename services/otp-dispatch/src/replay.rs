//! A traffic file replayed against the guard: what it would have refused, whom that would have cost a
//! code, and what it would have saved. It decides by the rule of [`guard`](crate::domain::guard), as
//! the live service does; the caps of rule 30, which stand before it there, are left out.

pub mod generator;
pub mod traffic;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use serde::Serialize;

use crate::domain::guard::ledger::Ledger;
use crate::domain::guard::{Budgets, Outcome, Place, Policy, Proof, Watch};
use crate::domain::limits::{Scope, country};
use crate::replay::traffic::{Kind, Row};

/// How many prefixes a report names.
const PREFIXES: usize = 20;

/// What became of a file's codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows.
    pub codes: u64,
    /// Rows that the guard would have refused.
    pub blocked: u64,
    /// Rows marked as pumped.
    pub pumped: u64,
    /// Those of them that it would have refused.
    pub pumped_stopped: u64,
    /// Different numbers of good rows.
    pub good_users: u64,
    /// Those of them that would have been refused at least once.
    pub good_users_lost: u64,
    /// Refused rows that are not good: messages that need not have been paid for.
    pub messages_saved: u64,
    /// The same by country, those with the most refusals first.
    pub countries: Vec<CountryReport>,
    /// The prefixes with the most refusals.
    pub prefixes: Vec<PrefixReport>,
}

/// One country's part of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountryReport {
    /// ISO 3166-1 alpha-2, or a calling code that no country has.
    pub country: String,
    /// Rows.
    pub codes: u64,
    /// Rows that would have been refused.
    pub blocked: u64,
    /// Rows marked as pumped.
    pub pumped: u64,
    /// Those of them that would have been refused.
    pub pumped_stopped: u64,
    /// Different numbers of good rows.
    pub good_users: u64,
    /// Those of them that would have been refused at least once.
    pub good_users_lost: u64,
}

/// One number block's part of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrefixReport {
    /// A number less its last four digits.
    pub prefix: String,
    /// Rows that would have been refused.
    pub blocked: u64,
}

impl Report {
    /// The part of the pumped codes that would have been refused, of a hundred.
    pub fn stopped_percent(&self) -> f64 {
        percent(self.pumped_stopped, self.pumped)
    }

    /// The part of the good users that would have been refused, of a hundred.
    pub fn lost_percent(&self) -> f64 {
        percent(self.good_users_lost, self.good_users)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    100.0 * part as f64 / whole as f64
}

/// Replays the rows in the order of their instants.
pub fn replay(rows: &[Row], budgets: Budgets) -> Report {
    let mut ordered: Vec<&Row> = rows.iter().collect();
    ordered.sort_by_key(|row| row.at);
    let mut replay = Replay {
        budgets,
        ledger: Ledger::default(),
        verified: BinaryHeap::new(),
        sent: HashMap::new(),
        tallies: BTreeMap::new(),
        prefixes: HashMap::new(),
    };
    for (index, row) in ordered.into_iter().enumerate() {
        replay.verify_until(row.at);
        replay.send(index, row);
    }
    replay.report()
}

/// The rows replayed at other factors: at each, `day.percent` is the factor, and `hour.percent` is
/// changed by as much.
pub fn curve(rows: &[Row], budgets: Budgets, factors: &[u32]) -> Vec<(u32, Report)> {
    let (hour, day) = (budgets.hour.percent, budgets.day.percent.max(1));
    let at = |factor: u32| {
        let mut changed = budgets;
        changed.day.percent = factor;
        changed.hour.percent = factor * hour / day;
        (factor, replay(rows, changed))
    };
    factors.iter().map(|factor| at(*factor)).collect()
}

struct Replay<'a> {
    budgets: Budgets,
    ledger: Ledger,
    /// Instant and index of codes that were sent and will be verified.
    verified: BinaryHeap<Reverse<(i64, usize)>>,
    sent: HashMap<usize, Sent>,
    tallies: BTreeMap<String, Tally<'a>>,
    prefixes: HashMap<&'a str, u64>,
}

/// What happens when a code is verified.
struct Sent {
    proof: Proof,
    /// Place and message.
    refunds: Vec<(String, String)>,
}

#[derive(Default)]
struct Tally<'a> {
    codes: u64,
    blocked: u64,
    blocked_good: u64,
    pumped: u64,
    pumped_stopped: u64,
    good: HashSet<&'a str>,
    lost: HashSet<&'a str>,
}

impl<'a> Replay<'a> {
    fn verify_until(&mut self, now: i64) {
        while let Some(Reverse((at, index))) = self.verified.peek().copied() {
            if at > now {
                return;
            }
            self.verified.pop();
            if let Some(sent) = self.sent.remove(&index) {
                for (place, message_id) in &sent.refunds {
                    self.ledger.take_off(place, message_id);
                }
                self.ledger.prove(&sent.proof, at);
            }
        }
    }

    fn send(&mut self, index: usize, row: &'a Row) {
        let number = row.number.e164();
        let country = country(&row.number);
        let watch = Watch {
            number: vec![number.to_owned()],
            places: vec![
                place(Scope::Prefix, row.number.prefix()),
                place(Scope::Country, &country),
            ],
            policy: Policy::Enforce,
            budgets: self.budgets,
        };
        // As in the service: the guard does not look at trusted sends.
        let decision = (!row.trusted).then(|| self.ledger.decide(&watch, row.at));
        let blocked = decision
            .as_ref()
            .is_some_and(|decision| decision.outcome == Outcome::Blocked);
        self.tallies
            .entry(country)
            .or_default()
            .add(row, number, blocked);
        if blocked {
            *self.prefixes.entry(row.number.prefix()).or_default() += 1;
            return;
        }
        let refunds = match decision {
            Some(decision) if decision.counts() => {
                self.ledger.count(&watch, &index.to_string(), row.at)
            }
            _ => Vec::new(),
        };
        if let Some(at) = row.verified_at {
            self.verified.push(Reverse((at, index)));
            let proof = Proof {
                number: number.to_owned(),
                places: watch.places.iter().flat_map(Place::names).collect(),
            };
            self.sent.insert(index, Sent { proof, refunds });
        }
    }

    fn report(self) -> Report {
        let mut report = Report::default();
        for (country, tally) in self.tallies {
            let row = CountryReport {
                country,
                codes: tally.codes,
                blocked: tally.blocked,
                pumped: tally.pumped,
                pumped_stopped: tally.pumped_stopped,
                good_users: tally.good.len() as u64,
                good_users_lost: tally.lost.len() as u64,
            };
            report.codes += row.codes;
            report.blocked += row.blocked;
            report.pumped += row.pumped;
            report.pumped_stopped += row.pumped_stopped;
            report.good_users += row.good_users;
            report.good_users_lost += row.good_users_lost;
            report.messages_saved += tally.blocked - tally.blocked_good;
            report.countries.push(row);
        }
        report.countries.sort_by_key(|row| Reverse(row.blocked));
        let mut prefixes: Vec<(&str, u64)> = self.prefixes.into_iter().collect();
        prefixes.sort_by_key(|(prefix, blocked)| (Reverse(*blocked), *prefix));
        prefixes.truncate(PREFIXES);
        report.prefixes = prefixes
            .into_iter()
            .map(|(prefix, blocked)| PrefixReport {
                prefix: prefix.to_owned(),
                blocked,
            })
            .collect();
        report
    }
}

impl<'a> Tally<'a> {
    fn add(&mut self, row: &Row, number: &'a str, blocked: bool) {
        self.codes += 1;
        self.blocked += u64::from(blocked);
        match row.kind() {
            Kind::Pumped => {
                self.pumped += 1;
                self.pumped_stopped += u64::from(blocked);
            }
            Kind::Good => {
                self.good.insert(number);
                if blocked {
                    self.blocked_good += 1;
                    self.lost.insert(number);
                }
            }
            Kind::Unknown => {}
        }
    }
}

fn place(scope: Scope, name: &str) -> Place {
    Place {
        scope,
        keys: vec![name.to_owned()],
    }
}
