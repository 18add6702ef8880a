//! How long a failed sign-in takes tells nothing: what is computed and written for it is counted
//! here, since no clock of a test could show that.

use std::path::Path;
use std::sync::Arc;

use sallyport_chassis::keyring::Keyring;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::{Peer, SecretUrl};
use sallyport_sql::{Connection, Database, DatabaseConfig};
use sallyport_testkit::ManualClock;

use super::*;
use crate::app::OutboxWake;
use crate::app::hashing::HashPool;
use crate::config::Config;
use crate::domain::hash::Cost;
use crate::store::Migrator;

const PASSWORD: &str = "sixteen brown foxes jump";
const WRONG: &str = "not the password";
/// What a hash costs today, and what it cost before.
const PASSES: u32 = 3;
const FEWER: u32 = 2;

/// identity without its front door and its relays: what a sign-in computes and writes is all that
/// happens.
async fn identity(url: String, folder: &Path, clock: &ManualClock) -> App {
    let mut config = Config::load(None).unwrap();
    let password = &mut config.identity.password;
    password.passes = PASSES;
    // One thread knows what all hashes cost.
    password.hash_threads = 1;
    password.longest_queue = Duration::from_secs(60);
    let database = DatabaseConfig {
        url: SecretUrl::new(url),
        max_connections: 2,
        migrate_at_start: true,
    };
    let database = Database::connect(&database, "identity").await.unwrap();
    database.migrate::<Migrator>().await.unwrap();
    let ring = |file: &str| Arc::new(Keyring::load_or_create(&folder.join(file)).unwrap());
    let (nobody, _) = Listener::memory();
    App {
        database,
        clock: Arc::new(clock.clone()),
        lookup: ring("lookup.keys"),
        pepper: ring("pepper.keys"),
        totp: ring("totp.keys"),
        relying_party: None,
        hashing: Arc::new(HashPool::start(&config.identity.password).unwrap()),
        otp: nobody.channel(Peer::service("identity")),
        outbox_wake: OutboxWake::default(),
        noted: Arc::default(),
        profile: config.profile,
        settings: Arc::new(config.identity),
    }
}

/// A user, with `PASSWORD` at a cost.
async fn user(app: &App, name: &str, status: Status, passes: Option<u32>) {
    let row = users::Model {
        id: Uuid::now_v7(),
        organisation_id: Uuid::now_v7(),
        version: 1,
        email: format!("{name}@example.com"),
        status,
        permissions: String::new(),
        two_factor_required: false,
        locale: "en".to_owned(),
        licensed: true,
        context_words: String::new(),
    };
    let (connection, id) = (app.database.connection(), row.id);
    let put = users::put(connection, row).await.unwrap();
    assert_eq!(put, users::Put::Stored);
    let Some(passes) = passes else { return };
    let mut settings = app.settings.password.clone();
    settings.passes = passes;
    let then = App {
        hashing: Arc::new(HashPool::start(&settings).unwrap()),
        ..app.clone()
    };
    let password = Password::read(PASSWORD).unwrap();
    let made = hashing::make(&then, password, 15, Vec::new()).await;
    let hash = made.unwrap().unwrap();
    passwords::put(connection, id, hash, 0).await.unwrap();
}

/// Why a sign-in is refused, and what was computed for it.
async fn refused(app: &App, email: &str, password: &str) -> (SignInRefusal, Vec<Cost>) {
    let (password, no_browser) = (Secret::new(password), Secret::default());
    let answer = sign_in(app, &Caller::nobody(), email, &password, &no_browser).await;
    (answer.unwrap_err(), app.hashing.computed().await)
}

