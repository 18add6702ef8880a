//! The right answer, 200 times at once: over both identity processes and through the portal's JSON
//! API, from a browser and whoever read its SMS over its shoulder.
//!
//! Harsh: the attacker holds the session's token, the code and a gateway's certificate.
//!
//! Through is: a second answer that is accepted, a second session with both steps done, the old token
//! still alive; and a round in which nobody got in at all, since the user was one of the 200.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::json;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::api::Api;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, pick};
use crate::attack::tally::{Tally, at_once};

/// How often at once.
const ANSWERS: u64 = 200;
/// Of ten answers, so many go through the portal.
const BY_PORTAL: u64 = 3;

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let rounds = Scenario::SameAnswer.part(plan, 2 * ANSWERS) / ANSWERS;
    let wires = stack.identity(Holder::Gateway, 4)?;
    let apis: Arc<[Api]> = (1..=3)
        .map(|host| Api::from(&stack.processes.portal, Ipv4Addr::new(127, 0, 1, host)))
        .collect::<Result<_>>()?;
    let mut outcome = Outcome::default();
    for round in 0..rounds {
        let mut person = stack.enrolled().await?;
        let begun = person
            .begin(&stack.processes.smsc, pick(&wires, round))
            .await?;
        let tally = Tally::of(1);
        let tokens = Arc::new(Mutex::new(Vec::new()));
        at_once(0..ANSWERS, |number| {
            let (tally, tokens) = (Arc::clone(&tally), Arc::clone(&tokens));
            let (apis, begun) = (Arc::clone(&apis), begun.clone());
            let session = begun.session.by(pick(&wires, number));
            async move {
                let token = if number % 10 < BY_PORTAL {
                    let api = &apis[number as usize % apis.len()];
                    let body = json!({ "code": begun.code });
                    let answer = api.post("/code/verify", session.token(), body).await?;
                    tally.note(&answer.word());
                    answer.token().ok()
                } else {
                    let answer = session.verify(&begun.code).await;
                    tally.judge(0, &answer);
                    answer.ok().map(|verified| verified.session_token)
                };
                let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.extend(token);
                Ok(())
            }
        })
        .await?;

        let accepted = tally.accepted();
        outcome.beyond("the same answer accepted again", accepted, 1);
        let nobody = u64::from(accepted == 0);
        outcome.never("the right answer refused to everybody", nobody);
        let tokens = std::mem::take(&mut *tokens.lock().unwrap_or_else(PoisonError::into_inner));
        let mut let_in = BTreeSet::new();
        for token in tokens {
            let who = begun.session.bearing(&token).who().await;
            let_in.extend(
                who.ok()
                    .filter(|who| who.assurance == 2)
                    .map(|who| who.session_id),
            );
        }
        outcome.beyond("a second session by one code", let_in.len() as u64, 1);
        let old = begun.session.who().await;
        outcome.refused("the token from before the second step", old);
        outcome.add(&tally);
    }
    Ok(outcome)
}
