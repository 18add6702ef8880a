//! A closed loop: so many callers, each of which asks again as soon as it was answered, for a time or
//! a number of times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use super::child::Child;
use super::report::Measured;
use super::stats::quantile;

/// Callers of every row but sign-in, whose work is a hash and whose queue is short on purpose.
pub const IN_FLIGHT: usize = 64;
/// Connections that the callers share.
pub const CONNECTIONS: usize = 4;

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Before anything is counted.
    pub warm_up: Duration,
    /// What is counted.
    pub measured: Duration,
}

impl Times {
    /// How many calls a run makes at this rate, with a fifth to spare.
    pub fn calls_at(&self, rate: f64) -> usize {
        (rate * (self.warm_up + self.measured).as_secs_f64() * 1.2).ceil() as usize
    }
}

/// One of the callers of a loop.
pub trait Ask: Send + 'static {
    /// Asks once. An answer that the row does not expect is an error, and ends the run.
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Runs the loop against a server; the CPU is what the server used while calls were counted.
pub async fn run<A: Ask>(times: Times, callers: Vec<A>, server: &Child) -> Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(keep_asking(caller, Arc::clone(&phase)));
    }
    let timed = async {
        tokio::time::sleep(times.warm_up).await;
        let (cpu, started) = (server.cpu_seconds()?, Instant::now());
        phase.store(COUNTING, Ordering::Relaxed);
        tokio::time::sleep(times.measured).await;
        phase.store(OVER, Ordering::Relaxed);
        let elapsed = started.elapsed().as_secs_f64();
        anyhow::Ok((elapsed, server.cpu_seconds()? - cpu, server.rss_mib()?))
    };
    let (elapsed, cpu, rss_mib) = tokio::select! {
        timed = timed => timed?,
        Some(ended) = tasks.join_next() => match ended? {
            Err(error) => return Err(error),
            Ok(_) => bail!("a caller ended before the run did"),
        },
    };
    let mut micros = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        micros.extend(ended??);
    }
    measured(micros, elapsed, cpu, rss_mib)
}

/// What so many answers in so many seconds show, each with its microseconds.
pub fn measured(mut micros: Vec<u32>, elapsed: f64, cpu: f64, rss_mib: f64) -> Result<Measured> {
    micros.sort_unstable();
    ensure!(
        !micros.is_empty(),
        "nothing was answered within {elapsed:.1} s"
    );
    let at = |share| quantile(&micros, share).map(|us| f64::from(us) / 1_000.0);
    let calls = micros.len() as f64;
    Ok(Measured {
        rate: calls / elapsed,
        p50_ms: at(0.5).context("no sample")?,
        p99_ms: at(0.99).context("no sample")?,
        cpu_s_per_1000: cpu / calls * 1_000.0,
        rss_mib,
    })
}

/// Asks so many times in all; whichever caller was answered makes the next call.
pub async fn so_often<A: Ask>(calls: u64, callers: Vec<A>) -> Result<()> {
    let made = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let made = Arc::clone(&made);
        tasks.spawn(async move {
            while made.fetch_add(1, Ordering::Relaxed) < calls {
                caller.ask().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Microseconds of each answer that came while calls were counted.
async fn keep_asking<A: Ask>(mut caller: A, phase: Arc<AtomicU8>) -> Result<Vec<u32>> {
    let mut micros = Vec::with_capacity(1 << 12);
    loop {
        let started = Instant::now();
        caller.ask().await?;
        let took = started.elapsed();
        match phase.load(Ordering::Relaxed) {
            WARMING => {}
            COUNTING => micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
            _ => return Ok(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails;

    impl Ask for Fails {
        async fn ask(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            bail!("refused")
        }
    }

    struct Answers;

    impl Ask for Answers {
        async fn ask(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_unexpected_answer_ends_the_run_with_its_error() {
        let times = Times {
            warm_up: Duration::from_secs(3600),
            measured: Duration::from_secs(3600),
        };
        let error = run(times, vec![Fails], &Child::this()).await.unwrap_err();
        assert_eq!(error.to_string(), "refused");
    }

    #[tokio::test]
    async fn answers_are_counted_after_the_warm_up_and_until_the_end() {
        let phase = Arc::new(AtomicU8::new(WARMING));
        let asking = tokio::spawn(keep_asking(Answers, Arc::clone(&phase)));
        tokio::task::yield_now().await;
        phase.store(OVER, Ordering::Relaxed);
        assert!(asking.await.unwrap().unwrap().is_empty());
        let phase = Arc::new(AtomicU8::new(COUNTING));
        let asking = tokio::spawn(keep_asking(Answers, Arc::clone(&phase)));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        phase.store(OVER, Ordering::Relaxed);
        assert!(!asking.await.unwrap().unwrap().is_empty());
    }

    struct Counts(Arc<AtomicU64>);

    impl Ask for Counts {
        async fn ask(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn callers_share_a_number_of_calls_and_an_error_ends_them() {
        let count = Arc::new(AtomicU64::new(0));
        let callers = (0..7).map(|_| Counts(Arc::clone(&count))).collect();
        so_often(100, callers).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 100);
        let error = so_often(u64::MAX, vec![Fails]).await.unwrap_err();
        assert_eq!(error.to_string(), "refused");
    }

    #[test]
    fn a_supply_lasts_for_the_warm_up_too() {
        let times = Times {
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(4),
        };
        assert_eq!(times.calls_at(100.0), 600);
    }
}
