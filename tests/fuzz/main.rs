//! The front doors under whatever comes: every RPC of every service over mutual TLS, and every page
//! and form of the portal, as processes on the real servers.

mod calls;
mod pages;
mod schema;
mod values;

use anyhow::{Context, Result};
use sallyport_fuzz::{Bender, Budget, seed};
use sallyport_tests::processes::Processes;

/// Rounds without another budget: in each, one case of every RPC, of every page and of a form of it.
const ROUNDS: u32 = 15;

/// Whatever is sent is answered or refused by its reason, no page shows it as it came, no process
/// panics, and somebody new can sign in afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_to_the_front_doors_is_answered_or_refused() -> Result<()> {
    // Everybody comes from one address here.
    let settings = [("IDENTITY__GUESSES__ADDRESS_FAILURES", "1000000")];
    let processes = Processes::start(&settings).await?;
    let doors = calls::Doors::open(&processes)?;
    let calls = calls::Calls::prepare(&doors).await?;
    let mut bender = Bender::new(seed());
    let (mut wrong, mut rounds) = (Vec::new(), 0);
    for round in Budget::cases(ROUNDS).run() {
        let person = doors.administrator(round).await;
        let person = person.with_context(|| format!("round {round}; so far: {wrong:#?}"))?;
        let page = pages::round(&processes.portal, &person, &mut bender, &mut wrong).await;
        page.with_context(|| format!("round {round}; so far: {wrong:#?}"))?;
        calls.round(&person, &mut bender, &mut wrong).await;
        rounds = round + 1;
    }
    doors
        .administrator(rounds)
        .await
        .context("nobody new can sign in")?;
    for (name, process) in [
        ("identity", &processes.identity),
        ("otp-api", &processes.otp_api),
        ("account-admin", &processes.account_admin),
        ("gateway", &processes.gateway),
    ] {
        let log = process.log()?;
        let panics = log.lines().filter(|line| line.contains("panicked at"));
        wrong.extend(panics.map(|line| format!("{name}: {line}")));
    }
    println!("{rounds} rounds with seed {}", seed());
    assert!(wrong.is_empty(), "seed {}: {wrong:#?}", seed());
    Ok(())
}
