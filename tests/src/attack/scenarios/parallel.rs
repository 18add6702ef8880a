//! Ten thousand guesses at one user, all at once, over fifty challenges that were each sent again
//! twice; then on, until the factor is disabled, and at what is left of it.
//!
//! Harsh: the attacker knows the password and holds a gateway's certificate. The settings lock as late
//! and as briefly as they may, so that the hundred of the count, which no setting changes, are reached.
//!
//! Through is: a code that is accepted without the SMS; a guess judged beyond five of one challenge, or
//! beyond a hundred in a row of the user; anything that a disabled factor lets in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::SessionStage;
use tonic::Status;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::person::{PASSWORD, Session, sign_in};
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Guesses, Tally, at_once, word};

/// New challenges.
const CHALLENGES: u64 = 50;
/// As many have more tries together than the user has.
const LEAST_CHALLENGES: u64 = 25;
/// Each challenge is sent again so often.
const RESENDS: usize = 2;
/// Wrong codes that end a challenge.
const TRIES: u64 = 5;
/// Wrong codes in a row that disable the factor.
const CEILING: u64 = 100;
/// Guesses made at once after each lock.
const AFTER_LOCK: u64 = 200;
/// Locks below the ceiling: one, and one to spare.
const LOCKS: usize = 2;

struct Attack {
    sessions: Vec<Session>,
    guesses: Guesses,
    wires: Wires,
    /// What was answered; judged is what counts against the user.
    user: Arc<Tally>,
    /// By challenge: wrong codes that it judged.
    challenges: Arc<Tally>,
}

impl Attack {
    async fn guess(&self, number: u64) -> Result<(), Status> {
        let target = number as usize % self.sessions.len();
        let wire = pick(&self.wires, number / self.sessions.len() as u64);
        let session = self.sessions[target].by(wire);
        let answer = session.verify(&self.guesses.nth(number)).await;
        if self.user.judge(0, &answer) == "code.wrong" {
            self.challenges.count(target);
        }
        answer.map(drop)
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 6)?;
    let challenges = plan.part(CHALLENGES, LEAST_CHALLENGES);
    let guesses = Scenario::Parallel.part(plan, 400);
    let mut person = stack.enrolled().await?;
    let (mut sessions, mut codes) = (Vec::new(), Vec::new());
    for number in 0..challenges {
        let begun = person
            .begin(&stack.processes.smsc, pick(&wires, number))
            .await?;
        sessions.push(begun.session);
        codes.push(begun.code);
    }
    let attack = Arc::new(Attack {
        user: Tally::of(1),
        challenges: Tally::of(sessions.len()),
        sessions,
        guesses: Guesses::that_miss(codes.clone()),
        wires: Arc::clone(&wires),
    });
    let guess = |number| {
        let attack = Arc::clone(&attack);
        async move {
            // What was answered is in the tallies.
            let _ = attack.guess(number).await;
            Ok(())
        }
    };

    // One failure of each challenge comes before it is sent again: no resend refills what is counted.
    at_once(0..challenges, guess).await?;
    let mut resent = 0;
    for session in &attack.sessions {
        for _ in 0..RESENDS {
            session.resend().await?;
            resent += 1;
        }
    }
    at_once(challenges..guesses, guess).await?;

    let mut next = guesses;
    for _ in 0..LOCKS {
        let Some(wait) = locked(attack.guess(next).await) else {
            break;
        };
        tokio::time::sleep(wait).await;
        at_once(next + 1..next + AFTER_LOCK, guess).await?;
        next += AFTER_LOCK;
    }

    let mut outcome = Outcome::default();
    outcome.figure("challenges", challenges);
    outcome.figure("resends", resent);
    outcome.never("a code accepted without the SMS", attack.user.accepted());
    for judged in attack.challenges.judged() {
        outcome.beyond("a guess judged beyond a challenge's tries", judged, TRIES);
    }
    let judged = attack.user.judged().sum();
    outcome.figure("judged", judged);
    outcome.beyond("a guess judged beyond the user's hundred", judged, CEILING);

    let last = attack.guess(next).await;
    let reason = last.err().map(|status| word(&status));
    ensure!(
        reason.as_deref() == Some("second_factor.disabled"),
        "the factor is not disabled after {judged} failures: {reason:?}"
    );
    for (session, code) in attack.sessions.iter().zip(&codes) {
        let answer = session.verify(code).await;
        outcome.refused("the right code of a disabled factor", answer);
    }
    let (session, stage) = sign_in(
        pick(&wires, 0),
        &person.client_ip,
        &person.email,
        PASSWORD,
        "",
    )
    .await?;
    let let_in = stage == SessionStage::SignedIn;
    outcome.never("a sign-in that no longer asks", u64::from(let_in));
    outcome.refused(
        "a code of a disabled factor sent",
        session.send_code().await,
    );
    let other = Stack::phone(stack.number_anew());
    outcome.refused("another number enrolled", session.enable(&other).await);
    outcome.add(&attack.user);
    Ok(outcome)
}

/// How long the lock holds that this answer tells of.
fn locked(answer: Result<(), Status>) -> Option<Duration> {
    let refusal = Refusal::from_status(&answer.err()?)?;
    (refusal.reason == "second_factor.locked").then_some(refusal.retry_after?)
}
