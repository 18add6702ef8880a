//! Every reason of the table in `refusals.rs`, refused on a page that can get it: the page tells it in
//! the reader's language at the right place, keeps what was typed, and changes nothing by another
//! call. The reasons are read from the table, so a new one is missed until a row is about it.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use sallyport_chassis::Refusal;
use tonic::Code;

use crate::browser::{Gateway, Page};
use crate::reasons::{OF_NO_CALL, code, rpc};
use crate::refusable::{At, OWN, Row, rows};
use crate::sources::told;
use crate::words::{LANGUAGES, say, term};

/// What is never written back.
const SECRETS: &[&str] = &[
    "password",
    "current_password",
    "new_password",
    "password_again",
    "code",
    "recovery_code",
    "credential",
];

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

/// What was known before any request.
fn reset(gateway: &Gateway, row: &Row) {
    let mut world = gateway.fakes.world();
    world.challenge = None;
    world.disabled = false;
    world.may_enrol = false;
    world.authenticator = false;
    world.passkeys.clear();
    world.two_factor = true;
    world.confirmed_number = "+14165550123".to_owned();
    (row.world)(&mut world);
}

/// The calls since the one of this number that change something.
fn changes(gateway: &Gateway, from: usize) -> BTreeSet<&'static str> {
    let world = gateway.fakes.world();
    let calls = world.calls[from..].iter().map(|call| call.rpc);
    calls.filter(|name| rpc(name).changes).collect()
}

/// Has a service refuse one request with the reason, and looks at what the reader gets.
async fn refuse(gateway: &Gateway, language: &str, row: &Row, reason: &str) {
    let why = format!("{reason} of {} on {} in {language}", row.rpc, row.page);
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
    let typed: Vec<_> = row
        .typed
        .iter()
        .map(|(name, value)| (*name, if *value == OWN { language } else { *value }))
        .collect();
    let at = (row.at)(reason);
    let mut refusal = Refusal::new(code(reason), reason).with("minimum", 15);
    if waits {
        refusal = refusal.retry_after(Duration::from_secs(1_500));
    }
    if let At::Field(field) | At::NextField(field) = at {
        refusal = refusal.and_field(field, reason);
    }
    reset(gateway, row);
    let mut browser = gateway.speaking(language, row.reader);
    if !row.to.is_empty() {
        let page = browser.open(row.page).await;
        assert_eq!(page.status, StatusCode::OK, "{why}: {}", page.words());
    }
    let from = gateway.fakes.world().calls.len();
    gateway.fakes.refuse(row.rpc, refusal);
    if row.to.is_empty() {
        browser.open(row.page).await;
    } else {
        browser.submit(row.to, &typed).await;
    }
    assert!(
        gateway.fakes.world().refuse.is_empty(),
        "{why}: nobody asked the service"
    );
    if matches!(at, At::Next | At::NextField(_) | At::Way(_)) {
        browser.follow().await;
    }
    let page = &browser.page;
    let words = page.words();
    match at {
        At::Field(id) => {
            assert_eq!(page.error_at(id), sentence, "{why}: {words}");
            keeps(page, &typed, &why);
        }
        At::Form => {
            assert!(page.alert().contains(&sentence), "{why}: {words}");
            keeps(page, &typed, &why);
        }
        At::Next => assert!(page.alert().contains(&sentence), "{why}: {words}"),
        At::NextField(id) => assert_eq!(page.error_at(id), sentence, "{why}: {words}"),
        At::Page => assert!(words.contains(&sentence), "{why}: {words}"),
        At::Way(key) => assert!(words.contains(&say(language, key, &[])), "{why}: {words}"),
    }
    let (expected, wait) = match at {
        At::Next | At::NextField(_) | At::Way(_) => (StatusCode::OK, None),
        At::Field(_) | At::Form | At::Page => (status(code(reason)), waits.then_some("1500")),
    };
    assert_eq!(page.status, expected, "{why}: {words}");
    let header = page.headers.get("retry-after");
    assert_eq!(header.map(|v| v.to_str().unwrap()), wait, "{why}");
    for other in LANGUAGES {
        let foreign = other != language && words.contains(&told(other));
        assert!(!foreign, "{why}: it is told in {other}");
    }
    // The refused call changed nothing; nor did another one instead of it.
    let refused = [row.rpc].into_iter().filter(|name| rpc(name).changes);
    let expected: BTreeSet<_> = row.also.iter().copied().chain(refused).collect();
    assert_eq!(changes(gateway, from), expected, "{why}");
}

/// The reasons of a row: those that its call can be refused for.
fn of(row: &Row) -> Vec<&'static str> {
    let about = |reason: &str| row.of.iter().any(|start| reason.starts_with(start));
    let mut reasons = told();
    reasons.retain(|reason| about(reason) && rpc(row.rpc).refuses(reason));
    reasons
}

async fn every_reason_is_told_in(language: &str) {
    let gateway = Gateway::start(true).await;
    for row in rows() {
        for reason in of(row) {
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

#[test]
fn every_reason_is_refused_on_a_page_that_can_get_it() {
    let mut refused = BTreeSet::new();
    for row in rows() {
        let reasons = of(row);
        for start in row.of {
            let given = reasons.iter().any(|reason| reason.starts_with(start));
            assert!(given, "{} is not refused for {start}", row.rpc);
        }
        refused.extend(reasons);
    }
    for reason in told() {
        let covered = refused.contains(reason) || OF_NO_CALL.contains(&reason);
        assert!(covered, "{reason} is tried on no page");
    }
}
