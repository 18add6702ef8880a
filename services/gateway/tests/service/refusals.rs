//! Every reason of the table in `refusals.rs`, refused on a page that can get it: the page tells it in
//! the reader's language at the right place, keeps what was typed, and nothing has changed. The reasons
//! are read from the table, so a new one is covered without being named here.

use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::Purpose;
use tonic::Code;

use crate::browser::{Gateway, Page};
use crate::refusable::{ANY, At, ROWS, Row};
use crate::words::{LANGUAGES, say, term};

/// What is never written back.
const SECRETS: &[&str] = &[
    "password",
    "current_password",
    "new_password",
    "password_again",
    "code",
    "recovery_code",
];

/// The reasons of the table, from its source: the arms of its one match.
fn reasons() -> Vec<&'static str> {
    let source = include_str!("../../src/refusals.rs");
    let (_, arms) = source
        .split_once("match refusal.reason.as_str() {\n")
        .unwrap();
    let (arms, _) = arms.split_once("\n    };").unwrap();
    let reasons: Vec<_> = arms
        .lines()
        // What a match within tells apart stands further to the right.
        .filter_map(|line| Some(line.strip_prefix("        \"")?.split_once("\" =>")?.0))
        .collect();
    assert!(reasons.len() > 60, "the table is not read: {reasons:?}");
    reasons
}

/// The table of docs/architecture.md.
fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        other => panic!("no refusal has {other:?}"),
    }
}

/// What was typed stands in the form that comes again, and no secret does.
fn keeps(page: &Page, typed: &[(&str, &str)], why: &str) {
    for (name, value) in typed {
        if SECRETS.contains(name) {
            assert!(!page.text.contains(value), "{why}: {name} is written back");
        } else {
            let stands = page.picked(name).or_else(|| page.value(name));
            assert_eq!(stands.as_deref(), Some(*value), "{why}: {name} is lost");
        }
    }
}

/// Has a service refuse one request with the reason, and looks at what the reader gets.
async fn refuse(gateway: &Gateway, language: &str, row: &Row, reason: &str) {
    let why = format!("{reason} of {} in {language}", row.rpc);
    let key = format!("r_{}", reason.replace('.', "_"));
    let waits = term(language, &key).contains("{wait}");
    let told = |language: &str| {
        let wait = say(language, "wait_minutes", &[("n", "25")]);
        say(
            language,
            &key,
            &[("wait", wait.as_str()), ("minimum", "15")],
        )
    };
    let sentence = told(language);
    let at = (row.at)(reason);
    let code = if waits {
        Code::ResourceExhausted
    } else {
        row.code
    };
    let mut refusal = Refusal::new(code, reason).with("minimum", 15);
    if waits {
        refusal = refusal.retry_after(Duration::from_secs(1_500));
    }
    if let At::Field(field) = at {
        refusal = refusal.and_field(field, reason);
    }
    let known = || {
        let world = gateway.fakes.world();
        let number = world.confirmed_number.clone();
        (world.profile.clone(), world.two_factor, number)
    };
    {
        let mut world = gateway.fakes.world();
        world.challenge = None;
        if ["VerifyCode", "ResendCode", "WatchChallenge"].contains(&row.rpc) {
            world.send(Purpose::SignIn);
        }
    }
    let mut browser = gateway.speaking(language, row.reader);
    let before = known();
    if !row.to.is_empty() {
        let page = browser.open(row.page).await;
        assert_eq!(page.status, StatusCode::OK, "{why}: {}", page.words());
    }
    gateway.fakes.refuse(row.rpc, refusal);
    if row.to.is_empty() {
        browser.open(row.page).await;
    } else {
        browser.submit(row.to, row.typed).await;
    }
    assert!(
        gateway.fakes.world().refuse.is_empty(),
        "{why}: nobody asked the service"
    );
    if matches!(at, At::Next | At::Way(_)) {
        browser.follow().await;
    }
    let page = &browser.page;
    let words = page.words();
    match at {
        At::Field(id) => {
            assert_eq!(page.error_at(id), sentence, "{why}: {words}");
            keeps(page, row.typed, &why);
        }
        At::Form => {
            assert!(page.alert().contains(&sentence), "{why}: {words}");
            keeps(page, row.typed, &why);
        }
        At::Next => assert!(page.alert().contains(&sentence), "{why}: {words}"),
        At::Page => assert!(words.contains(&sentence), "{why}: {words}"),
        At::Way(key) => assert!(words.contains(&say(language, key, &[])), "{why}: {words}"),
    }
    let (expected, wait) = match at {
        At::Next | At::Way(_) => (StatusCode::OK, None),
        At::Field(_) | At::Form | At::Page => (status(code), waits.then_some("1500")),
    };
    assert_eq!(page.status, expected, "{why}: {words}");
    let header = page.headers.get("retry-after");
    assert_eq!(header.map(|v| v.to_str().unwrap()), wait, "{why}");
    for other in LANGUAGES {
        let foreign = other != language && words.contains(&told(other));
        assert!(!foreign, "{why}: it is told in {other}");
    }
    assert_eq!(known(), before, "{why}: something has changed");
}

async fn every_reason_is_told_in(language: &str) {
    let gateway = Gateway::start(true).await;
    for reason in reasons() {
        let about = |row: &&Row| row.of.iter().any(|start| reason.starts_with(start));
        let mut rows: Vec<&Row> = ROWS.iter().filter(about).collect();
        if rows.is_empty() {
            rows.push(&ANY);
        }
        for row in rows {
            refuse(&gateway, language, row, reason).await;
        }
    }
}

#[tokio::test]
async fn every_reason_is_told_in_english_where_it_belongs() {
    every_reason_is_told_in("en").await;
}

#[tokio::test]
async fn every_reason_is_told_in_french_where_it_belongs() {
    every_reason_is_told_in("fr").await;
}
