//! The pumping guard (rule 31): what its store keeps, and that it decides by the rule.

use otp_dispatch::domain::challenge::{CreateOutcome, ResendOutcome, Verdict};
use otp_dispatch::domain::guard::ledger::day;
use otp_dispatch::domain::guard::{
    Budget, Budgets, DayTotal, Decision, Outcome, Place, Policy, Reason, Use, Watch, Window,
};
use otp_dispatch::domain::limits::{DAY_MS, HOUR_MS};

use super::*;

/// A send to a number in a block and a country of the same names: three an hour and four a day, or as
/// many as were verified.
pub(super) fn watch(number: &str, names: &[&str]) -> Watch {
    let keys: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let budget = |least| Budget {
        least,
        percent: 100,
    };
    Watch {
        number: vec![number.to_owned()],
        places: [Scope::Prefix, Scope::Country]
            .map(|scope| Place {
                scope,
                keys: keys.clone(),
            })
            .to_vec(),
        policy: Policy::Enforce,
        budgets: Budgets {
            hour: budget(3),
            day: budget(4),
        },
    }
}

fn watched(id: &str, now: i64, watch: Watch) -> NewChallenge {
    NewChallenge {
        guard: Some(watch),
        ..new_challenge(id, now)
    }
}

/// Counted and budget of each use.
fn uses(decision: &Decision) -> Vec<(u64, u64)> {
    let figures = |used: &Use| (used.counted, used.budget);
    decision.uses.iter().map(figures).collect()
}

