//! The caps (rule 30).

use futures::future::join_all;
use otp_dispatch::domain::challenge::{CreateOutcome, ResendOutcome, Verdict};
use otp_dispatch::domain::limits::{DAY_MS, Full, HOUR_MS};

use super::*;

fn counting(id: &str, now: i64, counted: Vec<Counted>) -> NewChallenge {
    NewChallenge {
        counted,
        ..new_challenge(id, now)
    }
}

impl Stores {
    /// `None` where the send passed.
    async fn full(&self, id: &str, now: i64, counted: Vec<Counted>) -> Option<Full> {
        match self
            .challenges
            .create(counting(id, now, counted))
            .await
            .unwrap()
        {
            CreateOutcome::Created(..) => None,
            CreateOutcome::Refused(full) => Some(full),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn each_cap_is_exact_by_hour_and_by_day(stores: Stores) {
    for scope in Scope::ALL {
        let caps = || vec![cap(scope, "k", 2, 3)];
        let name = scope.name();
        let send = async |n: u32, at: i64| stores.full(&format!("{name}{n}"), at, caps()).await;
        assert_eq!(send(1, T0).await, None, "{name}");
        assert_eq!(send(2, T0 + 5).await, None, "{name}");
        // Two in the hour: it opens when the first leaves it, to the millisecond.
        let hour = Full {
            scope,
            retry_at: T0 + HOUR_MS,
        };
        assert_eq!(send(3, T0 + 6).await, Some(hour), "{name}");
        assert_eq!(send(4, T0 + HOUR_MS - 1).await, Some(hour), "{name}");
        assert_eq!(send(5, T0 + HOUR_MS).await, None, "{name}");
        // Three in the day.
        let day = Full {
            scope,
            retry_at: T0 + DAY_MS,
        };
        assert_eq!(send(6, T0 + 5 * HOUR_MS).await, Some(day), "{name}");
        assert_eq!(send(7, T0 + DAY_MS - 1).await, Some(day), "{name}");
        assert_eq!(send(8, T0 + DAY_MS).await, None, "{name}");
        // Somebody else's is not affected.
        let other = vec![cap(scope, "other", 2, 3)];
        assert_eq!(
            stores.full(&format!("{name}9"), T0 + 6, other).await,
            None,
            "{name}"
        );
    }
}

pub(super) async fn the_cap_that_opens_last_is_told(stores: Stores) {
    let number = || cap(Scope::Number, "n", 1, 9);
    let user = || cap(Scope::User, "u", 1, 9);
    assert_eq!(stores.full("c1", T0, vec![number()]).await, None);
    assert_eq!(stores.full("c2", T0 + MINUTE, vec![user()]).await, None);
    let full = stores
        .full("c3", T0 + 2 * MINUTE, vec![number(), user()])
        .await;
    assert_eq!(
        full,
        Some(Full {
            scope: Scope::User,
            retry_at: T0 + MINUTE + HOUR_MS
        })
    );
    let full = stores
        .full("c4", T0 + MINUTE + HOUR_MS, vec![number(), user()])
        .await;
    assert_eq!(full, None);
}

pub(super) async fn a_refusal_counts_and_stores_nothing(stores: Stores) {
    let number = || cap(Scope::Number, "n", 1, 9);
    let user = || cap(Scope::User, "u", 2, 9);
    assert_eq!(stores.full("c1", T0, vec![number(), user()]).await, None);
    for n in 0..5 {
        let full = stores
            .full(&format!("r{n}"), T0, vec![user(), number()])
            .await;
        assert_eq!(full.map(|full| full.scope), Some(Scope::Number));
        assert_eq!(
            stores
                .challenges
                .read(&format!("r{n}"), &binding("b"), T0)
                .await
                .unwrap(),
            None
        );
    }
    // The user's cap still has the room that the refusals did not take.
    assert_eq!(stores.full("c2", T0, vec![user()]).await, None);
    assert!(stores.full("c3", T0, vec![user()]).await.is_some());
    // A refused key may be used again.
    assert_eq!(
        stores
            .full("r0", T0 + HOUR_MS, vec![user(), number()])
            .await,
        None
    );
}

pub(super) async fn sends_at_once_never_exceed_a_cap(stores: Stores) {
    let tasks = (0..60).map(|i| {
        let stores = stores.clone();
        tokio::spawn(async move {
            stores
                .full(&format!("c{i}"), T0, vec![cap(Scope::Number, "n", 5, 10)])
                .await
        })
    });
    let passed = join_all(tasks)
        .await
        .into_iter()
        .filter(|task| task.as_ref().unwrap().is_none())
        .count();
    assert_eq!(passed, 5);
}

pub(super) async fn verified_codes_are_taken_off_again(stores: Stores) {
    let all = || Scope::ALL.map(|scope| cap(scope, "k", 2, 9)).to_vec();
    assert_eq!(stores.full("c", T0, all()).await, None);
    let again = Resend {
        counted: all(),
        ..resend("c", 2, T0 + MINUTE)
    };
    let outcome = stores.challenges.resend(again).await.unwrap();
    assert!(
        matches!(outcome, ResendOutcome::Accepted(..)),
        "{outcome:?}"
    );
    let now = T0 + 2 * MINUTE;
    for scope in Scope::ALL {
        let full = stores
            .full(
                &format!("x{}", scope.name()),
                now,
                vec![cap(scope, "k", 2, 9)],
            )
            .await;
        assert_eq!(
            full,
            Some(Full {
                scope,
                retry_at: T0 + HOUR_MS
            })
        );
    }
    // A wrong code takes nothing off.
    stores.verified(attempt("c", false, "r1", now)).await;
    let ip = || vec![cap(Scope::Ip, "k", 2, 9)];
    assert!(stores.full("y", now, ip()).await.is_some());
    assert_eq!(
        stores.verified(attempt("c", true, "r2", now)).await,
        Verdict::Right
    );
    for scope in Scope::ALL {
        // Both messages of the challenge are off the three caps, so two fit again, and no third.
        for n in 0..3 {
            let id = format!("z{}{n}", scope.name());
            let full = stores.full(&id, now, vec![cap(scope, "k", 2, 9)]).await;
            assert_eq!(
                full.is_none(),
                scope.refunded() && n < 2,
                "{} {n}",
                scope.name()
            );
        }
    }
}

pub(super) async fn sends_under_both_keys_of_a_ring_count_together(stores: Stores) {
    let ring = |keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        vec![Counted {
            keys,
            ..cap(Scope::User, "", 3, 9)
        }]
    };
    assert_eq!(stores.full("c1", T0, ring(&["k1"])).await, None);
    assert_eq!(stores.full("c2", T0 + 10, ring(&["k1"])).await, None);
    assert_eq!(stores.full("c3", T0 + 5, ring(&["k2", "k1"])).await, None);
    let full = Full {
        scope: Scope::User,
        retry_at: T0 + HOUR_MS,
    };
    assert_eq!(
        stores.full("c4", T0 + 20, ring(&["k2", "k1"])).await,
        Some(full)
    );
    assert_eq!(
        stores.full("c5", T0 + HOUR_MS, ring(&["k2", "k1"])).await,
        None
    );
    // Now one of the old key and two of the new are in the hour: the second oldest leaves first.
    let full = Full {
        scope: Scope::User,
        retry_at: T0 + 5 + HOUR_MS,
    };
    assert_eq!(
        stores
            .full("c6", T0 + HOUR_MS + 1, ring(&["k2", "k1"]))
            .await,
        Some(full)
    );
}

pub(super) async fn a_resend_is_counted_and_refused_alike(stores: Stores) {
    let caps = || vec![cap(Scope::Number, "n", 2, 9)];
    assert_eq!(stores.full("c", T0, caps()).await, None);
    let send = |n: u32, now: i64| Resend {
        counted: caps(),
        ..resend("c", n, now)
    };
    let outcome = stores
        .challenges
        .resend(send(2, T0 + MINUTE))
        .await
        .unwrap();
    assert!(
        matches!(outcome, ResendOutcome::Accepted(..)),
        "{outcome:?}"
    );
    let outcome = stores
        .challenges
        .resend(send(3, T0 + 2 * MINUTE))
        .await
        .unwrap();
    let full = Full {
        scope: Scope::Number,
        retry_at: T0 + HOUR_MS,
    };
    assert_eq!(outcome, ResendOutcome::Refused(full));
    let view = stores.view("c", T0 + 2 * MINUTE).await;
    assert_eq!((view.sends_left, view.message_id.as_str()), (1, "c/2"));
}
