//! Guesses at the codes of many users at once, each over two identity processes that ask two otp-api
//! processes, with the limits as they are delivered.
//!
//! Harsh: the attacker knows every password and holds a gateway's certificate.
//!
//! Through is: a code that is accepted without the SMS; a guess judged beyond the fifteen after which
//! a user's second step is locked; and a user whose recovery code does not get him in meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::person::Session;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Guesses, Tally, volley};

/// Users.
const PEOPLE: u64 = 40;
/// Guesses under way.
const CALLERS: usize = 64;
/// Guesses before each lock.
pub const FAILURES_PER_LOCK: u64 = 15;
/// How long the first lock holds.
pub const FIRST_LOCK: Duration = Duration::from_secs(900);

/// How many guesses at one user may have been judged after so long: those before the first lock, and
/// as many again once that has opened. The second holds for longer than any attack of ours.
pub fn budget(since: Duration) -> u64 {
    if since < FIRST_LOCK {
        FAILURES_PER_LOCK
    } else {
        2 * FAILURES_PER_LOCK
    }
}

/// Sessions of several users that await their second step.
pub struct Targets {
    sessions: Vec<Session>,
    guesses: Guesses,
    wires: Wires,
    /// By user.
    pub tally: Arc<Tally>,
}

impl Targets {
    /// Guesses miss all these codes.
    pub fn new(begun: Vec<(Session, String)>, wires: &Wires) -> Arc<Self> {
        let (sessions, codes): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
        Arc::new(Self {
            tally: Tally::of(sessions.len()),
            sessions,
            guesses: Guesses::that_miss(codes),
            wires: Arc::clone(wires),
        })
    }

    /// Makes guesses at all of them in turn.
    pub async fn guess(self: &Arc<Self>, guesses: u64) -> Result<()> {
        let targets = Arc::clone(self);
        volley(0..guesses, CALLERS, move |number| {
            let targets = Arc::clone(&targets);
            async move {
                let people = targets.sessions.len();
                let target = number as usize % people;
                let wire = pick(&targets.wires, number / people as u64);
                let session = targets.sessions[target].by(wire);
                let answer = session.verify(&targets.guesses.nth(number)).await;
                targets.tally.judge(target, &answer);
                Ok(())
            }
        })
        .await
    }

    /// Adds what was tried, and what got through since this instant.
    pub fn account(&self, outcome: &mut Outcome, since: Instant) {
        outcome.add(&self.tally);
        outcome.never("a code accepted without the SMS", self.tally.accepted());
        let budget = budget(since.elapsed());
        for judged in self.tally.judged() {
            outcome.beyond("a guess judged beyond a user's lock", judged, budget);
        }
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 4)?;
    let mut people = stack.crowd(plan.part(PEOPLE, 4)).await?;
    let mut begun = Vec::new();
    for (number, person) in (0..).zip(&mut people) {
        let awaiting = person
            .begin(&stack.processes.smsc, pick(&wires, number))
            .await?;
        begun.push((awaiting.session, awaiting.code));
    }
    let targets = Targets::new(begun, &wires);
    let started = Instant::now();
    targets.guess(Scenario::Spread.part(plan, 400)).await?;
    let mut outcome = Outcome::default();
    targets.account(&mut outcome, started);
    for (person, session) in people.iter().zip(&targets.sessions) {
        let let_in = session.recover(&person.recovery_codes[0]).await;
        let kept_out = u64::from(let_in.is_err());
        outcome.never("a user kept out by guesses at his code", kept_out);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grows_when_the_first_lock_has_opened() {
        assert_eq!(budget(Duration::ZERO), 15);
        assert_eq!(budget(FIRST_LOCK - Duration::from_secs(1)), 15);
        assert_eq!(budget(FIRST_LOCK), 30);
    }
}
