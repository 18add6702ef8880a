//! Guesses while the challenge store loses what it knew: emptied; killed and started again; and set
//! back, again and again, to what it held before the attempts, which is what is left when a primary
//! fails and a replica takes its place that has not heard of them. And the right answer, 200 times at
//! once, while the store is set back.
//!
//! Harsh: the attacker knows the passwords, holds a gateway's certificate, and chooses the moment of
//! the failure.
//!
//! Through is: a code that is accepted without the SMS, or after the store has lost its challenge; a
//! guess judged beyond the fifteen after which a user's second step is locked, although the store gives
//! every challenge its five tries anew; an answer that is accepted twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;

use super::Scenario;
use super::spread::Targets;
use crate::attack::Plan;
use crate::attack::report::Outcome;
use crate::attack::stack::{Holder, Stack, Wires, pick};
use crate::attack::tally::{Tally, at_once};

/// Users of each round.
const PEOPLE: u64 = 5;
/// Rounds of each kind of loss.
const ROUNDS: u64 = 2;
/// Between two losses.
const PACE: Duration = Duration::from_millis(150);
/// How long the store is away.
const AWAY: Duration = Duration::from_millis(300);
/// Users whose right answer is given at once, and how often.
const ANSWERED: u64 = 10;
const ANSWERS: u64 = 200;

/// How the store loses what it knew.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Emptied,
    Killed,
    SetBack,
}

/// Everything in the store, as it was at one time.
struct Snapshot {
    connection: MultiplexedConnection,
    /// Key, milliseconds that it lives on (0: for good), and value as `DUMP` gives it.
    keys: Vec<(Vec<u8>, i64, Vec<u8>)>,
}

impl Snapshot {
    async fn take(url: &str) -> Result<Self> {
        // Setting back a full store may take longer than the half second that is the default.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = redis::Client::open(url)?
            .get_multiplexed_async_connection_with_config(&patient)
            .await?;
        let names: Vec<Vec<u8>> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await?;
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let (life, value): (i64, Option<Vec<u8>>) = redis::pipe()
                .cmd("PTTL")
                .arg(&name)
                .cmd("DUMP")
                .arg(&name)
                .query_async(&mut connection)
                .await?;
            // One that ended meanwhile is not there to be set back.
            keys.extend(value.map(|value| (name, life.max(0), value)));
        }
        Ok(Self { connection, keys })
    }

    /// Sets the store back to it, in one step.
    async fn restore(&mut self) -> Result<()> {
        let mut steps = redis::pipe();
        steps.atomic().cmd("FLUSHALL").ignore();
        for (name, life, value) in &self.keys {
            steps
                .cmd("RESTORE")
                .arg(name)
                .arg(*life)
                .arg(value)
                .ignore();
        }
        steps.exec_async(&mut self.connection).await?;
        Ok(())
    }
}

/// Plays it.
pub async fn play(stack: &mut Stack, plan: Plan) -> Result<Outcome> {
    let wires = stack.identity(Holder::Gateway, 4)?;
    let losses = [Loss::Emptied, Loss::Killed, Loss::SetBack];
    let rounds = losses.len() as u64 * ROUNDS;
    let guesses = Scenario::StoreLost.part(plan, 100 * rounds) / rounds;
    let mut outcome = Outcome::default();
    // What earlier scenarios left there is not to be set back, too.
    stack.processes.redis.flush().await?;
    for loss in losses.into_iter().cycle().take(rounds as usize) {
        round(stack, &wires, loss, guesses, &mut outcome).await?;
    }
    for number in 0..plan.part(ANSWERED, 2) {
        answered(stack, &wires, number, &mut outcome).await?;
    }
    Ok(outcome)
}

/// Guesses at new users' codes while the store is lost over and over.
async fn round(
    stack: &mut Stack,
    wires: &Wires,
    loss: Loss,
    guesses: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut begun = Vec::new();
    for mut person in stack.crowd(PEOPLE).await? {
        let awaiting = person.begin(&stack.processes.smsc, pick(wires, 0)).await?;
        begun.push((awaiting.session, awaiting.code));
    }
    let started = Instant::now();
    let targets = Targets::new(begun.clone(), wires);
    let mut snapshot = Snapshot::take(&stack.processes.redis.url()).await?;
    let storm = tokio::spawn({
        let targets = Arc::clone(&targets);
        async move { targets.guess(guesses).await }
    });
    let mut losses = 0;
    while losses == 0 || !storm.is_finished() {
        let redis = &mut stack.processes.redis;
        match loss {
            Loss::Emptied => redis.flush().await?,
            Loss::Killed => {
                redis.kill9().await?;
                tokio::time::sleep(AWAY).await;
                redis.start_again().await?;
            }
            Loss::SetBack => snapshot.restore().await?,
        }
        losses += 1;
        tokio::time::sleep(PACE).await;
    }
    storm.await??;
    stack.store_reached().await?;
    outcome.figure(&format!("store {loss:?}"), losses);
    targets.account(outcome, started);
    if let Loss::Emptied = loss {
        for (session, code) in begun {
            let answer = session.verify(&code).await;
            outcome.refused("the code of a challenge that the store has lost", answer);
        }
    }
    Ok(())
}

/// The right answer of a new user, many times at once, while the store forgets that it was given.
async fn answered(
    stack: &mut Stack,
    wires: &Wires,
    number: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut person = stack.enrolled().await?;
    let begun = person
        .begin(&stack.processes.smsc, pick(wires, number))
        .await
        .context("a code after the losses")?;
    let mut snapshot = Snapshot::take(&stack.processes.redis.url()).await?;
    let tally = Tally::of(1);
    let storm = tokio::spawn({
        let (tally, wires, begun) = (Arc::clone(&tally), Arc::clone(wires), begun.clone());
        async move {
            at_once(0..ANSWERS, |number| {
                let (tally, begun) = (Arc::clone(&tally), begun.clone());
                let session = begun.session.by(pick(&wires, number));
                async move {
                    let answer = session.verify(&begun.code).await;
                    tally.judge(0, &answer);
                    Ok(())
                }
            })
            .await
        }
    });
    while !storm.is_finished() {
        snapshot.restore().await?;
    }
    storm.await??;
    outcome.add(&tally);
    // Nobody may have got in: an attempt whose challenge is gone for a moment is refused.
    outcome.beyond("the same answer accepted again", tally.accepted(), 1);
    snapshot.restore().await?;
    let again = begun.session.verify(&begun.code).await;
    let taken = u64::from(again.is_ok() && tally.accepted() > 0);
    outcome.never("a used code accepted after a failover", taken);
    Ok(())
}
