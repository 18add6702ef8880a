//! Guesses at codes over plain HTTP, at the portal's JSON API, from addresses of 127.0.0.0/8; and
//! what such a session reaches before its second step.
//!
//! The attacker knows the passwords and holds no certificate. What he claims of his address in
//! `X-Forwarded-For` is not believed.
//!
//! Through is: a code that is accepted without the SMS; a guess judged beyond the fifteen after which a
//! user's second step is locked; a page or operation that answers before the second step.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Scenario;
use super::spread::budget;
use crate::attack::Plan;
use crate::attack::api::Api;
use crate::attack::person::PASSWORD;
use crate::attack::report::Outcome;
use crate::attack::stack::Stack;
use crate::attack::tally::{Guesses, JUDGED, Tally, volley};

/// Users.
const PEOPLE: u64 = 8;
/// Addresses that guesses come from.
const ADDRESSES: u8 = 16;
/// Guesses under way.
const CALLERS: usize = 64;
/// Operations that want both steps.
const INNER: [&str; 8] = [
    "/profile",
    "/users",
    "/plans",
    "/domains",
    "/events",
    "/sessions",
    "/two-factor",
    "/users/0198c0de-0000-7000-8000-000000000000",
];
/// Pages that do.
const PAGES: [&str; 6] = [
    "/account",
    "/activity",
    "/users",
    "/licences",
    "/domains",
    "/account/password",
];

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let apis: Arc<[Api]> = (1..=ADDRESSES)
        .map(|host| Api::from(&stack.processes.portal, Ipv4Addr::new(127, 0, 2, host)))
        .collect::<Result<_>>()?;
    let (mut tokens, mut codes) = (Vec::new(), Vec::new());
    for (number, mut person) in (0..).zip(stack.crowd(plan.part(PEOPLE, 2)).await?) {
        let api: &Api = &apis[number % apis.len()];
        let body = json!({ "email": person.email, "password": PASSWORD });
        let answer = api.post("/sign-in", "", body).await?;
        ensure!(
            answer.body["stage"] == "awaiting_second_factor",
            "{}",
            answer.body["stage"]
        );
        let token = answer.token()?;
        let sent = api.post("/code/sign-in", &token, json!({})).await?;
        ensure!(sent.is_accepted(), "no code: {}", sent.word());
        codes.push(person.newest_code(&stack.processes.smsc).await?);
        tokens.push(token);
    }
    let mut outcome = Outcome::default();
    for token in &tokens {
        for path in INNER {
            let answer = apis[0].get(path, token).await?;
            outcome.tried(&answer.word());
            let what = format!("{path} of the API before the second step");
            outcome.never(&what, u64::from(answer.is_accepted()));
        }
        for path in PAGES {
            let status = apis[0].page(path, token).await?;
            outcome.tried(&status.as_u16().to_string());
            let what = format!("the page {path} before the second step");
            outcome.never(&what, u64::from(status.is_success()));
        }
    }

    let started = Instant::now();
    let guesses = Arc::new(Guesses::that_miss(codes));
    let (tally, tokens): (_, Arc<[String]>) = (Tally::of(tokens.len()), tokens.into());
    volley(0..Scenario::Portal.part(plan, 200), CALLERS, {
        let tally = Arc::clone(&tally);
        move |number| {
            let (apis, tokens) = (Arc::clone(&apis), Arc::clone(&tokens));
            let (guesses, tally) = (Arc::clone(&guesses), Arc::clone(&tally));
            async move {
                let target = number as usize % tokens.len();
                let api = &apis[number as usize / tokens.len() % apis.len()];
                let body = json!({ "code": guesses.nth(number) });
                let answer = api.post("/code/verify", &tokens[target], body).await?;
                let word = answer.word();
                tally.note(&word);
                if JUDGED.contains(&word.as_str()) {
                    tally.count(target);
                }
                Ok(())
            }
        }
    })
    .await?;
    outcome.add(&tally);
    outcome.never("a code accepted without the SMS", tally.accepted());
    let budget = budget(started.elapsed());
    for judged in tally.judged() {
        outcome.beyond("a guess judged beyond a user's lock", judged, budget);
    }
    Ok(outcome)
}