impl Stores {
    async fn judged(&self, id: &str, now: i64, watch: Watch) -> Decision {
        match self
            .challenges
            .create(watched(id, now, watch))
            .await
            .unwrap()
        {
            CreateOutcome::Created(_, Some(decision)) => {
                assert_ne!(decision.outcome, Outcome::Blocked);
                decision
            }
            CreateOutcome::Guarded(decision) => {
                assert_eq!(decision.outcome, Outcome::Blocked);
                decision
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends to a stranger of place `k`.
    async fn reason(&self, id: &str, now: i64) -> Reason {
        self.judged(id, now, watch("stranger", &["k"])).await.reason
    }

    /// A challenge of place `k` that is created and verified at once.
    async fn prove(&self, id: &str, number: &str, now: i64) {
        self.created(watched(id, now, watch(number, &["k"]))).await;
        let attempt = Attempt {
            proof: Some(proof(number, "k")),
            ..attempt(id, true, "r", now)
        };
        assert_eq!(self.verified(attempt).await, Verdict::Right);
    }
}

pub(super) async fn codes_that_nobody_verifies_close_their_places(stores: Stores) {
    for n in 0..3 {
        let decision = stores
            .judged(&format!("c{n}"), T0 + n, watch("a", &["k"]))
            .await;
        assert_eq!(decision.reason, Reason::WithinBudget);
        // Nothing is ripe yet.
        assert_eq!(uses(&decision), [(0, 3), (0, 4), (0, 3), (0, 4)]);
    }
    // The third is not ten minutes old.
    let ripe = T0 + 2 + 10 * MINUTE;
    assert_eq!(stores.reason("c3", ripe - 1).await, Reason::WithinBudget);
    let blocked = stores.judged("c4", ripe, watch("b", &["k"])).await;
    assert_eq!(
        blocked,
        Decision {
            outcome: Outcome::Blocked,
            reason: Reason::OverBudget,
            uses: [Scope::Prefix, Scope::Country]
                .into_iter()
                .flat_map(|scope| {
                    [(Window::Hour, 3), (Window::Day, 4)].map(|(window, budget)| Use {
                        scope,
                        window,
                        counted: 3,
                        budget,
                    })
                })
                .collect(),
            // Of the four that were sent, one must leave the day too.
            retry_at: Some(T0 + DAY_MS),
        }
    );
    assert_eq!(
        stores.reason("c5", T0 + DAY_MS - 1).await,
        Reason::OverBudget
    );
    assert_eq!(stores.reason("c6", T0 + DAY_MS).await, Reason::WithinBudget);
    // Elsewhere nobody notices.
    let other = stores.judged("d", ripe, watch("b", &["other"])).await;
    assert_eq!(other.reason, Reason::WithinBudget);
}

pub(super) async fn a_blocked_send_stores_and_counts_nothing(stores: Stores) {
    for n in 0..3 {
        stores.reason(&format!("c{n}"), T0).await;
    }
    let ripe = T0 + 10 * MINUTE;
    let number = || vec![cap(Scope::Number, "n", 1, 9)];
    for n in 0..5 {
        let refused = NewChallenge {
            counted: number(),
            ..watched(&format!("r{n}"), ripe, watch("a", &["k"]))
        };
        let outcome = stores.challenges.create(refused).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::Guarded(_)), "{outcome:?}");
        let id = format!("r{n}");
        let found = stores.challenges.read(&id, &binding("b"), ripe).await;
        assert_eq!(found.unwrap(), None);
    }
    // The caps, which come first, did not count them either, and the key is free.
    let open = NewChallenge {
        counted: number(),
        ..watched("r0", T0 + HOUR_MS, watch("a", &["k"]))
    };
    let outcome = stores.challenges.create(open).await.unwrap();
    let CreateOutcome::Created(_, Some(decision)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(uses(&decision), [(0, 3), (3, 4), (0, 3), (3, 4)]);
}

pub(super) async fn a_verified_code_is_taken_off_and_raises_the_budgets(stores: Stores) {
    for n in 0..3 {
        stores.reason(&format!("c{n}"), T0).await;
    }
    let ripe = T0 + 10 * MINUTE;
    assert_eq!(stores.reason("x", ripe - 1).await, Reason::WithinBudget);
    // A code is right until it is ten minutes old; a wrong one changes nothing.
    let late = ripe - 1;
    stores.verified(attempt("c0", false, "r0", late)).await;
    let verdict = stores.verified(attempt("c0", true, "r1", late)).await;
    assert_eq!(verdict, Verdict::Right);
    let decision = stores.judged("y", ripe, watch("b", &["k"])).await;
    assert_eq!(uses(&decision), [(2, 3), (2, 4), (2, 3), (2, 4)]);
    for n in 0..5 {
        stores.prove(&format!("p{n}"), &format!("q{n}"), ripe).await;
    }
    // Six were verified: at 100 %, as many need not be.
    let decision = stores.judged("z", ripe, watch("b", &["k"])).await;
    assert_eq!(uses(&decision), [(2, 6), (2, 6), (2, 6), (2, 6)]);
    // A second right answer counts for nothing.
    stores.verified(attempt("c0", true, "r1", ripe)).await;
    stores.verified(attempt("c0", true, "r2", ripe)).await;
    let decision = stores.judged("zz", ripe, watch("b", &["k"])).await;
    assert_eq!(uses(&decision)[0], (2, 6));
}

pub(super) async fn what_the_best_day_verified_holds_for_fourteen_days(stores: Stores) {
    let midnight = day(T0) * DAY_MS;
    for n in 0..30 {
        let id = format!("p{n}");
        stores.prove(&id, &id, midnight + HOUR_MS).await;
    }
    let budgets = async |id: &str, now: i64| {
        let decision = stores.judged(id, now, watch("b", &["k"])).await;
        [uses(&decision)[0].1, uses(&decision)[1].1]
    };
    assert_eq!(budgets("a", midnight + 2 * HOUR_MS - 1).await, [30, 30]);
    // Then a sixth of the best day is an hour's.
    assert_eq!(budgets("b", midnight + 2 * HOUR_MS).await, [5, 30]);
    assert_eq!(budgets("c", midnight + 15 * DAY_MS - 1).await, [5, 30]);
    assert_eq!(budgets("d", midnight + 15 * DAY_MS).await, [3, 4]);
}

pub(super) async fn codes_to_a_known_number_pass_and_do_not_count(stores: Stores) {
    stores.prove("p", "known", T0).await;
    let known = || watch("known", &["k"]);
    for n in 0..9 {
        let decision = stores.judged(&format!("k{n}"), T0, known()).await;
        assert_eq!(
            (decision.outcome, decision.reason, decision.uses.len()),
            (Outcome::Allowed, Reason::NumberVerified, 0)
        );
    }
    let ripe = T0 + 10 * MINUTE;
    let stranger = stores.judged("s", ripe, watch("b", &["k"])).await;
    assert_eq!(uses(&stranger)[0].0, 0);
    // Known under an older key of the ring as well.
    let rotated = Watch {
        number: vec!["new".to_owned(), "known".to_owned()],
        ..known()
    };
    let decision = stores.judged("r", ripe, rotated).await;
    assert_eq!(decision.reason, Reason::NumberVerified);
    let ends = T0 + 90 * DAY_MS;
    let decision = stores.judged("e", ends - 1, known()).await;
    assert_eq!(decision.reason, Reason::NumberVerified);
    let decision = stores.judged("f", ends, known()).await;
    assert_eq!(decision.reason, Reason::WithinBudget);
}

pub(super) async fn an_operators_word_comes_before_the_budgets(stores: Stores) {
    let with = |policy| Watch {
        policy,
        ..watch("a", &["k"])
    };
    for n in 0..9 {
        let decision = stores
            .judged(&format!("a{n}"), T0, with(Policy::Allow))
            .await;
        assert_eq!(decision.reason, Reason::OperatorAllows);
    }
    let ripe = T0 + 10 * MINUTE;
    // What is allowed does not count.
    let decision = stores.judged("e", ripe, with(Policy::Enforce)).await;
    assert_eq!(uses(&decision)[0], (0, 3));
    // What is observed counts, and passes all the same.
    for n in 0..5 {
        stores
            .judged(&format!("o{n}"), ripe, with(Policy::Observe))
            .await;
    }
    let later = ripe + 10 * MINUTE;
    let decision = stores.judged("o", later, with(Policy::Observe)).await;
    assert_eq!(
        (decision.outcome, decision.reason, decision.retry_at),
        (Outcome::Observed, Reason::OverBudget, None)
    );
    assert_eq!(uses(&decision)[0], (6, 3));
    let decision = stores.judged("x", later, with(Policy::Enforce)).await;
    assert_eq!(decision.outcome, Outcome::Blocked);
    // What is blocked is so on an empty history and for known numbers too.
    stores.prove("p", "known", T0).await;
    let blocked = Watch {
        policy: Policy::Block,
        ..watch("known", &["empty"])
    };
    let decision = stores.judged("b", T0, blocked).await;
    assert_eq!(
        decision,
        Decision {
            outcome: Outcome::Blocked,
            reason: Reason::OperatorBlocks,
            uses: Vec::new(),
            retry_at: Some(T0 + DAY_MS),
        }
    );
}

pub(super) async fn a_repeated_key_is_not_decided_again(stores: Stores) {
    for n in 0..3 {
        stores.reason(&format!("e{n}"), T0).await;
    }
    // Live until the others are ripe.
    let asked = T0 + 9 * MINUTE;
    assert_eq!(stores.reason("c", asked).await, Reason::WithinBudget);
    let ripe = T0 + 10 * MINUTE;
    assert_eq!(stores.reason("d", ripe).await, Reason::OverBudget);
    let again = watched("c", asked, watch("stranger", &["k"]));
    let again = NewChallenge { now: ripe, ..again };
    let outcome = stores.challenges.create(again).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::Repeated(_)), "{outcome:?}");
}

