//! A hundred thousand guesses at passwords, of people who are known and of addresses that nobody has,
//! while those people sign in from browsers that were remembered, and work on in sessions that are
//! open. Before that, guesses by somebody without a certificate, who claims another address each time.
//!
//! Harsh: the attacker holds a gateway's certificate, so that each guess comes from a network of its
//! own and meets no wait but the count of the e-mail itself.
//!
//! Through is: a sign-in by a wrong password; a guess judged beyond the hundred of an e-mail, or beyond
//! the twenty that one address has in a minute; a known user who is refused (one who is told that we
//! are busy may try again twice); an open session that is closed; and somebody whom a reset by mail
//! does not let in after the attack.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::{RequestPasswordResetRequest, SessionStage};
use serde_json::json;
use tonic::Status;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::api::Api;
use crate::attack::person::{PASSWORD, Person, Session, set_password, sign_in};
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, pick};
use crate::attack::tally::{Tally, volley, word};

/// People who are known.
const PEOPLE: u64 = 10;
/// Guesses under way.
const CALLERS: usize = 128;
/// Of ten guesses, so many are at known people's passwords.
const AT_PEOPLE: u64 = 7;
/// Wrong passwords of an e-mail in all.
const IN_ALL: u64 = 100;
/// Wrong passwords of an address in a minute, and guesses of each that is tried.
const OF_ADDRESS: u64 = 20;
const FROM_ADDRESS: u64 = 60;
/// Between two sign-ins of known users.
const PACE: Duration = Duration::from_millis(200);
/// How often somebody tries who is told that we are busy.
const PATIENCE: usize = 3;
/// The password that a reset sets.
const RESET: &str = "velvet harbour spoons 77 drift";

/// Somebody known: a browser that was remembered, and a session that is open in it.
struct Known {
    person: Person,
    browser_token: String,
    session: Session,
}

impl Known {
    async fn new(stack: &mut Stack, wire: &Outgoing) -> Result<Self> {
        let mut person = stack.enrolled().await?;
        let begun = person.begin(&stack.processes.smsc, wire).await?;
        let verified = begun.session.verify_in(&begun.code, true).await?;
        Ok(Self {
            session: begun.session.bearing(&verified.session_token),
            browser_token: verified.browser_token,
            person,
        })
    }

    /// Signs in by the remembered browser.
    async fn comes(&self, wire: &Outgoing) -> Result<SessionStage, Status> {
        let Person {
            client_ip, email, ..
        } = &self.person;
        patiently(async || {
            let signed_in = sign_in(wire, client_ip, email, PASSWORD, &self.browser_token).await;
            signed_in.map(|(_, stage)| stage)
        })
        .await
    }

    /// Types the password again in the open session, and is known by it.
    async fn works_on(&mut self, wire: &Outgoing) -> Result<(), Status> {
        let session = self.session.by(wire);
        let token = patiently(async || session.confirm_password(PASSWORD).await).await?;
        self.session = session.bearing(&token);
        self.session.who().await.map(drop)
    }
}

/// What a person does who is told to come back in a second.
async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    for _ in 1..PATIENCE {
        match attempt().await {
            Err(status) if word(&status) == "sign_in.busy" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            answer => return answer,
        }
    }
    attempt().await
}

