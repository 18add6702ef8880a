//! Guesses at recovery codes, well-formed ones, over two identity processes; and one right code, given
//! in many sessions at once.
//!
//! Harsh: the attacker knows the passwords and holds a gateway's certificate.
//!
//! Through is: a recovery code that is accepted and was never given out; a guess judged beyond the ten
//! of an hour; a code that lets in twice; and a user whom the guesses keep from signing in by SMS.

use std::sync::Arc;

use anyhow::{Context, Result};
use identity::domain::recovery::RecoveryCode;
use uuid::Uuid;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::person::Session;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Tally, at_once, volley};

/// Users.
const PEOPLE: u64 = 10;
/// Guesses under way.
const CALLERS: usize = 64;
/// Wrong recovery codes of a user in an hour.
const TRIES: u64 = 10;
/// Sessions in which one right code is given at once.
const AT_ONCE: u64 = 20;

/// A recovery code of the right form.
fn made_up() -> String {
    let mut random = [0; 14];
    random.copy_from_slice(&Uuid::now_v7().as_bytes()[2..]);
    let code = RecoveryCode::from_random(random);
    code.grouped().expose().to_owned()
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 4)?;
    let mut people = stack.crowd(plan.part(PEOPLE, 2)).await?;
    let mut sessions = Vec::new();
    for person in &people {
        sessions.push(person.sign_in(pick(&wires, 0)).await?);
    }
    let tally = Tally::of(sessions.len());
    let sessions: Arc<[Session]> = sessions.into();
    volley(0..Scenario::Recovery.part(plan, 100), CALLERS, {
        let (wires, tally): (Wires, _) = (Arc::clone(&wires), Arc::clone(&tally));
        move |number| {
            let (wires, tally) = (Arc::clone(&wires), Arc::clone(&tally));
            let sessions = Arc::clone(&sessions);
            async move {
                let target = number as usize % sessions.len();
                let wire = pick(&wires, number / sessions.len() as u64);
                let answer = sessions[target].by(wire).recover(&made_up()).await;
                if tally.judge(target, &answer) == "recovery_code.wrong" {
                    tally.count(target);
                }
                Ok(())
            }
        }
    })
    .await?;
    let mut outcome = Outcome::default();
    outcome.add(&tally);
    outcome.never("a recovery code that was never made", tally.accepted());
    for judged in tally.judged() {
        outcome.beyond("a guess judged beyond the hour's", judged, TRIES);
    }
    for person in &mut people {
        let begun = person.begin(&stack.processes.smsc, pick(&wires, 1)).await?;
        let kept_out = u64::from(begun.session.verify(&begun.code).await.is_err());
        outcome.never("a user kept out by guesses at recovery codes", kept_out);
    }
    once(stack, &wires, &mut outcome).await?;
    Ok(outcome)
}

/// One right code in many sessions at once.
async fn once(stack: &mut Stack, wires: &Wires, outcome: &mut Outcome) -> Result<()> {
    let person = stack.enrolled().await?;
    let code = person.recovery_codes.first().context("no recovery code")?;
    let mut sessions = Vec::new();
    for number in 0..AT_ONCE {
        sessions.push(person.sign_in(pick(wires, number)).await?);
    }
    let tally = Tally::of(1);
    at_once(0..AT_ONCE, |number| {
        let (session, code) = (sessions[number as usize].clone(), code.clone());
        let tally = Arc::clone(&tally);
        async move {
            let answer = session.recover(&code).await;
            tally.judge(0, &answer);
            Ok(())
        }
    })
    .await?;
    outcome.add(&tally);
    outcome.beyond("a recovery code used twice", tally.accepted(), 1);
    let nobody = u64::from(tally.accepted() == 0);
    outcome.never("a right recovery code refused to everybody", nobody);
    Ok(())
}
