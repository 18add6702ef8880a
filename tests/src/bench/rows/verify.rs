//! Verifying a code: otp-api's VerifyChallenge on Redis against one EVALSHA.
//!
//! The codes are wrong ones, for challenges with tries left, since a right one can only come from an
//! SMS. A right one costs what it proves on top: five commands of the script, and three keyed hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use sallyport_proto::otp::v1::challenge_service_client::ChallengeServiceClient;
use sallyport_proto::otp::v1::{Binding, Verdict, VerifyChallengeRequest};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::Row;
use super::otp::{Otp, Server};
use crate::bench::bare::challenge::TRIES;
use crate::bench::load::{self, Ask, IN_FLIGHT};
use crate::bench::report::Measured;
use crate::bench::{Plan, report};

/// More than any side does on any machine of the kind: what the first supply is made for.
const FIRST_GUESS: f64 = 40_000.0;

/// Measures the row.
pub async fn measure(row: Row, plan: Plan) -> Result<report::Row> {
    let otp = Otp::start().await?;
    let guess = std::cell::Cell::new(FIRST_GUESS);
    let (limit, product) = plan
        .in_turn(
            row.name(),
            async || {
                let measured = run(plan, &otp, &otp.bare, guess.get()).await?;
                // The product is not faster than the bare limit, nor a run twice as fast as another.
                guess.set((measured.rate * 2.0).min(FIRST_GUESS));
                Ok(measured)
            },
            async || run(plan, &otp, &otp.product, guess.get()).await,
        )
        .await?;
    row.of_servers(&limit, &product)
}

async fn run(plan: Plan, otp: &Otp, server: &Server, rate: f64) -> Result<Measured> {
    let callers = callers(otp, server, plan.times.calls_at(rate), IN_FLIGHT).await?;
    load::run(plan.times, callers, &server.child).await
}

/// So many callers, who can make so many attempts in all; what earlier runs left is thrown away.
pub(super) async fn callers(
    otp: &Otp,
    server: &Server,
    attempts: usize,
    callers: usize,
) -> Result<Vec<Verify>> {
    otp.empty().await?;
    let supply = Arc::new(supply(otp, server, attempts.div_ceil(TRIES as usize)).await?);
    Ok((0..callers)
        .zip(server.channels.iter().cycle())
        .map(|(_, channel)| Verify {
            client: ChallengeServiceClient::new(channel.clone()),
            supply: Arc::clone(&supply),
        })
        .collect())
}

/// Challenges to verify, each as often as it bears.
struct Supply {
    challenges: Vec<(String, Binding)>,
    next: AtomicUsize,
}

async fn supply(otp: &Otp, server: &Server, challenges: usize) -> Result<Supply> {
    let mut making = JoinSet::new();
    for caller in 0..IN_FLIGHT {
        let mut creator = server.creator(caller, &otp.fresh);
        let share = challenges.div_ceil(IN_FLIGHT);
        making.spawn(async move {
            let mut made = Vec::with_capacity(share);
            for _ in 0..share {
                made.push(creator.create().await?);
            }
            anyhow::Ok(made)
        });
    }
    let mut challenges = Vec::with_capacity(challenges);
    while let Some(made) = making.join_next().await {
        challenges.extend(made?.context("making challenges to verify")?);
    }
    Ok(Supply {
        challenges,
        next: AtomicUsize::new(0),
    })
}

/// Verifies wrong codes.
pub(super) struct Verify {
    client: ChallengeServiceClient<Channel>,
    supply: Arc<Supply>,
}

impl Ask for Verify {
    async fn ask(&mut self) -> Result<()> {
        let Supply { challenges, next } = &*self.supply;
        let number = next.fetch_add(1, Ordering::Relaxed);
        ensure!(
            number < challenges.len() * TRIES as usize,
            "every challenge was used up"
        );
        let (challenge_id, binding) = &challenges[number % challenges.len()];
        let request = VerifyChallengeRequest {
            challenge_id: challenge_id.clone(),
            binding: Some(binding.clone()),
            code: "271828".to_owned(),
            request_id: format!("attempt-{number:014}"),
        };
        let answer = self
            .client
            .verify_challenge(request)
            .await
            .context("VerifyChallenge")?;
        match answer.into_inner().verdict() {
            Verdict::Wrong => Ok(()),
            // One code in a million is this one.
            Verdict::Right | Verdict::Used => Ok(()),
            other => bail!("the verdict {}", other.as_str_name()),
        }
    }
}
