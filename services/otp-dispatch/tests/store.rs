//! What otp-api keeps in SQL: one suite, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

use otp_dispatch::domain::challenge::Purpose;
use otp_dispatch::domain::guard::overrides::Rule;
use otp_dispatch::domain::guard::{DayTotal, Decision, Outcome, Reason, Record, Use, Window};
use otp_dispatch::domain::limits::{DAY_MS, Scope};
use otp_dispatch::store::guard::{
    Override, Wanted, add_totals, decisions, forget_decisions, forget_totals, overrides,
    put_decisions, put_override, remove_override, totals_from,
};
use otp_dispatch::store::{Migrator, SCHEMA};
use sallyport_chassis::SecretUrl;
use sallyport_sql::{Database, DatabaseConfig};
use sallyport_testkit::TestDatabase;
use uuid::Uuid;

const T0: i64 = 1_764_000_000_000;

/// An empty, migrated schema.
struct Place {
    database: Database,
    _folder: Option<tempfile::TempDir>,
    _postgres: Option<TestDatabase>,
}

async fn open(url: String) -> Database {
    let config = DatabaseConfig {
        url: SecretUrl::new(url),
        max_connections: 4,
        migrate_at_start: true,
    };
    let database = Database::connect(&config, SCHEMA).await.unwrap();
    // A second time changes nothing: every process migrates at its start.
    database.migrate::<Migrator>().await.unwrap();
    database.migrate::<Migrator>().await.unwrap();
    database
}

async fn sqlite() -> Place {
    let folder = tempfile::tempdir().unwrap();
    Place {
        database: open(format!("sqlite://{}", folder.path().display())).await,
        _folder: Some(folder),
        _postgres: None,
    }
}

async fn postgres() -> Place {
    let postgres = sallyport_testkit::postgres().await.unwrap();
    Place {
        database: open(postgres.url.clone()).await,
        _folder: None,
        _postgres: Some(postgres),
    }
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let place = super::sqlite().await;
                super::$name(place.database.clone()).await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let place = super::postgres().await;
                super::$name(place.database.clone()).await;
            })+
        }
    };
}

on_both!(
    decisions_come_back_as_they_were_newest_first,
    a_batch_that_is_stored_twice_is_there_once,
    old_decisions_are_deleted,
    overrides_replace_one_another_and_go,
    counts_of_a_day_add_up_and_old_days_go,
);

fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

fn record(at: i64, outcome: Outcome, country: &str) -> Record {
    let blocked = outcome == Outcome::Blocked;
    Record {
        at,
        purpose: Purpose::NumberChange,
        country: country.to_owned(),
        prefix: "+3361234".to_owned(),
        decision: Decision {
            outcome,
            reason: if outcome == Outcome::Allowed {
                Reason::NumberVerified
            } else {
                Reason::OverBudget
            },
            uses: (outcome != Outcome::Allowed)
                .then_some(Use {
                    scope: Scope::Country,
                    window: Window::Day,
                    counted: 21,
                    budget: 20,
                })
                .into_iter()
                .collect(),
            retry_at: blocked.then_some(at + DAY_MS),
        },
    }
}

async fn listed(database: &Database, wanted: Wanted) -> Vec<u8> {
    let limit = if wanted.limit == 0 { 100 } else { wanted.limit };
    let wanted = Wanted { limit, ..wanted };
    decisions(database.connection(), &wanted)
        .await
        .unwrap()
        .into_iter()
        .map(|(id, _)| id.as_bytes()[0])
        .collect()
}

async fn decisions_come_back_as_they_were_newest_first(database: Database) {
    let records = [
        (id(1), record(T0, Outcome::Allowed, "FR")),
        (id(2), record(T0 + 1, Outcome::Observed, "BE")),
        (id(3), record(T0 + 2, Outcome::Blocked, "FR")),
        (id(4), record(T0 + 3, Outcome::Blocked, "+881")),
    ];
    put_decisions(database.connection(), &records)
        .await
        .unwrap();
    let wanted = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    let found = decisions(database.connection(), &wanted).await.unwrap();
    let newest_first: Vec<_> = records.into_iter().rev().collect();
    assert_eq!(found, newest_first);

    let blocked = Wanted {
        outcome: Some(Outcome::Blocked),
        ..Wanted::default()
    };
    assert_eq!(listed(&database, blocked).await, [4, 3]);
    let french = Wanted {
        country: Some("FR".to_owned()),
        ..Wanted::default()
    };
    assert_eq!(listed(&database, french).await, [3, 1]);
    let page = Wanted {
        before: Some(id(4)),
        limit: 2,
        ..Wanted::default()
    };
    assert_eq!(listed(&database, page).await, [3, 2]);
}

