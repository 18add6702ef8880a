//! Guesses, codes, sessions, links and remembered browsers while the clock is moved: past the end of
//! what they are worth, and back, as a machine's clock may jump. At the end the ladder of locks is
//! climbed to its top, with guesses at every closed door.
//!
//! The services run in one process here, since processes read the machine's clock. The attacker comes
//! over plain HTTP and knows the password.
//!
//! Through is: a code after its ten minutes, or used again at an earlier time; a message that a clock
//! set back gives room for; a session that outlives an hour without use or a day; a link that outlives
//! its hour, and a remembered browser its thirty days; a guess judged behind a lock, or beyond fifteen
//! before one, or beyond a hundred in a row; a disabled factor that lets in.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Scenario;
use super::spread::FAILURES_PER_LOCK;
use crate::attack::Plan;
use crate::attack::api::{Answer, Api};
use crate::attack::person::PASSWORD;
use crate::attack::report::Outcome;
use crate::attack::tally::{Guesses, JUDGED};
use crate::{Kind, System, code_in};

const NUMBER: &str = "+33612345678";
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Codes that an hour has for one confirmed number.
const HOURLY: u64 = 5;
/// Locks on the way to the hundredth failure.
const LOCKS: u64 = 6;
/// Failures in a row that disable the factor.
const CEILING: u64 = 100;
/// Rounds of the ladder: challenges, locks and quotas that a hundred failures can take.
const ROUNDS: usize = 60;
/// Waits for a quota to open; a day's is the longest.
const QUOTAS: usize = 3;

struct World {
    system: System,
    api: Api,
    /// Codes that were read.
    codes: usize,
}

impl World {
    /// The first administrator, with two-factor authentication on.
    async fn start() -> Result<Self> {
        let system = System::start(Kind::Real).await?;
        let api = Api::from(&system.portal, Ipv4Addr::new(127, 0, 7, 1))?;
        let mut world = Self {
            system,
            api,
            codes: 0,
        };
        let (_, link) = world
            .system
            .admin_link
            .rsplit_once('/')
            .context("no link")?;
        let body = json!({ "link_token": link, "password": PASSWORD });
        let set = world.api.post("/links/set-password", "", body).await?;
        ensure!(set.is_accepted(), "the password: {}", set.word());
        let (token, _) = world.sign_in("").await?;
        let body = json!({ "number": NUMBER });
        let enabled = world.api.post("/two-factor/enable", &token, body).await?;
        ensure!(enabled.is_accepted(), "two-factor: {}", enabled.word());
        let code = world.newest_code().await?;
        world.give(&token, &code).await?.token()?;
        Ok(world)
    }

    /// Moves the clock; back, where the seconds are negative.
    fn pass(&self, seconds: i64) {
        self.system
            .clock
            .advance(SignedDuration::from_secs(seconds));
    }

    async fn newest_code(&mut self) -> Result<String> {
        self.codes += 1;
        let codes = self.system.codes(NUMBER, self.codes).await?;
        code_in(codes.last().context("no message")?)
    }

    /// The first step: the token, and whether it is all that is asked.
    async fn sign_in(&self, browser_token: &str) -> Result<(String, bool)> {
        let body = json!({
            "email": self.system.admin_email,
            "password": PASSWORD,
            "browser_token": browser_token,
        });
        let answer = self.api.post("/sign-in", "", body).await?;
        Ok((answer.token()?, answer.body["stage"] == "signed_in"))
    }

    async fn send(&self, token: &str) -> Result<Answer> {
        self.api.post("/code/sign-in", token, json!({})).await
    }

    async fn give(&self, token: &str, code: &str) -> Result<Answer> {
        let body = json!({ "code": code });
        self.api.post("/code/verify", token, body).await
    }

    /// A session that awaits its second step, and the right code. Waits until a quota opens.
    async fn begin(&mut self) -> Result<(String, String)> {
        for _ in 0..QUOTAS {
            let (token, _) = self.sign_in("").await?;
            let sent = self.send(&token).await?;
            match sent.retry_seconds() {
                None if sent.is_accepted() => return Ok((token, self.newest_code().await?)),
                Some(wait) if sent.word() == "sms.quota" => self.pass(wait + 1),
                _ => bail!("the code was not sent: {}", sent.word()),
            }
        }
        bail!("the quota does not open")
    }

    /// A session that was let in by both steps.
    async fn let_in(&mut self) -> Result<String> {
        let (token, code) = self.begin().await?;
        self.give(&token, &code).await?.token()
    }

