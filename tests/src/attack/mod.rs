//! `make attack`: the real stack, attacked from outside over gRPC and HTTP.
//!
//! PostgreSQL, Redis, RabbitMQ, a carrier that somebody else wrote, and every service as a process
//! with mutual TLS, identity and otp-api twice on the same stores. What needs the time to be moved is
//! played against the services in one process, whose clock stands still until it is moved, on the same
//! servers.
//!
//! Each scenario says in its documentation what it means for something to get *through*. An attempt
//! that meets trouble (`Unavailable`) was refused: attempts never fail open. Codes are read from the
//! SMS that arrived; guesses miss them on purpose, so that what is accepted was accepted without one.
//!
//! Limits that would stop an attacker early, for another reason than the one under attack, are met as
//! attackers meet them. In the harsh scenarios he holds a gateway's certificate, so that he may claim
//! any client address, or even identity's, so that otp-api stands alone. In the others he holds
//! nothing and comes over plain HTTP, or over TLS without a certificate, from addresses of
//! 127.0.0.0/8.

mod api;
mod person;
mod report;
mod scenarios;
mod stack;
mod tally;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use self::report::{Outcome, Played, Report};
use self::scenarios::Scenario;
use self::stack::{Settings, Stack};
use crate::bench::machine::Machine;
use crate::bench::report::{Failed, write};

/// Attacks the real stack, and writes target/reports/attack.json.
#[derive(Parser)]
#[command(name = "attack")]
struct Arguments {
    /// Only these scenarios; without any, all.
    scenarios: Vec<Scenario>,
    /// Which part of the million guesses is made, above 0 and up to 1.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where the report goes.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How much of it is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    scale: f64,
}

impl Plan {
    /// The part of a number that is done, and no less than what the scenario needs to make sense.
    fn part(self, whole: u64, least: u64) -> u64 {
        ((whole as f64 * self.scale).ceil() as u64).max(least)
    }
}

/// The stack that stands, which the next scenario uses too where it wants the same settings.
#[derive(Default)]
struct Ground {
    standing: Option<(Settings, Stack)>,
}

impl Ground {
    /// A stack with these settings.
    async fn stack(&mut self, settings: Settings) -> Result<&mut Stack> {
        let fits = |(standing, _): &(Settings, Stack)| *standing == settings;
        if !self.standing.as_ref().is_some_and(fits) {
            // The old one's servers are gone before the next ones come.
            self.clear();
            self.standing = Some((settings, Stack::start(settings).await?));
        }
        let (_, stack) = self.standing.as_mut().context("no stack")?;
        Ok(stack)
    }

    /// Ends the stack.
    fn clear(&mut self) {
        self.standing = None;
    }
}

/// The program.
pub async fn main() -> ExitCode {
    match attack(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `false` where something got through, or a scenario could not be carried out.
async fn attack(arguments: Arguments) -> Result<bool> {
    ensure!(
        arguments.scale > 0.0 && arguments.scale <= 1.0,
        "--scale must be above 0 and at most 1"
    );
    let plan = Plan {
        scale: arguments.scale,
    };
    let chosen = match arguments.scenarios {
        none if none.is_empty() => Scenario::value_variants().to_vec(),
        some => some,
    };
    let (mut played, mut errors) = (Vec::new(), Vec::new());
    let mut ground = Ground::default();
    for scenario in chosen {
        let name = scenario.name();
        eprintln!("{name}: {}", scenario.about());
        let started = Instant::now();
        let outcome: Result<Outcome> = scenario.play(plan, &mut ground).await;
        match outcome {
            Ok(outcome) => played.push(Played {
                name,
                seconds: started.elapsed().as_secs_f64(),
                outcome,
            }),
            Err(error) => {
                let error = format!("{error:#}");
                eprintln!("{name}: {error}");
                errors.push(Failed { name, error });
                // Nobody knows in what state the scenario left it.
                ground.clear();
            }
        }
    }
    ground.clear();
    let report = Report::new(Machine::this(), arguments.scale, played, errors);
    let path = arguments
        .out
        .unwrap_or_else(|| sallyport_testkit::target_folder().join("reports/attack.json"));
    write(&path, &report)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", path.display())?;
    write!(out, "{}", report.table())?;
    Ok(report.held())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_attack_is_a_million_guesses() {
        let guesses = Scenario::value_variants().iter().map(|s| s.guesses());
        assert_eq!(guesses.sum::<u64>(), 1_000_000);
    }

    #[test]
    fn a_part_is_never_less_than_a_scenario_needs() {
        let part = |scale| Plan { scale }.part(10_000, 400);
        assert_eq!(part(1.0), 10_000);
        assert_eq!(part(0.5), 5_000);
        assert_eq!(part(0.01), 400);
    }
}