/// Wrong passwords that an address may have had judged after so long.
fn budget_of_address(since: Duration) -> u64 {
    OF_ADDRESS * (1 + since.as_secs() / 60)
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 4)?;
    let mut outcome = Outcome::default();
    one_address(stack, &mut outcome).await?;

    let mut known = Vec::new();
    for number in 0..plan.part(PEOPLE, 2) {
        known.push(Known::new(stack, pick(&wires, number)).await?);
    }
    let emails: Arc<[String]> = known.iter().map(|k| k.person.email.clone()).collect();
    let tally = Tally::of(emails.len());
    let guesses = Scenario::Passwords.part(plan, 2_000);
    let storm = tokio::spawn(volley(0..guesses, CALLERS, {
        let (wires, emails, tally) = (Arc::clone(&wires), Arc::clone(&emails), Arc::clone(&tally));
        move |number| {
            let (wires, emails) = (Arc::clone(&wires), Arc::clone(&emails));
            let tally = Arc::clone(&tally);
            async move {
                let target = number as usize / 10 % emails.len();
                let at_somebody = number % 10 < AT_PEOPLE;
                let email = if at_somebody {
                    emails[target].clone()
                } else {
                    format!("nobody-{number}@nowhere.example")
                };
                // Each from a /24 of its own.
                let address = Ipv4Addr::from_bits((11 << 24) + ((number as u32) << 8) + 1);
                let password = format!("granite otter walks {number} bridges!");
                let wire = pick(&wires, number);
                let answer = sign_in(wire, &address.to_string(), &email, &password, "").await;
                if tally.judge(target, &answer) == "sign_in.failed" && at_somebody {
                    tally.count(target);
                }
                Ok(())
            }
        }
    }));
    let mut visits = 0;
    loop {
        // Both processes, both ways in, everybody in turn, and at least once each.
        let (turn, wire) = (visits as usize % known.len(), pick(&wires, visits));
        let known = &mut known[turn];
        let stage = known.comes(wire).await;
        let let_in = stage.is_ok_and(|stage| stage == SessionStage::SignedIn);
        outcome.never("a known user kept out", u64::from(!let_in));
        let works = known.works_on(wire).await;
        outcome.never(
            "an open session kept from working",
            u64::from(works.is_err()),
        );
        visits += 1;
        if storm.is_finished() && visits >= emails.len() as u64 {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    storm.await??;
    outcome.figure("sign-ins of known users", visits);
    outcome.add(&tally);
    outcome.never("a wrong password that lets in", tally.accepted());
    for judged in tally.judged() {
        outcome.beyond("a guess judged beyond an e-mail's hundred", judged, IN_ALL);
    }
    let known = known.first().context("nobody is known")?;
    reset(stack, &known.person, pick(&wires, 0), &mut outcome).await?;
    Ok(outcome)
}

/// Guesses from single addresses of this machine, one after another: over gRPC without a certificate,
/// and over HTTP.
async fn one_address(stack: &Stack, outcome: &mut Outcome) -> Result<()> {
    let wire = stack.identity_from(Ipv4Addr::new(127, 0, 5, 1))?;
    let (tally, started) = (Tally::of(1), Instant::now());
    for number in 0..FROM_ADDRESS {
        let (claimed, email) = (
            format!("198.51.100.{number}"),
            format!("nobody-{number}@grpc.example"),
        );
        let answer = sign_in(&wire, &claimed, &email, PASSWORD, "").await;
        if tally.judge(0, &answer) == "sign_in.failed" {
            tally.count(0);
        }
    }
    let api = Api::from(&stack.processes.portal, Ipv4Addr::new(127, 0, 5, 2))?;
    let over_http = Tally::of(1);
    for number in 0..FROM_ADDRESS {
        let email = format!("nobody-{number}@http.example");
        let body = json!({ "email": email, "password": PASSWORD });
        let word = api.post("/sign-in", "", body).await?.word();
        over_http.note(&word);
        if word == "sign_in.failed" {
            over_http.count(0);
        }
    }
    let budget = budget_of_address(started.elapsed());
    for tally in [&tally, &over_http] {
        outcome.add(tally);
        outcome.never("a wrong password that lets in", tally.accepted());
        for judged in tally.judged() {
            outcome.beyond("a guess judged beyond an address's twenty", judged, budget);
        }
    }
    Ok(())
}

/// Whoever has no browser that is remembered gets in by a reset, whatever was guessed.
async fn reset(
    stack: &Stack,
    person: &Person,
    wire: &Outgoing,
    outcome: &mut Outcome,
) -> Result<()> {
    let request = RequestPasswordResetRequest {
        email: person.email.clone(),
    };
    PasswordServiceClient::new(wire.clone())
        .request_password_reset(Session::of(wire, &person.client_ip, "").ask(request))
        .await
        .context("asking for a reset")?;
    let link = stack
        .mailed_link(&person.email, "Set a new password")
        .await?;
    set_password(wire, &person.client_ip, &link, RESET)
        .await
        .context("the password by the reset")?;
    let signed_in = sign_in(wire, &person.client_ip, &person.email, RESET, "").await;
    let let_in = signed_in.is_ok_and(|(_, stage)| stage == SessionStage::AwaitingSecondFactor);
    outcome.never("a user kept out after his reset", u64::from(!let_in));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_guesses_anew_each_minute() {
        let budget = |seconds| budget_of_address(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 150].map(budget), [20, 20, 40, 60]);
    }
}
