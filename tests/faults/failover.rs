//! Redis fails over to a replica that has not heard of the last attempts: the budget and the single
//! use hold, since the count and the record of a user are in SQL.

use anyhow::{Context, Result, bail, ensure};
use sallyport_chassis::Refusal;
use sallyport_testkit::ReplicatedRedis;
use sallyport_tests::processes::Processes;

use super::{Visitor, last_code, recovered};

/// Why a code is not taken, as a person is told.
async fn refused(visitor: &mut Visitor, code: &str) -> Result<Refusal> {
    match visitor.verify(code).await {
        Ok(()) => bail!("the code was taken"),
        Err(status) => Refusal::from_status(&status).with_context(|| format!("{status:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_attempts_refills_no_budget_and_repeats_no_use() -> Result<()> {
    let mut redis = ReplicatedRedis::start().await?;
    let url = redis.url();
    let processes = Processes::start(&[("CHALLENGES__URL", url.as_str())]).await?;
    let user = processes
        .organisation("failover", "admin@failover.example")
        .await?;
    let mut using = Visitor::new(&processes, &user)?;
    using.enrol(&processes, &user).await?;
    using.sign_in().await?;
    using.send_code("failover-1").await?;
    let code = last_code(&processes, 2).await?;
    let mut guessing = Visitor::new(&processes, &user)?;
    guessing.sign_in().await?;
    guessing.send_code("failover-2").await?;
    let right = last_code(&processes, 3).await?;
    let wrong = if right == "000000" {
        "000001"
    } else {
        "000000"
    };

    // The replica hears of none of this: a code is used, and another challenge's tries are spent.
    redis.cut_replication().await?;
    let before = using.token.clone();
    using.verify(&code).await?;
    for left in ["4", "3", "2", "1", "0"] {
        let refusal = refused(&mut guessing, wrong).await?;
        ensure!(
            refusal.reason == "code.wrong" && refusal.get("tries_left") == Some(left),
            "{refusal:?}"
        );
    }
    let refusal = refused(&mut guessing, &right).await?;
    ensure!(refusal.reason == "code.ended", "{refusal:?}");
    redis.fail_over().await?;
    // Nothing of ours is started anew. A question that counts nothing tells when it is over.
    recovered(async || guessing.message_state().await).await?;

    // The challenge has its tries again, and the user's count goes on where it was.
    let refusal = refused(&mut guessing, wrong).await?;
    ensure!(
        refusal.reason == "code.wrong" && refusal.get("tries_left") == Some("4"),
        "the replica has heard of the attempts: {refusal:?}"
    );
    let mut taken = 7;
    loop {
        let refusal = refused(&mut guessing, wrong).await?;
        match refusal.reason.as_str() {
            "code.wrong" | "code.ended" => taken += 1,
            "second_factor.locked" => break,
            other => bail!("after {taken} attempts: {other}"),
        }
    }
    ensure!(taken == 15, "{taken} attempts were taken");
    let refusal = refused(&mut guessing, &right).await?;
    ensure!(refusal.reason == "second_factor.locked", "{refusal:?}");

    // Nor does the code that was used do anything again, in its session or under its old token.
    let refusal = refused(&mut using, &code).await?;
    ensure!(refusal.reason == "code.none", "{refusal:?}");
    using.token = before;
    let refusal = refused(&mut using, &code).await?;
    ensure!(refusal.reason == "session.expired", "{refusal:?}");
    Ok(())
}