    async fn who(&self, token: &str) -> Result<Answer> {
        self.api.get("/session", token).await
    }
}

/// Plays it.
pub async fn play(plan: Plan) -> Result<Outcome> {
    let mut world = World::start().await?;
    let mut outcome = Outcome::default();
    codes(&mut world, &mut outcome).await?;
    quota(&mut world, &mut outcome).await?;
    sessions(&mut world, &mut outcome).await?;
    browser(&mut world, &mut outcome).await?;
    link(&world, &mut outcome).await?;
    let closed = Scenario::Clock.part(plan, 10 * LOCKS) / LOCKS;
    ladder(&mut world, closed, &mut outcome).await?;
    world.system.stop().await?;
    Ok(outcome)
}

async fn codes(world: &mut World, outcome: &mut Outcome) -> Result<()> {
    let (token, code) = world.begin().await?;
    world.pass(10 * MINUTE + 1);
    let late = world.give(&token, &code).await?;
    outcome.refused_as("a code after its ten minutes", &late.word());

    let (old, code) = world.begin().await?;
    let new = world.give(&old, &code).await?.token()?;
    for seconds in [0, -5 * MINUTE, -HOUR, 5 * MINUTE + HOUR] {
        world.pass(seconds);
        for token in [&new, &old] {
            let again = world.give(token, &code).await?;
            outcome.refused_as("a used code at another time", &again.word());
        }
    }
    Ok(())
}

/// Sends until the hour's quota is spent, and on with the clock set back.
async fn quota(world: &mut World, outcome: &mut Outcome) -> Result<()> {
    world.pass(DAY);
    let mut sent = 0;
    loop {
        let (token, _) = world.sign_in("").await?;
        let answer = world.send(&token).await?;
        if !answer.is_accepted() {
            ensure!(answer.word() == "sms.quota", "{}", answer.word());
            break;
        }
        sent += 1;
        world.newest_code().await?;
        ensure!(sent < 100, "there is no quota");
    }
    outcome.beyond("a message beyond the hour's quota", sent, HOURLY);
    for seconds in [-MINUTE, -30 * MINUTE, -2 * HOUR] {
        world.pass(seconds);
        let (token, _) = world.sign_in("").await?;
        let answer = world.send(&token).await?;
        outcome.refused_as("a message by a clock set back", &answer.word());
        world.pass(-seconds);
    }
    world.pass(DAY);
    Ok(())
}

async fn sessions(world: &mut World, outcome: &mut Outcome) -> Result<()> {
    let idle = world.let_in().await?;
    world.pass(HOUR + 1);
    let answer = world.who(&idle).await?;
    outcome.refused_as("a session after an hour without use", &answer.word());

    let used = world.let_in().await?;
    for passed in (0..=DAY).step_by(50 * MINUTE as usize) {
        let answer = world.who(&used).await?;
        ensure!(
            answer.is_accepted(),
            "a session in use ended after {passed} s: {}",
            answer.word()
        );
        world.pass(50 * MINUTE);
    }
    let answer = world.who(&used).await?;
    outcome.refused_as("a session after a day", &answer.word());
    Ok(())
}

async fn browser(world: &mut World, outcome: &mut Outcome) -> Result<()> {
    let (token, code) = world.begin().await?;
    let body = json!({ "code": code, "remember_browser": true });
    let answer = world.api.post("/code/verify", &token, body).await?;
    let browser = answer.body["browser_token"].as_str().context("no token")?;
    let (_, known) = world.sign_in(browser).await?;
    ensure!(known, "the browser is not remembered");
    world.pass(30 * DAY + 1);
    let (_, known) = world.sign_in(browser).await?;
    outcome.tried("second_factor_required");
    outcome.never("a browser after its thirty days", u64::from(known));
    Ok(())
}

/// The token of the link in the mail with this subject.
async fn mailed_link(world: &World, subject: &str) -> Result<String> {
    let mut after = 0;
    loop {
        let answer: Value = reqwest::Client::new()
            .get(format!("{}/dev/inbox", world.system.portal))
            .query(&[
                ("to", world.system.admin_email.as_str()),
                ("wait", "20"),
                ("after", &after.to_string()),
            ])
            .header("accept", "application/json")
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let mails = answer["mails"].as_array().context("no list of mails")?;
        ensure!(!mails.is_empty(), "no mail {subject:?}");
        after += mails.len();
        if let Some(mail) = mails.iter().find(|mail| mail["subject"] == subject) {
            let text = mail["text"].as_str().context("no text")?;
            let (_, rest) = text.split_once("/link/").context("no link in the mail")?;
            let token = rest.split_whitespace().next();
            return Ok(token.context("no token in the link")?.to_owned());
        }
    }
}

