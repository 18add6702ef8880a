//! An open loop: calls at a steady rate, whether or not those before them were answered.
//!
//! Each is timed from the instant at which it was due, not from when a caller was free to make it, so
//! that what one slow answer keeps waiting counts as slow too ("coordinated omission", G. Tene, How NOT
//! to Measure Latency, 2015; the same correction as in wrk2). Tokio's timer wakes up to a millisecond
//! late, and that is in every figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::child::Child;
use super::load::{Ask, Times, measured};
use super::report::Measured;

/// The instants at which calls are due.
#[derive(Debug)]
pub struct Schedule {
    started: Instant,
    rate: f64,
    next: AtomicU64,
}

impl Schedule {
    /// So many calls a second, from now on.
    pub fn new(rate: f64) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            rate,
            next: AtomicU64::new(0),
        })
    }

    /// The next call: its number, and when it is due.
    pub fn take(&self) -> (u64, Instant) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let after = Duration::from_secs_f64(number as f64 / self.rate);
        (number, self.started + after)
    }
}

/// Runs the loop against a server. There must be more callers than calls are ever under way.
pub async fn run<A: Ask>(
    rate: f64,
    times: Times,
    callers: Vec<A>,
    server: &Child,
) -> Result<Measured> {
    let schedule = Schedule::new(rate);
    let warm = (rate * times.warm_up.as_secs_f64()).ceil() as u64;
    let last = warm + (rate * times.measured.as_secs_f64()).floor() as u64;
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(keep_pace(caller, Arc::clone(&schedule), warm, last));
    }
    let gathered = async {
        let mut micros = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            micros.extend(ended??);
        }
        anyhow::Ok((micros, schedule.started.elapsed()))
    };
    let used = async {
        sleep(times.warm_up).await;
        let before = server.cpu_seconds()?;
        sleep(times.measured).await;
        anyhow::Ok((server.cpu_seconds()? - before, server.rss_mib()?))
    };
    let ((micros, elapsed), (cpu, rss_mib)) = tokio::try_join!(gathered, used)?;
    let elapsed = elapsed.saturating_sub(times.warm_up);
    measured(micros, elapsed.as_secs_f64(), cpu, rss_mib)
}

/// Microseconds of each call whose number counts.
async fn keep_pace<A: Ask>(
    mut caller: A,
    schedule: Arc<Schedule>,
    warm: u64,
    last: u64,
) -> Result<Vec<u32>> {
    let mut micros = Vec::new();
    loop {
        let (number, due) = schedule.take();
        if number >= last {
            return Ok(micros);
        }
        sleep_until(due).await;
        caller.ask().await?;
        if number >= warm {
            micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so long for its first answer, and nothing for the others.
    struct Stalls(Option<Duration>);

    impl Ask for Stalls {
        async fn ask(&mut self) -> Result<()> {
            if let Some(stall) = self.0.take() {
                sleep(stall).await;
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_counts_for_every_call_that_was_due_meanwhile() {
        let caller = Stalls(Some(Duration::from_millis(100)));
        let micros = keep_pace(caller, Schedule::new(100.0), 0, 20)
            .await
            .unwrap();
        let millis: Vec<u32> = micros.iter().map(|micros| micros / 1_000).collect();
        // Due each 10 ms, and answered when the stall is over.
        let expected: Vec<u32> = (0..20u32).map(|n| 100u32.saturating_sub(10 * n)).collect();
        for (millis, expected) in millis.iter().zip(&expected) {
            assert!(
                millis.abs_diff(*expected) <= 1,
                "{millis} ms for {expected}"
            );
        }
        assert_eq!(millis.len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_before_the_count_begins_is_asked_and_not_counted() {
        let schedule = Schedule::new(100.0);
        let micros = keep_pace(Stalls(None), Arc::clone(&schedule), 5, 20);
        assert_eq!(micros.await.unwrap().len(), 15);
        assert!(schedule.started.elapsed() >= Duration::from_millis(190));
    }
}
