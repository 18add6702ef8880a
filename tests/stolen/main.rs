//! Nothing to steal: whoever copies every store in the midst of people's journeys has no code, no token,
//! no password, no recovery code and no seed of an app, and a number only where it belongs.
//!
//! Each copy is also searched for what is known to be in it, so that a search that finds nothing is known
//! to have looked.

// The journey is one long chain of awaits.
#![recursion_limit = "256"]

mod copies;
mod journey;
mod needles;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::SystemClock;
use sallyport_chassis::keyring::token_hash;
use sallyport_tests::processes::Processes;
use sallyport_tests::{Kind, System};

use crate::copies::Copied;
use crate::journey::{Journey, NEW_NUMBER};

/// The columns in which a whole number may stand: the one that is edited, the one that is confirmed, that
/// of a code under way, and a notice from its transaction until otp-api took it.
const NUMBERS: [&str; 5] = [
    "admin.users.mobile_number",
    "identity.factors.number",
    "identity.pending_enrolments.number",
    "identity.sessions.challenge_number",
    "identity.outbox.payload",
];
/// Those of them in which one surely stands in the midst of this journey.
const SURELY: [&str; 3] = [
    "admin.users.mobile_number",
    "identity.factors.number",
    "identity.pending_enrolments.number",
];

/// What SQL holds: no secret, each number in its column, and what became of the secrets.
fn databases_give_nothing_away(tables: &Copied, journey: &Journey, email: &str) -> Result<()> {
    tables.holds_none_of(&journey.secrets)?;
    let places: Vec<&str> = tables
        .holding(&journey.numbers)
        .into_iter()
        .map(|(place, _)| place)
        .collect();
    for place in &places {
        ensure!(NUMBERS.contains(place), "a number in {place}");
    }
    for place in SURELY {
        ensure!(places.contains(&place), "no number in {place}: {places:?}");
    }
    tables.holds("the e-mail", email)?;
    for prefix in ["sps_", "spb_"] {
        let hash = token_hash(journey.token(prefix)?);
        tables.holds(&format!("the hash of {prefix}…"), hash)?;
    }
    Ok(())
}

/// The challenge that waits for its code.
fn challenge(tables: &Copied) -> Result<String> {
    let ids = tables.at("identity.pending_enrolments.challenge_id")?;
    let id = std::str::from_utf8(ids)?.trim();
    ensure!(!id.is_empty(), "no challenge waits");
    Ok(id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_every_server_gives_nothing_away() -> Result<()> {
    let mut processes = Processes::start(&[]).await?;
    let user = processes
        .organisation("copied", "admin@copied.example")
        .await?;
    let invited = processes
        .organisation("invited", "admin@invited.example")
        .await?;
    let mut journey = Journey::begin(
        &processes.portal,
        &processes.smsc,
        &SystemClock,
        &user.email,
        &user.link_token,
    )
    .await?;
    journey
        .secrets
        .add("an invitation that waits", &invited.link_token);
    // Nobody takes the next message out of the queue.
    let status = processes.dispatchers[0].term().await?;
    ensure!(status.success(), "the dispatcher ended with {status}");
    journey.another_number().await?;

    let tables = copies::tables(&processes.database, "").await?;
    let keys = copies::keys(&processes.redis.url()).await?;
    // What Redis wrote since it was started, and what is gone from it by now.
    let appended = copies::files(processes.redis.folder())?;
    let queue = copies::files(processes.rabbitmq.folder())?;
    processes.dispatchers[0].start_again().await?;
    journey.read(&processes.smsc, NEW_NUMBER, 1).await?;

    databases_give_nothing_away(&tables, &journey, &user.email).context("PostgreSQL")?;
    let challenge = challenge(&tables)?;
    for (store, copied) in [
        ("Redis", keys),
        ("the files of Redis", appended),
        ("the files of RabbitMQ", queue),
    ] {
        copied.holds("the challenge", &challenge).context(store)?;
        copied.holds_none_of(&journey.secrets).context(store)?;
        copied.holds_none_of(&journey.numbers).context(store)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_of_the_all_in_one_gives_nothing_away() -> Result<()> {
    let system = System::start(Kind::Carrier).await?;
    let smsc = system.smsc().context("no carrier")?;
    let (_, link_token) = system.admin_link.rsplit_once('/').context("no token")?;
    let mut journey = Journey::begin(
        &system.portal,
        smsc,
        &*system.clock,
        &system.admin_email,
        link_token,
    )
    .await?;
    // The carrier takes the next message and does not say so: the queue has it yet.
    smsc.hold_answers(true).await?;
    journey.another_number().await?;
    journey.read(smsc, NEW_NUMBER, 1).await?;

    // With what was written ahead, and what was deleted and is still on the disk.
    let files = copies::files(&system.data())?;
    let mut tables = Copied(Vec::new());
    for file in files.0.iter().filter(|file| file.place.ends_with(".db")) {
        let path = Path::new(&file.place);
        let schema = path.file_stem().and_then(|name| name.to_str());
        let schema = schema.context("a file without a name")?;
        let url = format!("sqlite://{}?mode=rw", file.place);
        tables.0.extend(copies::tables(&url, schema).await?.0);
    }
    smsc.hold_answers(false).await?;

    files.holds_none_of(&journey.secrets).context("files")?;
    databases_give_nothing_away(&tables, &journey, &system.admin_email).context("SQLite")?;
    let challenge = challenge(&tables)?;
    // Nor is a number on the disk where none is in a column.
    let queue = files.only(|place| place.contains("/queue.db") || place.contains("/dispatch.db"));
    queue.holds("the challenge", &challenge).context("queue")?;
    queue.holds_none_of(&journey.numbers).context("queue")?;
    system.stop().await
}
