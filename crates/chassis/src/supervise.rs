//! Long-lived tasks of a process: they end together, and one that ends unasked is an error.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A set of named tasks under one cancellation token.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, Result<()>)>,
}

impl Supervisor {
    /// An empty set; `stop` asks all of it to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            tasks: JoinSet::new(),
        }
    }

    /// Starts a task that runs until the token is cancelled.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits until the token is cancelled and every task has ended, at most `grace` after it. A task
    /// that ends before it was asked stops the others and is returned as the error.
    pub async fn run(mut self, grace: Duration) -> Result<()> {
        let first = tokio::select! {
            () = self.stop.cancelled() => None,
            ended = self.tasks.join_next() => ended,
        };
        let mut outcome = match first {
            None => Ok(()),
            Some(ended) => {
                // A task that saw the token before this one did was asked to end.
                let asked = self.stop.is_cancelled();
                self.stop.cancel();
                unasked(ended, asked)
            }
        };
        let rest = async {
            while let Some(ended) = self.tasks.join_next().await {
                let result = unasked(ended, true);
                if outcome.is_ok() {
                    outcome = result;
                }
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::warn!(grace_seconds = grace.as_secs(), "tasks did not end in time");
        }
        outcome
    }
}

type Ended = std::result::Result<(&'static str, Result<()>), tokio::task::JoinError>;

fn unasked(ended: Ended, asked: bool) -> Result<()> {
    match ended {
        Ok((_, Ok(()))) if asked => Ok(()),
        Ok((name, Ok(()))) => Err(anyhow!("task {name} ended unasked")),
        Ok((name, Err(error))) => Err(error).with_context(|| format!("task {name} failed")),
        Err(panic) => Err(anyhow!(panic).context("a task panicked")),
    }
}

/// A token that is cancelled by SIGTERM or SIGINT.
pub fn stop_on_signals() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancel.cancel();
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_unasked_is_an_error_and_stops_the_others() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        let other = stop.clone();
        tasks.spawn("waits", async move {
            other.cancelled().await;
            Ok(())
        });
        tasks.spawn("ends", async { Ok(()) });
        let error = tasks.run(Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains("ends"), "{error}");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn tasks_that_end_when_asked_are_no_error() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        let own = stop.clone();
        tasks.spawn("waits", async move {
            own.cancelled().await;
            Ok(())
        });
        stop.cancel();
        tasks.run(Duration::from_secs(5)).await.unwrap();
    }
}
