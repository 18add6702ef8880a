//! The scenarios, one file each.

mod clock;
mod factors;
mod flood;
mod forms;
mod links;
mod otp_api;
mod parallel;
mod passwords;
mod portal;
mod pumping;
mod recovery;
mod replay;
mod same_answer;
mod spread;
mod store_lost;
mod tokens;
mod wrong_door;

use anyhow::Result;
use clap::ValueEnum;

use super::report::Outcome;
use super::stack::{DEFAULTS, HAMMERED};
use super::{Ground, Plan};

/// An attack. Neighbours share a stack where they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All at once on one user, over many challenges and resends, until the factor is disabled.
    Parallel,
    /// The right answer sent 200 times at once.
    SameAnswer,
    /// Guesses at two otp-api processes by whoever holds identity's certificate.
    OtpApi,
    /// Guesses at otp-api, and inner calls, by whoever holds another certificate or none.
    WrongDoor,
    /// Forged, bent and ended session tokens.
    Tokens,
    /// Forms posted from elsewhere, with forged and reused CSRF tokens, and twice.
    Forms,
    /// Codes, links and tokens given where they do not belong.
    Replay,
    /// Ways around a second step that is locked, or behind a password that was reset.
    Factors,
    /// Guesses over two otp-api and two identity processes, at many users.
    Spread,
    /// Guesses at codes over plain HTTP.
    Portal,
    /// Guesses at recovery codes.
    Recovery,
    /// Guesses at one-time links.
    Links,
    /// Guesses at passwords, while known users sign in.
    Passwords,
    /// A flood of codes to one number, user, address, prefix and country.
    Flood,
    /// Guesses while Redis is emptied, killed, and set back as a failover sets it back.
    StoreLost,
    /// Guesses, codes, sessions and links while the clock is moved forward and back.
    Clock,
    /// Traffic pumping with accounts, over hours.
    Pumping,
}

impl Scenario {
    /// Its name in the report.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it is, in a line.
    pub fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }

    /// Guesses of the whole attack: at passwords, codes, recovery codes, tokens and links. What a
    /// scenario tries beside them is not among them.
    pub fn guesses(self) -> u64 {
        match self {
            Self::Parallel => 10_000,
            Self::SameAnswer => 4_000,
            Self::OtpApi => 400_000,
            Self::WrongDoor => 100_000,
            Self::Tokens => 60_000,
            Self::Forms => 5_000,
            Self::Spread => 250_000,
            Self::Portal => 20_000,
            Self::Recovery | Self::Links => 10_000,
            Self::Passwords => 100_000,
            Self::StoreLost => 30_000,
            Self::Clock => 1_000,
            Self::Replay | Self::Factors | Self::Flood | Self::Pumping => 0,
        }
    }

    /// Carries it out.
    pub async fn play(self, plan: Plan, ground: &mut Ground) -> Result<Outcome> {
        match self {
            Self::Parallel => parallel::play(ground.stack(HAMMERED).await?, plan).await,
            Self::SameAnswer => same_answer::play(ground.stack(HAMMERED).await?, plan).await,
            Self::OtpApi => otp_api::play(ground.stack(HAMMERED).await?, plan).await,
            Self::WrongDoor => wrong_door::play(ground.stack(HAMMERED).await?, plan).await,
            Self::Tokens => tokens::play(ground.stack(HAMMERED).await?, plan).await,
            Self::Forms => forms::play(ground.stack(HAMMERED).await?, plan).await,
            Self::Replay => replay::play(ground.stack(HAMMERED).await?, plan).await,
            Self::Factors => factors::play(ground.stack(HAMMERED).await?).await,
            Self::Spread => spread::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Portal => portal::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Recovery => recovery::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Links => links::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Passwords => passwords::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Flood => flood::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::StoreLost => store_lost::play(ground.stack(DEFAULTS).await?, plan).await,
            Self::Clock => {
                ground.clear();
                clock::play(plan).await
            }
            Self::Pumping => {
                ground.clear();
                pumping::play(plan).await
            }
        }
    }

    /// The part of its guesses that is made.
    fn part(self, plan: Plan, least: u64) -> u64 {
        plan.part(self.guesses(), least)
    }
}