/// A statement whose outcome was in doubt is sent again.
async fn a_batch_that_is_stored_twice_is_there_once(database: Database) {
    let first = [(id(1), record(T0, Outcome::Allowed, "FR"))];
    let both = [
        first[0].clone(),
        (id(2), record(T0, Outcome::Blocked, "FR")),
    ];
    for batch in [&first[..], &both[..], &both[..]] {
        put_decisions(database.connection(), batch).await.unwrap();
    }
    assert_eq!(listed(&database, Wanted::default()).await, [2, 1]);
}

async fn old_decisions_are_deleted(database: Database) {
    let records = [
        (id(1), record(T0, Outcome::Allowed, "FR")),
        (id(2), record(T0 + 1, Outcome::Allowed, "FR")),
    ];
    put_decisions(database.connection(), &records)
        .await
        .unwrap();
    forget_decisions(database.connection(), T0 + 1)
        .await
        .unwrap();
    assert_eq!(listed(&database, Wanted::default()).await, [2]);
}

async fn overrides_replace_one_another_and_go(database: Database) {
    let connection = database.connection();
    let set = |target: &str, rule: Rule, note: &str| Override {
        target: target.parse().unwrap(),
        rule,
        note: note.to_owned(),
        set_by: "mia".to_owned(),
        set_at: T0,
    };
    let french = set("FR", Rule::Observe, "première");
    let block = set("+99450", Rule::Block, "");
    for new in [&french, &block] {
        put_override(connection, new).await.unwrap();
    }
    let mut found = overrides(connection).await.unwrap();
    found.sort_by_key(|o| o.target.to_string());
    assert_eq!(found, [block.clone(), french]);

    let allowed = Override {
        set_by: "other".to_owned(),
        set_at: T0 + 1,
        ..set("FR", Rule::Allow, "après examen")
    };
    put_override(connection, &allowed).await.unwrap();
    assert!(remove_override(connection, &block.target).await.unwrap());
    assert!(!remove_override(connection, &block.target).await.unwrap());
    assert_eq!(overrides(connection).await.unwrap(), [allowed]);
}

async fn counts_of_a_day_add_up_and_old_days_go(database: Database) {
    let total = |place: &str, day: i64, verified: u64| DayTotal {
        place: place.to_owned(),
        day,
        verified,
    };
    let listed = async |from: i64| {
        let mut found = totals_from(database.connection(), from).await.unwrap();
        found.sort_by_key(|total| (total.day, total.place.clone()));
        found
    };
    let first = [total("b", 7, 1), total("a", 7, 2), total("a", 8, 3)];
    add_totals(&database, &first).await.unwrap();
    let second = [total("a", 8, 4), total("b", 7, 10)];
    add_totals(&database, &second).await.unwrap();
    let all = [total("a", 7, 2), total("b", 7, 11), total("a", 8, 7)];
    assert_eq!(listed(0).await, all);
    assert_eq!(listed(8).await, all[2..]);
    forget_totals(database.connection(), 8).await.unwrap();
    assert_eq!(listed(0).await, all[2..]);

    // Several processes add at once, each in an order of its own, and none is lost.
    let adding = (0..8).map(|n| {
        let database = database.clone();
        let mut totals: Vec<DayTotal> = (0..20).map(|p| total(&format!("p{p}"), 9, 1)).collect();
        totals.rotate_left(n);
        async move { add_totals(&database, &totals).await }
    });
    for added in futures::future::join_all(adding).await {
        added.unwrap();
    }
    let found = listed(9).await;
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|total| total.verified == 8), "{found:?}");
}