async fn link(world: &World, outcome: &mut Outcome) -> Result<()> {
    let body = json!({ "email": world.system.admin_email });
    let asked = world.api.post("/password/reset", "", body).await?;
    ensure!(asked.is_accepted(), "no reset: {}", asked.word());
    let token = mailed_link(world, "Set a new password").await?;
    world.pass(HOUR + 1);
    let body = json!({ "link_token": token, "password": "velvet harbour spoons 77 drift" });
    let answer = world.api.post("/links/set-password", "", body).await?;
    outcome.refused_as("a link after its hour", &answer.word());
    Ok(())
}

/// What the ladder of locks has seen.
#[derive(Default)]
struct Climb {
    /// Failures in a row, and those since the last lock opened.
    judged: u64,
    since_lock: u64,
    locks: u64,
    /// The last session that a code was sent for, and that code.
    token: String,
    code: String,
}

/// Fails, waits a lock out, and fails again, until the factor is disabled.
async fn ladder(world: &mut World, closed: u64, outcome: &mut Outcome) -> Result<()> {
    let mut climb = Climb::default();
    for _ in 0..ROUNDS {
        let (token, let_in) = world.sign_in("").await?;
        outcome.never("a sign-in that no longer asks", u64::from(let_in));
        let sent = world.send(&token).await?;
        let wait = sent.retry_seconds();
        match (sent.word().as_str(), wait) {
            (_, None) if sent.is_accepted() => {
                climb.code = world.newest_code().await?;
                climb.token = token;
                guess(world, &mut climb, outcome).await?;
            }
            ("second_factor.locked", Some(wait)) => {
                outcome.beyond("a guess beyond a lock", climb.since_lock, FAILURES_PER_LOCK);
                climb.since_lock = 0;
                climb.locks += 1;
                locked(world, &climb, wait, closed, outcome).await?;
            }
            ("sms.quota", Some(wait)) => world.pass(wait + 1),
            ("second_factor.disabled", _) => {
                outcome.figure("locks", climb.locks);
                outcome.figure("judged", climb.judged);
                outcome.beyond("a guess beyond the user's hundred", climb.judged, CEILING);
                let right = world.give(&climb.token, &climb.code).await?;
                outcome.refused_as("the right code of a disabled factor", &right.word());
                return Ok(());
            }
            (other, _) => bail!("the code was not sent: {other}"),
        }
    }
    bail!(
        "the factor was never disabled; {} guesses were judged",
        climb.judged
    )
}

/// Wrong codes for one challenge.
async fn guess(world: &World, climb: &mut Climb, outcome: &mut Outcome) -> Result<()> {
    let guesses = Guesses::that_miss([climb.code.clone()]);
    for number in 0..5 {
        let answer = world.give(&climb.token, &guesses.nth(number)).await?;
        let word = answer.word();
        outcome.refused_as("a code accepted without the SMS", &word);
        if !JUDGED.contains(&word.as_str()) {
            break;
        }
        climb.judged += 1;
        climb.since_lock += 1;
    }
    Ok(())
}

/// Guesses, the right one among them, at a closed door: at once, with the clock set back, and a second
/// before it opens.
async fn locked(
    world: &World,
    climb: &Climb,
    wait: i64,
    closed: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    let guesses = Guesses::that_miss([climb.code.clone()]);
    let mut passed = 0;
    for (seconds, tries) in [(0, closed), (-2 * HOUR, 1), (2 * HOUR, 1), (wait - 1, 1)] {
        world.pass(seconds);
        passed += seconds;
        for number in 0..tries {
            let answer = world.give(&climb.token, &guesses.nth(number)).await?;
            let word = answer.word();
            outcome.refused_as("a code accepted without the SMS", &word);
            let judged = JUDGED.contains(&word.as_str());
            outcome.never("a guess judged behind a lock", u64::from(judged));
        }
        let right = world.give(&climb.token, &climb.code).await?;
        outcome.refused_as("the right code behind a lock", &right.word());
    }
    world.pass(wait + 1 - passed);
    Ok(())
}
