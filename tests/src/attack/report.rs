//! What `make attack` leaves behind: a table for people, `attack.json` for programs, and one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use tonic::Status;

use super::tally::{Tally, word};
use crate::bench::machine::Machine;
use crate::bench::report::Failed;

/// The word for what was not refused.
pub const ACCEPTED: &str = "accepted";

/// Something that should not have happened, and how often it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// In a few words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// What a scenario tried and what got through.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Guesses, replays and other attempts that were made.
    tried: u64,
    /// Of them and of what good users were refused meanwhile: the sum of `breaches`.
    through: u64,
    /// Answers to the attempts, by reason; `accepted` where there was none.
    answers: BTreeMap<String, u64>,
    /// Figures that explain the answers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    figures: BTreeMap<String, u64>,
    /// What got through.
    breaches: Vec<Breach>,
}

impl Outcome {
    /// Adds everything that was counted while others guessed.
    pub fn add(&mut self, tally: &Tally) {
        for (answer, count) in tally.answers() {
            self.tried += count;
            *self.answers.entry(answer).or_default() += count;
        }
    }

    /// Adds one attempt.
    pub fn tried(&mut self, answer: &str) {
        self.tried += 1;
        *self.answers.entry(answer.to_owned()).or_default() += 1;
    }

    /// Adds one attempt that must be refused.
    pub fn refused<T>(&mut self, what: &str, answer: Result<T, Status>) {
        let answer = answer.map_or_else(|status| word(&status), |_| ACCEPTED.to_owned());
        self.refused_as(what, &answer);
    }

    /// The same, of which only the word is left.
    pub fn refused_as(&mut self, what: &str, answer: &str) {
        self.tried(answer);
        self.never(what, u64::from(answer == ACCEPTED));
    }

    /// So often did something happen that never may.
    pub fn never(&mut self, what: &str, happened: u64) {
        self.beyond(what, happened, 0);
    }

    /// So often did something happen that may happen no more often than `allowed`.
    pub fn beyond(&mut self, what: &str, happened: u64, allowed: u64) {
        let count = happened.saturating_sub(allowed);
        if count == 0 {
            return;
        }
        self.through += count;
        match self.breaches.iter_mut().find(|breach| breach.what == what) {
            Some(breach) => breach.count += count,
            None => self.breaches.push(Breach {
                what: what.to_owned(),
                count,
            }),
        }
    }

    /// Adds a figure that explains the answers.
    pub fn figure(&mut self, what: &str, value: u64) {
        *self.figures.entry(what.to_owned()).or_default() += value;
    }
}

/// A scenario that was carried out.
#[derive(Debug, Serialize)]
pub struct Played {
    /// Its name.
    pub name: String,
    /// How long it took, servers included.
    pub seconds: f64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Everything that one `make attack` found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it ran on.
    machine: Machine,
    /// The part of the whole that was tried.
    scale: f64,
    /// Of all scenarios.
    tried: u64,
    /// Of all scenarios.
    through: u64,
    /// One by one.
    scenarios: Vec<Played>,
    /// Scenarios that could not be carried out. Not there where all were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Failed>,
}

impl Report {
    /// Sums the scenarios up.
    pub fn new(machine: Machine, scale: f64, scenarios: Vec<Played>, errors: Vec<Failed>) -> Self {
        let sum = |of: fn(&Outcome) -> u64| -> u64 {
            scenarios.iter().map(|played| of(&played.outcome)).sum()
        };
        Self {
            machine,
            scale,
            tried: sum(|outcome| outcome.tried),
            through: sum(|outcome| outcome.through),
            scenarios,
            errors,
        }
    }

    /// Whether every scenario was carried out and nothing got through.
    pub fn held(&self) -> bool {
        self.through == 0 && self.errors.is_empty()
    }

    /// The report for people; its last line sums up.
    pub fn table(&self) -> String {
        let mut table = format!("{}\n", self.machine);
        for Played {
            name,
            seconds,
            outcome,
        } in &self.scenarios
        {
            let (tried, through) = (outcome.tried, outcome.through);
            let _ = writeln!(
                table,
                "{name:<16} tried {tried:>8}  through {through:>4}  {seconds:>6.1} s  {}",
                listed(&outcome.answers)
            );
            if !outcome.figures.is_empty() {
                let _ = writeln!(table, "{:<16} {}", "", listed(&outcome.figures));
            }
            for Breach { what, count } in &outcome.breaches {
                let _ = writeln!(table, "{:<16} GOT THROUGH {count}: {what}", "");
            }
        }
        for Failed { name, error } in &self.errors {
            let _ = writeln!(table, "{name:<16} NOT CARRIED OUT: {error}");
        }
        let Self { tried, through, .. } = self;
        let _ = writeln!(table, "ATTACK tried={tried} through={through}");
        table
    }
}