/// How many rows waited in the outbox; they leave it, as if the relay had delivered them.
async fn rows_relayed(app: &App) -> u64 {
    let outbox = app.database.connection();
    let emptied = outbox.execute_unprepared("DELETE FROM outbox").await;
    emptied.unwrap().rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_computes_and_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("data").display());
    let postgres = sallyport_testkit::postgres().await.unwrap();
    for url in [sqlite, postgres.url.clone()] {
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let app = identity(url, folder.path(), &clock).await;
        let settings = &app.settings.password;
        let today = Cost {
            memory_kib: settings.memory_kib,
            passes: PASSES,
            lanes: settings.lanes,
        };
        for (name, status, passes) in [
            ("known", Status::Active, Some(PASSES)),
            ("older", Status::Active, Some(FEWER)),
            ("invited", Status::Active, None),
            ("disabled", Status::Disabled, Some(PASSES)),
            ("older.disabled", Status::Disabled, Some(FEWER)),
            ("deleted", Status::Deleted, Some(PASSES)),
            ("malformed", Status::Active, Some(PASSES)),
        ] {
            user(&app, name, status, passes).await;
        }
        let bend = "UPDATE passwords SET hash = 'no hash' WHERE user_id = \
                    (SELECT id FROM users WHERE email = 'malformed@example.com')";
        let bent = app.database.connection().execute_unprepared(bend).await;
        assert_eq!(bent.unwrap().rows_affected(), 1);
        let long = "a".repeat(5_000);
        for (email, password) in [
            ("nobody@example.com", WRONG),
            ("nobody@example.com", ""),
            ("nobody@example.com", long.as_str()),
            ("not an address", WRONG),
            ("", ""),
            ("known@example.com", WRONG),
            ("known@example.com", ""),
            ("known@example.com", long.as_str()),
            ("older@example.com", WRONG),
            ("older@example.com", long.as_str()),
            ("invited@example.com", PASSWORD),
            ("disabled@example.com", PASSWORD),
            ("disabled@example.com", WRONG),
            ("older.disabled@example.com", PASSWORD),
            ("deleted@example.com", PASSWORD),
            ("malformed@example.com", PASSWORD),
            ("malformed@example.com", ""),
        ] {
            let case = format!("{email}, {} letters", password.len());
            let (refusal, computed) = refused(&app, email, password).await;
            assert!(
                matches!(refusal, SignInRefusal::Failed),
                "{case}: {refusal:?}"
            );
            if email.starts_with("older") {
                // One pass less in the hash is one pass more beside it.
                let passes: u32 = computed.iter().map(|one| one.passes).sum();
                assert_eq!(passes, PASSES, "{case}");
                let as_today = |one: &Cost| one.memory_kib == today.memory_kib;
                assert!(computed.iter().all(as_today), "{case}: {computed:?}");
            } else {
                assert_eq!(computed, [today], "{case}");
            }
            assert_eq!(rows_relayed(&app).await, 1, "{case}");
        }
        // The right password does not wait for what only hides its user.
        let (password, no_browser) = (Secret::new(PASSWORD), Secret::default());
        let known = "known@example.com";
        sign_in(&app, &Caller::nobody(), known, &password, &no_browser)
            .await
            .unwrap();
        assert_eq!(app.hashing.computed().await, [today]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_or_is_closed_computes_nothing_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("data").display());
    let postgres = sallyport_testkit::postgres().await.unwrap();
    for url in [sqlite, postgres.url.clone()] {
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let mut app = identity(url, folder.path(), &clock).await;
        let guesses = &mut Arc::make_mut(&mut app.settings).guesses;
        guesses.closed_at_failures = guesses.delay_from_failure;
        let failures = guesses.delay_from_failure;
        let first_delay = guesses.first_delay;
        user(&app, "known", Status::Active, Some(PASSES)).await;
        for email in ["known@example.com", "nobody@example.com"] {
            for _ in 0..failures {
                let (refusal, computed) = refused(&app, email, WRONG).await;
                assert!(matches!(refusal, SignInRefusal::Failed), "{refusal:?}");
                assert_eq!(computed.len(), 1);
            }
            let (refusal, computed) = refused(&app, email, PASSWORD).await;
            let waits = matches!(refusal, SignInRefusal::Delayed(_));
            assert!(waits && computed.is_empty(), "{email}: {refusal:?}");
            clock.advance(first_delay);
            let (refusal, computed) = refused(&app, email, PASSWORD).await;
            let closed = matches!(refusal, SignInRefusal::Closed);
            assert!(closed && computed.is_empty(), "{email}: {refusal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_refuses_is_written_once_a_minute_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("data").display());
    let postgres = sallyport_testkit::postgres().await.unwrap();
    for url in [sqlite, postgres.url.clone()] {
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let mut app = identity(url, folder.path(), &clock).await;
        let guesses = &mut Arc::make_mut(&mut app.settings).guesses;
        let failures = guesses.delay_from_failure;
        // Reached by the failures of the first two below.
        guesses.address_failures = 2 * failures;
        user(&app, "known", Status::Active, Some(PASSES)).await;
        user(&app, "other", Status::Active, Some(PASSES)).await;
        let (own, address) = (failures, 0);
        for (email, failures) in [
            ("known@example.com", own),
            ("nobody@example.com", own),
            ("other@example.com", address),
            ("nobody.else@example.com", address),
        ] {
            for _ in 0..failures {
                let (refusal, _) = refused(&app, email, WRONG).await;
                assert!(matches!(refusal, SignInRefusal::Failed), "{refusal:?}");
            }
            rows_relayed(&app).await;
            for written in [1, 0, 0] {
                let (refusal, _) = refused(&app, email, PASSWORD).await;
                let waits = matches!(refusal, SignInRefusal::Delayed(_));
                assert!(waits, "{email}: {refusal:?}");
                assert_eq!(rows_relayed(&app).await, written, "{email}");
            }
        }
    }
}
