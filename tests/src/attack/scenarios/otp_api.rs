//! Guesses at two otp-api processes on one Redis by whoever holds identity's certificate: nothing
//! counts but the one atomic step of the challenge store. Challenges are sent again between guesses,
//! and a right answer is given many times at once.
//!
//! Harsh: identity itself is the attacker's.
//!
//! Through is: a wrong answer judged beyond the five of a challenge; a challenge that is still answered
//! after them; a right answer that is taken twice; a verdict `RIGHT` without the code from the SMS.
//!
//! It is red when the step is broken: in `otp-dispatch/src/adapters/scripts/verify.lua`, of the line that
//! decides a wrong code, leave `'tries', tries - 1` out of what is stored (the 100 challenges are then
//! judged without end); of the line that decides the right one, leave `'used', now` out (each of the 100
//! answers at once is then the right one). `make attack` builds the script in, and a hundredth is enough:
//! `cargo run --release -p sallyport-tests --bin attack -- otp-api --scale 0.01`.

use std::sync::Arc;

use anyhow::{Context, Result};
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::{
    Binding, CreateChallengeRequest, Purpose, ResendChallengeRequest, Verdict,
    VerifyChallengeRequest,
};
use tonic::Status;

use super::Scenario;
use crate::attack::Plan;
use crate::attack::person::fresh_key;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Guesses, Tally, at_once, volley, word};
use crate::{code_in, codes_at};

/// Challenges that are guessed at.
const CHALLENGES: u64 = 100;
/// Wrong codes that end a challenge.
const TRIES: u64 = 5;
/// Guesses under way.
const CALLERS: usize = 128;
/// Challenges whose right answer is given at once, and how often.
const ROUNDS: u64 = 10;
const ANSWERS: u64 = 100;

/// A challenge and the code of its SMS.
#[derive(Debug, Clone)]
pub struct Sent {
    /// otp-api's id.
    pub id: String,
    /// What it is bound to.
    pub binding: Binding,
    /// What the SMS holds.
    pub code: String,
}

impl Sent {
    /// A challenge as identity makes one for the second step of a sign-in.
    pub async fn new(stack: &mut Stack, wire: &Outgoing) -> Result<Self> {
        let number = stack.number_anew();
        let binding = Binding {
            purpose: Purpose::SignIn.into(),
            user_id: format!("user-{number}"),
            session_id: format!("session-{number}"),
            number: Stack::phone(number),
        };
        let request = CreateChallengeRequest {
            binding: Some(binding.clone()),
            idempotency_key: fresh_key(),
            locale: "en".to_owned(),
            organisation_id: String::new(),
            client_ip: String::new(),
            trusted: true,
        };
        let answer = ChallengeServiceClient::new(wire.clone())
            .create_challenge(request)
            .await
            .context("CreateChallenge")?;
        let challenge = answer.into_inner().challenge.context("no challenge")?;
        let codes = codes_at(&stack.processes.smsc, &binding.number, 1).await?;
        Ok(Self {
            id: challenge.challenge_id,
            code: code_in(&codes[0])?,
            binding,
        })
    }

    /// Asks otp-api to judge a code.
    pub async fn verify(&self, wire: &Outgoing, code: &str) -> Result<Verdict, Status> {
        let request = VerifyChallengeRequest {
            challenge_id: self.id.clone(),
            binding: Some(self.binding.clone()),
            code: code.to_owned(),
            request_id: fresh_key(),
        };
        let answer = ChallengeServiceClient::new(wire.clone())
            .verify_challenge(request)
            .await?;
        Ok(answer.into_inner().verdict())
    }

    async fn resend(&self, wire: &Outgoing) -> Result<(), Status> {
        let request = ResendChallengeRequest {
            challenge_id: self.id.clone(),
            binding: Some(self.binding.clone()),
            idempotency_key: fresh_key(),
            locale: "en".to_owned(),
            client_ip: String::new(),
            trusted: true,
        };
        ChallengeServiceClient::new(wire.clone())
            .resend_challenge(request)
            .await
            .map(drop)
    }
}

/// The word of a verdict.
fn verdict_word(answer: &Result<Verdict, Status>) -> String {
    match answer {
        Ok(verdict) => verdict.as_str_name().to_owned(),
        Err(status) => word(status),
    }
}

struct Attack {
    targets: Vec<Sent>,
    guesses: Guesses,
    wires: Wires,
    tally: Arc<Tally>,
}

impl Attack {
    async fn guess(&self, number: u64) {
        let target = number as usize % self.targets.len();
        let wire = pick(&self.wires, number / self.targets.len() as u64);
        let code = self.guesses.nth(number);
        let answer = self.targets[target].verify(wire, &code).await;
        if matches!(answer, Ok(Verdict::Wrong)) {
            self.tally.count(target);
        }
        self.tally.note(&verdict_word(&answer));
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.otp(Holder::Identity, 4)?;
    let mut targets = Vec::new();
    for number in 0..plan.part(CHALLENGES, 4) {
        targets.push(Sent::new(stack, pick(&wires, number)).await?);
    }
    let attack = Arc::new(Attack {
        tally: Tally::of(targets.len()),
        guesses: Guesses::that_miss(targets.iter().map(|target| target.code.clone())),
        targets,
        wires: Arc::clone(&wires),
    });
    let guess = {
        let attack = Arc::clone(&attack);
        move |number| {
            let attack = Arc::clone(&attack);
            async move {
                attack.guess(number).await;
                Ok(())
            }
        }
    };
    let round = 2 * attack.targets.len() as u64;
    let guesses = Scenario::OtpApi.part(plan, 10 * round);
    let mut outcome = Outcome::default();

    // Two guesses at each, twice, and each time the code is sent again.
    for from in [0, round] {
        volley(from..from + round, CALLERS, guess.clone()).await?;
        for (number, target) in (0..).zip(&attack.targets) {
            target.resend(pick(&wires, number)).await?;
            outcome.figure("resends", 1);
        }
    }
    volley(2 * round..guesses, CALLERS, guess).await?;

    outcome.add(&attack.tally);
    let right = attack.tally.answered(Verdict::Right.as_str_name());
    outcome.never("RIGHT without the code from the SMS", right);
    for judged in attack.tally.judged() {
        outcome.beyond("a guess judged beyond a challenge's tries", judged, TRIES);
    }
    for (number, target) in (0..).zip(&attack.targets) {
        let answer = target.verify(pick(&wires, number), &target.code).await;
        outcome.tried(&verdict_word(&answer));
        let taken = u64::from(matches!(answer, Ok(Verdict::Right)));
        outcome.never("the right code after the last try", taken);
    }
    for number in 0..plan.part(ROUNDS, 2) {
        let sent = Sent::new(stack, pick(&wires, number)).await?;
        let tally = Tally::of(1);
        at_once(0..ANSWERS, |number| {
            let (sent, tally) = (sent.clone(), Arc::clone(&tally));
            let wire = pick(&wires, number).clone();
            async move {
                let answer = sent.verify(&wire, &sent.code).await;
                tally.note(&verdict_word(&answer));
                Ok(())
            }
        })
        .await?;
        let right = tally.answered(Verdict::Right.as_str_name());
        outcome.beyond("a right answer taken twice", right, 1);
        let nobody = u64::from(right == 0);
        outcome.never("the right answer refused to everybody", nobody);
        outcome.add(&tally);
    }
    Ok(outcome)
}