/// `name count, name count`, the most frequent first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sallyport_chassis::Refusal;
    use tonic::Code;

    use super::*;

    fn machine() -> Machine {
        Machine {
            cpu: "Example CPU".into(),
            cores: 2,
            memory_gib: 24,
            kernel: "6.1.0".into(),
        }
    }

    fn played(name: &str, outcome: Outcome) -> Played {
        Played {
            name: name.into(),
            seconds: 1.5,
            outcome,
        }
    }

    fn report(outcomes: Vec<Outcome>, errors: Vec<Failed>) -> Report {
        let scenarios = outcomes.into_iter().map(|o| played("codes", o)).collect();
        Report::new(machine(), 1.0, scenarios, errors)
    }

    fn last_line(report: &Report) -> String {
        report.table().lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_stays_within_its_budget_is_no_breach_and_what_exceeds_it_is_counted() {
        let mut outcome = Outcome::default();
        outcome.beyond("judged", 15, 15);
        outcome.beyond("judged", 3, 15);
        outcome.never("accepted", 0);
        assert_eq!((outcome.through, outcome.breaches.len()), (0, 0));
        outcome.beyond("judged", 17, 15);
        outcome.beyond("judged", 16, 15);
        outcome.never("accepted", 1);
        assert_eq!(outcome.through, 4);
        let breach = |what: &str, count| Breach {
            what: what.into(),
            count,
        };
        assert_eq!(
            outcome.breaches,
            [breach("judged", 3), breach("accepted", 1)]
        );
    }

    #[test]
    fn an_attempt_that_must_be_refused_is_a_breach_where_it_is_not() {
        let mut outcome = Outcome::default();
        let refusal = Refusal::new(Code::NotFound, "code.none");
        outcome.refused("a code of another session", Err::<(), _>(refusal.into()));
        outcome.refused(
            "a code of another session",
            Err::<(), _>(Status::unavailable("")),
        );
        assert_eq!((outcome.tried, outcome.through), (2, 0));
        assert_eq!(outcome.answers["code.none"], 1);
        outcome.refused("a code of another session", Ok(()));
        assert_eq!((outcome.tried, outcome.through), (3, 1));
        assert_eq!(outcome.breaches[0].what, "a code of another session");
    }

    #[test]
    fn a_tally_adds_its_answers_to_what_was_tried() {
        let tally = Tally::of(1);
        tally.note("code.wrong");
        tally.note("code.wrong");
        tally.note("second_factor.locked");
        let mut outcome = Outcome::default();
        outcome.tried("code.wrong");
        outcome.add(&tally);
        assert_eq!(outcome.tried, 4);
        assert_eq!(outcome.answers["code.wrong"], 3);
        assert_eq!(
            listed(&outcome.answers),
            "code.wrong 3, second_factor.locked 1"
        );
    }

    #[test]
    fn the_last_line_sums_up_and_nothing_less_than_all_of_it_has_held() {
        let tried = |times, breaches| {
            let mut outcome = Outcome::default();
            (0..times).for_each(|_| outcome.tried("code.wrong"));
            outcome.never("accepted", breaches);
            outcome
        };
        let held = report(vec![tried(700, 0), tried(300, 0)], Vec::new());
        assert_eq!(last_line(&held), "ATTACK tried=1000 through=0");
        assert!(held.held());
        let broken = report(vec![tried(700, 2), tried(300, 1)], Vec::new());
        assert_eq!(last_line(&broken), "ATTACK tried=1000 through=3");
        assert!(!broken.held());
        assert!(broken.table().contains("GOT THROUGH 2: accepted"));
        let error = Failed {
            name: "flood".into(),
            error: "no broker".into(),
        };
        let unfinished = report(vec![tried(700, 0)], vec![error]);
        assert_eq!(last_line(&unfinished), "ATTACK tried=700 through=0");
        assert!(!unfinished.held());
        assert!(unfinished.table().contains("NOT CARRIED OUT: no broker"));
    }

    #[test]
    fn the_json_has_the_fields_that_readers_know() {
        let mut outcome = Outcome::default();
        outcome.tried(ACCEPTED);
        outcome.never("a code of another session", 1);
        outcome.figure("sessions", 2);
        let written = serde_json::to_value(report(vec![outcome], Vec::new())).unwrap();
        assert_eq!(
            written,
            serde_json::json!({
                "machine": {
                    "cpu": "Example CPU", "cores": 2, "memory_gib": 24, "kernel": "6.1.0"
                },
                "scale": 1.0,
                "tried": 1,
                "through": 1,
                "scenarios": [{
                    "name": "codes",
                    "seconds": 1.5,
                    "tried": 1,
                    "through": 1,
                    "answers": { "accepted": 1 },
                    "figures": { "sessions": 2 },
                    "breaches": [{ "what": "a code of another session", "count": 1 }],
                }],
            })
        );
    }
}
