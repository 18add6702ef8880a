//! The rows of the report.

mod beside_sign_in;
mod create;
mod otp;
mod session;
pub(super) mod sign_in;
pub(super) mod users;
mod verify;
mod verify_steady;

use anyhow::Result;

use super::report::Wanted;
use super::{Plan, report};

/// A path of the product that is measured.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Row {
    /// Password sign-in, against argon2id in a loop.
    SignIn,
    /// Session check, against an echo.
    SessionEcho,
    /// Session check, against one SELECT.
    SessionSelect,
    /// Verifying a code, against one EVALSHA.
    Verify,
    /// Verifying 5,000 codes a second, against one EVALSHA at the same pace: the slowest hundredth.
    VerifySteady,
    /// Creating a challenge, against one EVALSHA and one confirmed publish.
    Create,
    /// Session checks while sign-in is saturated, against the same while nobody signs in.
    SessionBesideSignIn,
    /// Checks of codes while sign-in is saturated, against the same while nobody signs in.
    VerifyBesideSignIn,
}

impl Row {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SessionEcho => "session check / echo",
            Self::SessionSelect => "session check / SELECT",
            Self::Verify => "verify",
            Self::VerifySteady => "verify at 5,000/s",
            Self::Create => "create",
            Self::SessionBesideSignIn => "session check, sign-in saturated / idle",
            Self::VerifyBesideSignIn => "verify, sign-in saturated / idle",
        }
    }

    /// What is wanted.
    fn wanted(self) -> Option<Wanted> {
        match self {
            Self::SignIn => Some(Wanted::RatioAtLeast(0.95)),
            // Wanted of a cached answer, which callers keep; this one asks PostgreSQL.
            Self::SessionEcho => None,
            Self::SessionSelect => Some(Wanted::RatioAtLeast(0.80)),
            Self::Verify => Some(Wanted::RatioAtLeast(0.85)),
            Self::VerifySteady => Some(Wanted::ProductBelow(10.0)),
            Self::Create => Some(Wanted::RatioAtLeast(0.70)),
            Self::SessionBesideSignIn | Self::VerifyBesideSignIn => Some(Wanted::RatioBelow(3.0)),
        }
    }

    /// Measures it, servers of its own included.
    pub async fn measure(self, plan: Plan) -> Result<report::Row> {
        match self {
            Self::SignIn => sign_in::measure(self, plan).await,
            Self::SessionEcho | Self::SessionSelect => session::measure(self, plan).await,
            Self::Verify => verify::measure(self, plan).await,
            Self::VerifySteady => verify_steady::measure(self, plan).await,
            Self::Create => create::measure(self, plan).await,
            Self::SessionBesideSignIn | Self::VerifyBesideSignIn => {
                beside_sign_in::measure(self, plan).await
            }
        }
    }

    /// The row where both sides are servers.
    fn of_servers(
        self,
        limit: &[report::Measured],
        product: &[report::Measured],
    ) -> Result<report::Row> {
        let rates: Vec<f64> = limit.iter().map(|run| run.rate).collect();
        let mut row = report::Row::new(self.name(), "/s", self.wanted(), &rates, product)?;
        row.limit_side = report::Side::of(limit);
        Ok(row)
    }

    /// The row of what the slowest hundredth of the calls took.
    fn of_p99(
        self,
        limit: &[report::Measured],
        product: &[report::Measured],
    ) -> Result<report::Row> {
        let p99: Vec<f64> = limit.iter().map(|run| run.p99_ms).collect();
        let (name, wanted) = (self.name(), self.wanted());
        let mut row = report::Row::of(name, "ms p99", wanted, &p99, product, |run| run.p99_ms)?;
        row.limit_side = report::Side::of(limit);
        Ok(row)
    }
}
