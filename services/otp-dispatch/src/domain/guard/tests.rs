//! The rule by its figures and by its properties.

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const NOW: i64 = 1_764_000_000_000;
const BUDGETS: Budgets = Budgets {
    hour: Budget {
        least: 3,
        percent: 20,
    },
    day: Budget {
        least: 20,
        percent: 30,
    },
};

fn watch(policy: Policy) -> Watch {
    Watch {
        number: vec!["n".to_owned()],
        places: Vec::new(),
        policy,
        budgets: BUDGETS,
    }
}

fn held(waiting: Vec<i64>, verified: Verified) -> Held {
    Held {
        scope: Scope::Country,
        waiting,
        verified,
    }
}

#[test]
fn the_figures_are_those_of_the_rule() {
    let of = |last_hour, last_day, best_day| {
        let verified = Verified {
            last_hour,
            last_day,
            best_day,
        };
        (
            BUDGETS.of(Window::Hour, &verified),
            BUDGETS.of(Window::Day, &verified),
        )
    };
    // On an empty history.
    assert_eq!(of(0, 0, 0), (3, 20));
    // By the best day: 0.2 × 600 ÷ 6, and 0.3 × 600.
    assert_eq!(of(0, 0, 600), (20, 180));
    // By the last 24 hours, and by the last hour.
    assert_eq!(of(0, 1_000, 600), (20, 300));
    assert_eq!(of(500, 1_000, 600), (100, 300));
    // Parts of a code do not count.
    assert_eq!(of(0, 0, 119), (3, 35));
    assert_eq!(of(0, 0, 120), (4, 36));
}

#[test]
fn a_code_counts_from_ten_minutes_on_until_its_window_ends() {
    let counted = |age: i64| {
        let place = held(vec![NOW - age], Verified::default());
        Window::ALL.map(|window| place.counted(window, NOW))
    };
    assert_eq!(counted(0), [0, 0]);
    assert_eq!(counted(10 * MINUTE - 1), [0, 0]);
    assert_eq!(counted(10 * MINUTE), [1, 1]);
    assert_eq!(counted(60 * MINUTE - 1), [1, 1]);
    assert_eq!(counted(60 * MINUTE), [0, 1]);
    assert_eq!(counted(DAY_MS - 1), [0, 1]);
    assert_eq!(counted(DAY_MS), [0, 0]);
}

#[test]
fn a_spent_budget_refuses_observes_or_is_not_looked_at() {
    let spent = vec![held(vec![NOW - 20 * MINUTE; 3], Verified::default())];
    let decided = |policy| {
        let watch = watch(policy);
        let decision = watch
            .exempt(false, NOW)
            .unwrap_or_else(|| watch.weigh(&spent, NOW));
        (decision.outcome, decision.reason, decision.counts())
    };
    assert_eq!(
        decided(Policy::Enforce),
        (Outcome::Blocked, Reason::OverBudget, false)
    );
    assert_eq!(
        decided(Policy::Observe),
        (Outcome::Observed, Reason::OverBudget, true)
    );
    assert_eq!(
        decided(Policy::Allow),
        (Outcome::Allowed, Reason::OperatorAllows, false)
    );
    assert_eq!(
        decided(Policy::Block),
        (Outcome::Blocked, Reason::OperatorBlocks, false)
    );
    // Three an hour of twenty a day: it opens when they leave the hour.
    let decision = watch(Policy::Enforce).weigh(&spent, NOW);
    assert_eq!(decision.retry_at, Some(NOW + 40 * MINUTE));
    let spent: Vec<_> = decision
        .uses
        .iter()
        .filter(|used| used.is_spent())
        .collect();
    assert_eq!((spent.len(), spent[0].window), (1, Window::Hour));
}

#[test]
fn a_known_number_is_let_through_unless_an_operator_blocks() {
    let reason = |policy| {
        watch(policy)
            .exempt(true, NOW)
            .map(|d| (d.outcome, d.reason))
    };
    let known = Some((Outcome::Allowed, Reason::NumberVerified));
    assert_eq!(reason(Policy::Enforce), known);
    assert_eq!(reason(Policy::Observe), known);
    assert_eq!(
        reason(Policy::Block),
        Some((Outcome::Blocked, Reason::OperatorBlocks))
    );
}

#[test]
fn words_are_those_that_are_serialised() {
    for outcome in Outcome::ALL {
        let word = serde_json::to_value(outcome).unwrap();
        assert_eq!(word, outcome.name());
    }
    for reason in Reason::ALL {
        let word = serde_json::to_value(reason).unwrap();
        assert_eq!(word, reason.name());
    }
    for window in Window::ALL {
        let word = serde_json::to_value(window).unwrap();
        assert_eq!(word, window.name());
    }
}

fn places() -> impl Strategy<Value = Vec<Held>> {
    let verified =
        (0..200u64, 0..2_000u64, 0..2_000u64).prop_map(|(last_hour, last_day, best_day)| {
            Verified {
                last_hour,
                last_day,
                best_day,
            }
        });
    let ages = prop::collection::vec(0..26 * HOUR_MS, 0..60);
    let place = (ages, verified).prop_map(|(ages, verified)| {
        held(ages.into_iter().map(|age| NOW - age).collect(), verified)
    });
    prop::collection::vec(place, 1..3)
}

proptest! {
    #[test]
    fn exactly_a_spent_budget_refuses(places in places()) {
        let decision = watch(Policy::Enforce).weigh(&places, NOW);
        let spent = decision.uses.iter().any(Use::is_spent);
        prop_assert_eq!(decision.outcome == Outcome::Blocked, spent);
        prop_assert_eq!(decision.retry_at.is_some(), spent);
        prop_assert_eq!(decision.counts(), !spent);
    }

    /// What the refused one is told is true: then, and not before now, it passes.
    #[test]
    fn at_the_instant_that_is_told_the_send_passes(places in places()) {
        let watch = watch(Policy::Enforce);
        if let Some(at) = watch.weigh(&places, NOW).retry_at {
            prop_assert!(at > NOW && at <= NOW + DAY_MS);
            prop_assert_eq!(watch.weigh(&places, at).outcome, Outcome::Allowed);
        }
    }

    #[test]
    fn more_verified_codes_never_make_a_budget_smaller(
        least in 1..100u32, percent in 0..1_000u32,
        verified in (0..10_000u64, 0..10_000u64, 0..10_000u64), more in 0..10_000u64,
    ) {
        let budget = Budget { least, percent };
        let budgets = Budgets { hour: budget, day: budget };
        let (last_hour, last_day, best_day) = verified;
        let few = Verified { last_hour, last_day, best_day };
        let many = Verified {
            last_hour: last_hour + more,
            last_day: last_day + more,
            best_day: best_day + more,
        };
        for window in Window::ALL {
            let before = budgets.of(window, &few);
            prop_assert!(before >= u64::from(least));
            prop_assert!(budgets.of(window, &many) >= before);
        }
    }
}
