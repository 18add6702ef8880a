//! Session checks and checks of codes while twice as many people sign in as can be hashed, beside the
//! same checks while nobody does. Excess sign-ins are to be refused at once: how many were, and how long
//! the slowest hundredth of the refusals took, stands in the row.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::otp::Otp;
use super::sign_in::request;
use super::users::{Identity, User};
use super::{Row, session, verify};
use crate::bench::bare::hash;
use crate::bench::machine::cores;
use crate::bench::pace::Schedule;
use crate::bench::report::Measured;
use crate::bench::stats::{Figure, quantile};
use crate::bench::{Plan, pace, report};

/// Checks a second: what a busy portal asks, and far from what either service can do.
const CHECKS: f64 = 500.0;
/// More than are under way.
const CALLERS: usize = 256;
/// Sign-ins that are asked for, by what can be hashed.
const EXCESS: f64 = 2.0;
/// People under way for each hashing thread: more than may wait for it.
const PEOPLE_PER_THREAD: usize = 128;

/// Measures the row.
pub async fn measure(row: Row, plan: Plan) -> Result<report::Row> {
    let threads = cores().saturating_sub(1).max(1);
    let identity = Identity::start(threads).await?;
    let otp = match row {
        Row::VerifyBesideSignIn => Some(Otp::start().await?),
        _ => None,
    };
    let tokens = session::bearers(identity.sign_all_in().await?)?;
    let hashes = hash::rate(threads, plan.times).await?;
    let checks = async || -> Result<Measured> {
        match &otp {
            Some(otp) => {
                let attempts = plan.times.calls_at(CHECKS);
                let callers = verify::callers(otp, &otp.product, attempts, CALLERS).await?;
                pace::run(CHECKS, plan.times, callers, &otp.product.child).await
            }
            None => {
                let callers = session::callers(&identity.channels, &tokens, CALLERS);
                pace::run(CHECKS, plan.times, callers, &identity.child).await
            }
        }
    };
    let crowds = RefCell::new(Vec::new());
    let (idle, saturated) = plan
        .in_turn(
            row.name(),
            async || checks().await,
            async || {
                let crowd = Crowd::at_the_door(&identity, threads, EXCESS * hashes);
                let measured = checks().await;
                let seen = crowd.leave().await?;
                crowds.borrow_mut().push(seen);
                measured
            },
        )
        .await?;
    let mut row = row.of_p99(&idle, &saturated)?;
    let crowds = crowds.into_inner();
    for (name, of) in FIGURES {
        let values: Vec<f64> = crowds.iter().map(of).collect();
        let figure = Figure::of(&values).context("a figure of sign-ins")?;
        row.more.insert(name, figure);
    }
    Ok(row)
}

type Told = (&'static str, fn(&Seen) -> f64);

/// What is told of the people at the door, by its name in the report.
const FIGURES: [Told; 3] = [
    ("sign-ins /s", |seen| seen.signed_in as f64 / seen.seconds),
    ("refused /s", |seen| {
        seen.refused.len() as f64 / seen.seconds
    }),
    ("refused p99 ms", |seen| {
        quantile(&seen.refused, 0.99).map_or(0.0, |micros| f64::from(micros) / 1_000.0)
    }),
];

/// How those who came to sign in fared.
#[derive(Debug, Default)]
struct Seen {
    signed_in: u64,
    /// Microseconds of each refusal, sorted.
    refused: Vec<u32>,
    seconds: f64,
}

/// People who come at a steady rate, each with the right password.
struct Crowd {
    started: Instant,
    leave: CancellationToken,
    people: JoinSet<Result<Seen>>,
}

impl Crowd {
    fn at_the_door(identity: &Identity, threads: usize, rate: f64) -> Self {
        let (schedule, leave) = (Schedule::new(rate), CancellationToken::new());
        let users: Arc<[User]> = identity.users.as_slice().into();
        let mut people = JoinSet::new();
        for (_, channel) in (0..threads * PEOPLE_PER_THREAD).zip(identity.channels.iter().cycle()) {
            people.spawn(come(
                SignInServiceClient::new(channel.clone()),
                Arc::clone(&users),
                Arc::clone(&schedule),
                leave.clone(),
            ));
        }
        Self {
            started: Instant::now(),
            leave,
            people,
        }
    }

    /// Ends it, and waits for those who are under way.
    async fn leave(mut self) -> Result<Seen> {
        self.leave.cancel();
        let mut all = Seen {
            seconds: self.started.elapsed().as_secs_f64(),
            ..Seen::default()
        };
        while let Some(ended) = self.people.join_next().await {
            let seen = ended??;
            all.signed_in += seen.signed_in;
            all.refused.extend(seen.refused);
        }
        all.refused.sort_unstable();
        Ok(all)
    }
}

async fn come(
    mut client: SignInServiceClient<Channel>,
    users: Arc<[User]>,
    schedule: Arc<Schedule>,
    leave: CancellationToken,
) -> Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let (number, due) = schedule.take();
        tokio::select! {
            () = leave.cancelled() => return Ok(seen),
            () = sleep_until(due) => {}
        }
        let User { email, password } = &users[number as usize % users.len()];
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number as u32);
        let asked = Instant::now();
        match client
            .sign_in(request(email.clone(), password.clone(), address)?)
            .await
        {
            Ok(_) => seen.signed_in += 1,
            Err(status) => {
                let reason = Refusal::from_status(&status).map(|refusal| refusal.reason);
                if reason.as_deref() != Some("sign_in.busy") {
                    return Err(anyhow!(status).context("SignIn"));
                }
                seen.refused.push(micros(asked.elapsed()));
            }
        }
    }
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}
