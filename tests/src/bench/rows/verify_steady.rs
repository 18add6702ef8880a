//! Verifying 5,000 codes a second, an open loop: what the slowest hundredth takes, beside one EVALSHA at
//! the same pace.

use anyhow::Result;

use super::Row;
use super::otp::{Otp, Server};
use super::verify::callers;
use crate::bench::report::Measured;
use crate::bench::{Plan, pace, report};

/// Calls a second.
const RATE: f64 = 5_000.0;
/// More than are under way even where an answer takes a tenth of a second.
const CALLERS: usize = 512;

/// Measures the row.
pub async fn measure(row: Row, plan: Plan) -> Result<report::Row> {
    let otp = Otp::start().await?;
    let (limit, product) = plan
        .in_turn(
            row.name(),
            async || run(plan, &otp, &otp.bare).await,
            async || run(plan, &otp, &otp.product).await,
        )
        .await?;
    row.of_p99(&limit, &product)
}

async fn run(plan: Plan, otp: &Otp, server: &Server) -> Result<Measured> {
    let callers = callers(otp, server, plan.times.calls_at(RATE), CALLERS).await?;
    pace::run(RATE, plan.times, callers, &server.child).await
}
