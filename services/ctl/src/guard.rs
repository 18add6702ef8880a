//! `guard`: the pumping guard of otp-api, tried on traffic files.

mod traffic;

use anyhow::Result;
use clap::Subcommand;

use crate::output::Form;

#[derive(Subcommand)]
pub(crate) enum GuardCommand {
    /// Replay a traffic file: what the guard would have refused, whom that would have cost a code,
    /// and what it would have saved. docs/fraud.md describes the file.
    ///
    /// Example: sallyportctl guard simulate traffic.csv --cost 0.05
    Simulate(Box<traffic::Simulate>),
    /// Print a traffic file of good users and an attack, to try `simulate` with.
    ///
    /// Example: sallyportctl guard generate --attack slow --seed 7 > traffic.csv
    Generate(traffic::Generate),
}

pub(crate) async fn run(command: GuardCommand, form: Form) -> Result<()> {
    match command {
        GuardCommand::Simulate(simulate) => traffic::simulate(&simulate, form),
        GuardCommand::Generate(generate) => traffic::generate(&generate),
    }
}
