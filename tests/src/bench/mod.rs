//! `make bench`: the product against the bare limit of the machine; and `make timing`.
//!
//! For every path that matters there is a *limit*: the least that could do the same work, written
//! here in a few lines (a hash in a loop; a tonic handler that does one EVALSHA). Limit and product
//! are measured in turn (limit, product, limit, product, …) within one run, because a figure of one
//! day cannot be compared with one of another, and neither can machines. What counts is the ratio.
//!
//! Both sides are alike in everything but the work: a child process on the same cores as the
//! caller, reached over a unix socket without TLS (which lets the services know their peer by
//! socket instead of certificate), over the same number of connections, by the same callers, with
//! the same messages, on the same PostgreSQL, Redis and RabbitMQ. The product is put together by
//! its own `run` from its own defaults; what a row sets otherwise stands in the row.
//!
//! The figures are for reading. No test looks at them.

mod bare;
mod child;
pub(crate) mod load;
pub(crate) mod machine;
mod pace;
mod product;
pub(crate) mod report;
mod rows;
mod serve;
mod stats;
mod timing;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use self::load::Times;
use self::machine::Machine;
use self::report::{Failed, Measured, Report};
use self::rows::Row;
use self::serve::Serve;

/// Measures the product against the bare limit, in turn, and writes target/reports/bench.json.
#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Only these rows; without any, all.
    rows: Vec<Row>,
    /// Runs of each side.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of a run that count.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Seconds of a run before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
    /// Where the report goes.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// One of the servers under measure; `bench` starts them itself.
    #[command(hide = true)]
    Serve {
        #[command(subcommand)]
        server: Serve,
    },
    /// Compares the times of sign-ins, and writes target/reports/timing.json.
    Timing {
        /// Rounds that count; each kind of sign-in once a round.
        #[arg(long, default_value_t = 1_000)]
        rounds: usize,
        /// Where the report goes.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// How rows are measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Runs of each side.
    runs: usize,
    /// Of one run.
    times: Times,
}

impl Plan {
    /// Limit, product, limit, product, …
    async fn in_turn<L>(
        &self,
        name: &str,
        mut limit: impl AsyncFnMut() -> Result<L>,
        mut product: impl AsyncFnMut() -> Result<Measured>,
    ) -> Result<(Vec<L>, Vec<Measured>)> {
        let (mut limits, mut products) = (Vec::new(), Vec::new());
        for run in 1..=self.runs {
            eprintln!("{name}: run {run} of {}", self.runs);
            limits.push(limit().await.with_context(|| format!("limit, run {run}"))?);
            products.push(
                product()
                    .await
                    .with_context(|| format!("product, run {run}"))?,
            );
        }
        Ok((limits, products))
    }
}

/// The program: measures, or is one of the servers under measure.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Serve { server }) => server.run().await.map(|()| true),
        Some(Command::Timing { rounds, out }) => match release() {
            Ok(()) => timing::measure(rounds, out).await.map(|()| true),
            Err(error) => Err(error),
        },
        None => measure(arguments).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn release() -> Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "figures of a debug build say nothing: cargo run --release -p sallyport-tests --bin bench"
    );
    Ok(())
}

/// `false` where a row could not be measured; the report says which and why.
async fn measure(arguments: Arguments) -> Result<bool> {
    release()?;
    ensure!(arguments.runs > 0, "--runs must be above 0");
    let seconds = |name, value| {
        Duration::try_from_secs_f64(value).with_context(|| format!("{name} cannot be {value}"))
    };
    let times = Times {
        warm_up: seconds("--warm-up-seconds", arguments.warm_up_seconds)?,
        measured: seconds("--seconds", arguments.seconds)?,
    };
    ensure!(!times.measured.is_zero(), "--seconds must be above 0");
    let plan = Plan {
        runs: arguments.runs,
        times,
    };
    let rows = match arguments.rows {
        none if none.is_empty() => Row::value_variants().to_vec(),
        some => some,
    };
    let mut report = Report {
        machine: Machine::this(),
        rows: Vec::new(),
        errors: Vec::new(),
    };
    for row in rows {
        match row.measure(plan).await {
            Ok(measured) => report.rows.push(measured),
            Err(error) => {
                let failed = Failed {
                    name: row.name().to_owned(),
                    error: format!("{error:#}"),
                };
                eprintln!("{}: {}", failed.name, failed.error);
                report.errors.push(failed);
            }
        }
    }
    let path = arguments
        .out
        .unwrap_or_else(|| sallyport_testkit::target_folder().join("reports/bench.json"));
    report::write(&path, &report)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", report.table())?;
    writeln!(out, "{}", path.display())?;
    Ok(report.errors.is_empty())
}
