//! Creating a challenge: otp-api's CreateChallenge on Redis and RabbitMQ against one EVALSHA and one
//! confirmed publish.

use anyhow::Result;

use super::Row;
use super::otp::{Creator, Otp, Server};
use crate::bench::load::{self, Ask, IN_FLIGHT};
use crate::bench::report::Measured;
use crate::bench::{Plan, report};

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
    row.of_servers(&limit, &product)
}

async fn run(plan: Plan, otp: &Otp, server: &Server) -> Result<Measured> {
    otp.empty().await?;
    let callers = (0..IN_FLIGHT)
        .map(|caller| server.creator(caller, &otp.fresh))
        .collect();
    load::run(plan.times, callers, &server.child).await
}

impl Ask for Creator {
    async fn ask(&mut self) -> Result<()> {
        self.create().await.map(drop)
    }
}