pub(super) async fn a_resend_is_watched_alike(stores: Stores) {
    let resend = |n: u32, now: i64| Resend {
        guard: Some(watch("a", &["k"])),
        ..resend("c", n, now)
    };
    let asked = T0 + 8 * MINUTE;
    stores.reason("x", T0).await;
    stores.reason("c", asked).await;
    let send = |n: u32, now: i64| stores.challenges.resend(resend(n, now));
    let outcome = send(2, asked + MINUTE).await.unwrap();
    let ResendOutcome::Accepted(_, _, Some(decision)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(decision.reason, Reason::WithinBudget);
    stores.reason("y", T0 + MINUTE).await;
    stores.reason("z", T0 + MINUTE).await;
    let ripe = T0 + 11 * MINUTE;
    let outcome = send(3, ripe).await.unwrap();
    let ResendOutcome::Guarded(decision) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(uses(&decision)[0], (3, 3));
    // It spent no send, and both messages are taken off when the code is verified.
    assert_eq!(stores.view("c", ripe).await.sends_left, 1);
    let verdict = stores.verified(attempt("c", true, "r", ripe)).await;
    assert_eq!(verdict, Verdict::Right);
    let decision = stores
        .judged("w", T0 + 30 * MINUTE, watch("b", &["k"]))
        .await;
    assert_eq!(uses(&decision)[0].0, 3);
}

pub(super) async fn what_both_keys_of_a_ring_counted_counts_together(stores: Stores) {
    stores.judged("c1", T0, watch("a", &["k1"])).await;
    stores.judged("c2", T0, watch("a", &["k2", "k1"])).await;
    for (id, number, key) in [("p1", "x", "k1"), ("p2", "y", "k2")] {
        stores.created(new_challenge(id, T0)).await;
        let attempt = Attempt {
            proof: Some(proof(number, key)),
            ..attempt(id, true, "r", T0)
        };
        assert_eq!(stores.verified(attempt).await, Verdict::Right);
    }
    let seed = |place: &str| DayTotal {
        place: place.to_owned(),
        day: day(T0) - 1,
        verified: 5,
    };
    let totals = [seed("country:k1"), seed("country:k2")];
    stores.guard.seed(&totals, true, T0).await.unwrap();
    let ripe = T0 + 10 * MINUTE;
    let decision = stores.judged("c3", ripe, watch("b", &["k2", "k1"])).await;
    assert_eq!(uses(&decision), [(2, 3), (2, 4), (2, 3), (2, 10)]);
}

pub(super) async fn a_store_without_its_history_says_so_and_is_told_it(stores: Stores) {
    assert!(!stores.guard.is_seeded().await.unwrap());
    let total = |days: i64, verified: u64| DayTotal {
        place: "country:k".to_owned(),
        day: day(T0) - days,
        verified,
    };
    let first = [total(14, 60), total(15, 600)];
    stores.guard.seed(&first, false, T0).await.unwrap();
    assert!(!stores.guard.is_seeded().await.unwrap());
    stores.guard.seed(&[], true, T0).await.unwrap();
    assert!(stores.guard.is_seeded().await.unwrap());
    let country = async |id: &str| {
        let decision = stores.judged(id, T0, watch("a", &["k"])).await;
        [uses(&decision)[2].1, uses(&decision)[3].1]
    };
    // The fifteenth day before today is too old.
    assert_eq!(country("c1").await, [10, 60]);
    // A count is raised, and never lowered.
    stores.guard.seed(&[total(14, 30)], true, T0).await.unwrap();
    assert_eq!(country("c2").await, [10, 60]);
    stores.guard.seed(&[total(3, 90)], true, T0).await.unwrap();
    assert_eq!(country("c3").await, [15, 90]);
}
