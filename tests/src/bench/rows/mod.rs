//! The rows of the report.

mod create;
mod otp;
mod session;
mod sign_in;
mod users;
mod verify;

use anyhow::Result;

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
    /// Creating a challenge, against one EVALSHA and one confirmed publish.
    Create,
}

impl Row {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SessionEcho => "session check / echo",
            Self::SessionSelect => "session check / SELECT",
            Self::Verify => "verify",
            Self::Create => "create",
        }
    }

    /// The ratio that is wanted.
    fn wanted(self) -> Option<f64> {
        match self {
            Self::SignIn => Some(0.95),
            // Wanted of a cached answer, which callers keep; this one asks PostgreSQL.
            Self::SessionEcho => None,
            Self::SessionSelect => Some(0.80),
            Self::Verify => Some(0.85),
            Self::Create => Some(0.70),
        }
    }

    /// Measures it, servers of its own included.
    pub async fn measure(self, plan: Plan) -> Result<report::Row> {
        match self {
            Self::SignIn => sign_in::measure(self, plan).await,
            Self::SessionEcho | Self::SessionSelect => session::measure(self, plan).await,
            Self::Verify => verify::measure(self, plan).await,
            Self::Create => create::measure(self, plan).await,
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
}
