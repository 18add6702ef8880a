//! Creating, deciding, sending again, ending.

use std::collections::BTreeSet;

use futures::future::join_all;
use otp_dispatch::domain::challenge::{CreateOutcome, Phase, ResendOutcome, Verdict};
use otp_dispatch::domain::message::MessageState;

use super::*;

pub(super) async fn a_right_code_is_used_once(stores: Stores) {
    let view = stores.created(new_challenge("c", T0)).await;
    assert_eq!(
        view,
        ChallengeView {
            id: "c".to_owned(),
            message_id: "c/1".to_owned(),
            reference: "KTR".to_owned(),
            expires_at: T0 + 10 * MINUTE,
            resend_at: T0 + MINUTE,
            sends_left: 2,
            tries_left: 5,
            message_state: MessageState::Queued,
            phase: Phase::Live,
        }
    );
    assert_eq!(stores.view("c", T0).await, view);
    assert_eq!(
        stores.verified(attempt("c", true, "r1", T0)).await,
        Verdict::Right
    );
    assert_eq!(
        stores.verified(attempt("c", true, "r2", T0)).await,
        Verdict::Used
    );
    assert_eq!(stores.view("c", T0).await.phase, Phase::Used);
}

pub(super) async fn right_answers_at_once_use_the_code_once(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let tasks = (0..200).map(|i| {
        let stores = stores.clone();
        tokio::spawn(async move {
            stores
                .verified(attempt("c", true, &format!("r{i}"), T0))
                .await
        })
    });
    let verdicts: Vec<Verdict> = join_all(tasks)
        .await
        .into_iter()
        .map(|task| task.unwrap())
        .collect();
    let right = verdicts.iter().filter(|v| **v == Verdict::Right).count();
    let used = verdicts.iter().filter(|v| **v == Verdict::Used).count();
    assert_eq!((right, used), (1, 199));
}

pub(super) async fn wrong_answers_at_once_stay_in_the_budget(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let tasks = (0..50).map(|i| {
        let stores = stores.clone();
        tokio::spawn(async move {
            stores
                .verified(attempt("c", false, &format!("r{i}"), T0))
                .await
        })
    });
    let mut left = BTreeSet::new();
    let mut ended = 0;
    for task in join_all(tasks).await {
        match task.unwrap() {
            Verdict::Wrong { tries_left } => assert!(left.insert(tries_left), "{tries_left} twice"),
            Verdict::Ended => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(left, BTreeSet::from([0, 1, 2, 3, 4]));
    assert_eq!(ended, 45);
    assert_eq!(
        stores.verified(attempt("c", true, "late", T0)).await,
        Verdict::Ended
    );
    assert_eq!(stores.view("c", T0).await.phase, Phase::OutOfTries);
}

pub(super) async fn the_answer_to_a_request_id_is_repeated_and_burns_nothing(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    for _ in 0..9 {
        let wrong = stores.verified(attempt("c", false, "r1", T0)).await;
        assert_eq!(wrong, Verdict::Wrong { tries_left: 4 });
    }
    assert_eq!(
        stores.verified(attempt("c", true, "r2", T0)).await,
        Verdict::Right
    );
    // The first answers hold, whatever became of the challenge.
    assert_eq!(
        stores
            .verified(attempt("c", true, "r2", T0 + 20 * MINUTE))
            .await,
        Verdict::Right
    );
    let wrong = stores.verified(attempt("c", false, "r1", T0)).await;
    assert_eq!(wrong, Verdict::Wrong { tries_left: 4 });
    assert_eq!(stores.view("c", T0).await.tries_left, 4);

    stores.created(new_challenge("d", T0)).await;
    let late = T0 + 11 * MINUTE;
    assert_eq!(
        stores.verified(attempt("d", true, "late", late)).await,
        Verdict::Expired
    );
    for i in 0..6 {
        stores
            .verified(attempt("d", false, &format!("w{i}"), late))
            .await;
    }
    assert_eq!(
        stores.verified(attempt("d", true, "new", late)).await,
        Verdict::Ended
    );
    assert_eq!(
        stores.verified(attempt("d", true, "late", late)).await,
        Verdict::Expired
    );
}

pub(super) async fn expired_and_used_are_told_to_right_codes_only(stores: Stores) {
    stores.created(new_challenge("old", T0)).await;
    let late = T0 + 10 * MINUTE;
    let wrong = stores.verified(attempt("old", false, "r1", late)).await;
    assert_eq!(wrong, Verdict::Wrong { tries_left: 4 });
    assert_eq!(
        stores.verified(attempt("old", true, "r2", late)).await,
        Verdict::Expired
    );

    stores.created(new_challenge("used", T0)).await;
    assert_eq!(
        stores.verified(attempt("used", true, "r1", T0)).await,
        Verdict::Right
    );
    let wrong = stores.verified(attempt("used", false, "r2", T0)).await;
    assert_eq!(wrong, Verdict::Wrong { tries_left: 4 });
    assert_eq!(
        stores.verified(attempt("used", true, "r3", late)).await,
        Verdict::Used
    );
}

pub(super) async fn a_code_ends_at_its_instant(stores: Stores) {
    for (id, at, verdict) in [
        ("in time", T0 + 10 * MINUTE - 1, Verdict::Right),
        ("too late", T0 + 10 * MINUTE, Verdict::Expired),
    ] {
        stores.created(new_challenge(id, T0)).await;
        assert_eq!(stores.verified(attempt(id, true, "r", at)).await, verdict);
    }
    assert_eq!(
        stores.view("too late", T0 + 10 * MINUTE - 1).await.phase,
        Phase::Live
    );
    assert_eq!(
        stores.view("too late", T0 + 10 * MINUTE).await.phase,
        Phase::Expired
    );
}

pub(super) async fn another_binding_finds_nothing(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let other = binding("other");
    let stranger = Attempt {
        binding: other.clone(),
        ..attempt("c", true, "r1", T0)
    };
    assert_eq!(stores.verified(stranger).await, Verdict::NotFound);
    assert_eq!(stores.challenges.read("c", &other, T0).await.unwrap(), None);
    let stranger = Resend {
        binding: other.clone(),
        ..resend("c", 2, T0 + MINUTE)
    };
    assert_eq!(
        stores.challenges.resend(stranger).await.unwrap(),
        ResendOutcome::NotFound
    );
    stores.challenges.cancel("c", &other, T0).await.unwrap();
    stores
        .challenges
        .cancel("unknown", &other, T0)
        .await
        .unwrap();
    // It burned and ended nothing, and its request id answers nobody.
    assert_eq!(stores.view("c", T0).await.tries_left, 5);
    assert_eq!(
        stores.verified(attempt("c", true, "r1", T0)).await,
        Verdict::Right
    );
}

pub(super) async fn a_binding_under_an_older_key_finds(stores: Stores) {
    let before = NewChallenge {
        binding: Binding {
            hashes: vec!["k1.b".to_owned()],
        },
        ..new_challenge("c", T0)
    };
    stores.created(before).await;
    assert_eq!(
        stores.verified(attempt("c", true, "r", T0)).await,
        Verdict::Right
    );
}

pub(super) async fn a_cancelled_challenge_has_ended(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    stores
        .challenges
        .cancel("c", &binding("b"), T0)
        .await
        .unwrap();
    assert_eq!(
        stores.verified(attempt("c", true, "r1", T0)).await,
        Verdict::Ended
    );
    assert_eq!(
        stores.verified(attempt("c", false, "r2", T0)).await,
        Verdict::Ended
    );
    assert_eq!(stores.view("c", T0).await.phase, Phase::Cancelled);

    stores.created(new_challenge("used", T0)).await;
    assert_eq!(
        stores.verified(attempt("used", true, "r1", T0)).await,
        Verdict::Right
    );
    stores
        .challenges
        .cancel("used", &binding("b"), T0)
        .await
        .unwrap();
    assert_eq!(stores.view("used", T0).await.phase, Phase::Used);
}

pub(super) async fn a_key_makes_one_challenge(stores: Stores) {
    let first = stores.created(new_challenge("c", T0)).await;
    let again = || NewChallenge {
        idempotency: key("create c", "body"),
        ..new_challenge("other", T0 + 1)
    };
    let CreateOutcome::Repeated(repeated) = stores.challenges.create(again()).await.unwrap() else {
        panic!("not repeated");
    };
    assert_eq!(repeated.view, first);
    // The queue has not confirmed the first message, so it is to be published again.
    assert_eq!(repeated.unconfirmed, Some(new_challenge("c", T0).message));
    assert_eq!(
        stores
            .challenges
            .read("other", &binding("b"), T0)
            .await
            .unwrap(),
        None
    );

    stores.messages.queued("c/1").await.unwrap();
    stores
        .challenges
        .resend(resend("c", 2, T0 + MINUTE))
        .await
        .unwrap();
    let CreateOutcome::Repeated(repeated) = stores.challenges.create(again()).await.unwrap() else {
        panic!("not repeated");
    };
    assert_eq!(repeated.unconfirmed, None);
    // The key answers with the message that it made, not with the newest.
    assert_eq!(repeated.view.message_id, "c/1");

    let other = NewChallenge {
        idempotency: key("create c", "other body"),
        ..again()
    };
    assert_eq!(
        stores.challenges.create(other).await.unwrap(),
        CreateOutcome::Conflict
    );
}

/// Answered with the dead challenge, a caller would let its session's live one go for it.
pub(super) async fn the_key_of_an_ended_challenge_is_refused(stores: Stores) {
    for id in ["used", "cancelled", "guessed", "old"] {
        stores.created(new_challenge(id, T0)).await;
        let sent = stores.challenges.resend(resend(id, 2, T0 + MINUTE)).await;
        assert!(matches!(sent, Ok(ResendOutcome::Accepted(..))), "{id}");
    }
    let now = T0 + 2 * MINUTE;
    stores.verified(attempt("used", true, "r", now)).await;
    stores
        .challenges
        .cancel("cancelled", &binding("b"), now)
        .await
        .unwrap();
    for i in 0..5 {
        let wrong = attempt("guessed", false, &format!("r{i}"), now);
        stores.verified(wrong).await;
    }
    for (id, now) in [
        ("used", now),
        ("cancelled", now),
        ("guessed", now),
        ("old", T0 + 10 * MINUTE),
    ] {
        let again = |body: &str| NewChallenge {
            idempotency: key(&format!("create {id}"), body),
            ..new_challenge("other", now)
        };
        let outcome = stores.challenges.create(again("body")).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Ended, "{id}");
        let outcome = stores.challenges.create(again("other body")).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Conflict, "{id}");
        let outcome = stores.challenges.resend(resend(id, 2, now)).await.unwrap();
        assert_eq!(outcome, ResendOutcome::Ended, "{id}");
    }
    let other = stores.challenges.read("other", &binding("b"), now).await;
    assert_eq!(other.unwrap(), None);
    // Until its last instant it is the answer.
    stores.created(new_challenge("last", T0)).await;
    let last = NewChallenge {
        idempotency: key("create last", "body"),
        ..new_challenge("other", T0 + 10 * MINUTE - 1)
    };
    let outcome = stores.challenges.create(last).await.unwrap();
    assert!(
        matches!(&outcome, CreateOutcome::Repeated(repeated) if repeated.view.id == "last"),
        "{outcome:?}"
    );
}

pub(super) async fn the_same_key_at_once_makes_one_challenge(stores: Stores) {
    let tasks = (0..50).map(|i| {
        let stores = stores.clone();
        let new = NewChallenge {
            idempotency: key("same", "body"),
            ..new_challenge(&format!("c{i}"), T0)
        };
        tokio::spawn(async move { stores.challenges.create(new).await.unwrap() })
    });
    let mut made = Vec::new();
    let mut told = BTreeSet::new();
    for task in join_all(tasks).await {
        match task.unwrap() {
            CreateOutcome::Created(view, _) => made.push(view.id),
            CreateOutcome::Repeated(repeated) => {
                told.insert(repeated.view.id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), made);
}

pub(super) async fn a_key_is_forgotten_after_a_day(stores: Stores) {
    let day = 24 * 60 * MINUTE;
    let notice = |id: &str| message(id, None, T0 + 3 * day);
    let accept = async |id: &str, now: i64| {
        stores
            .messages
            .accept_notice("key", "body", &notice(id), now)
            .await
            .unwrap()
    };
    use otp_dispatch::ports::Accepted;
    assert_eq!(accept("m1", T0).await, Accepted::New);
    assert!(matches!(
        accept("m2", T0 + day - 1).await,
        Accepted::Repeated { .. }
    ));
    assert_eq!(accept("m3", T0 + day).await, Accepted::New);
}

pub(super) async fn a_resend_is_a_new_message_of_the_same_challenge(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let now = T0 + 2 * MINUTE;
    let outcome = stores.challenges.resend(resend("c", 2, now)).await.unwrap();
    let ResendOutcome::Accepted(view, sent, _) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (view.message_id.as_str(), view.reference.as_str()),
        ("c/2", "KTR")
    );
    assert_eq!((view.resend_at, view.sends_left), (now + MINUTE, 1));
    // The code does not live longer for being sent again, and neither does its message.
    assert_eq!(view.expires_at, T0 + 10 * MINUTE);
    assert_eq!(sent.deadline_at, T0 + 10 * MINUTE);
    assert_eq!(stores.view("c", now).await, view);
    let due = stores
        .messages
        .unconfirmed(now, Duration::ZERO, 10)
        .await
        .unwrap();
    assert!(due.contains(&sent), "{due:?}");
    assert_eq!(
        stores.verified(attempt("c", true, "r", now)).await,
        Verdict::Right
    );
}

pub(super) async fn resends_wait_and_end(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let resent =
        async |n: u32, now: i64| stores.challenges.resend(resend("c", n, now)).await.unwrap();
    assert_eq!(
        resent(2, T0 + MINUTE - 1).await,
        ResendOutcome::TooEarly(T0 + MINUTE)
    );
    assert!(matches!(
        resent(3, T0 + MINUTE).await,
        ResendOutcome::Accepted(..)
    ));
    assert_eq!(
        resent(4, T0 + 2 * MINUTE - 1).await,
        ResendOutcome::TooEarly(T0 + 2 * MINUTE)
    );
    let ResendOutcome::Accepted(view, ..) = resent(5, T0 + 2 * MINUTE).await else {
        panic!("not sent")
    };
    assert_eq!(view.sends_left, 0);
    // No wait is told where there is nothing to wait for.
    assert_eq!(
        resent(6, T0 + 2 * MINUTE + 1).await,
        ResendOutcome::NoSendsLeft
    );
}

/// Rule 28: after `failed` and `outcome_unknown` the page offers Resend at once.
pub(super) async fn what_did_not_arrive_is_not_waited_for(stores: Stores) {
    use otp_dispatch::ports::{Claim, Settle};
    let (route, reason) = ("a".to_owned(), "refused".to_owned());
    let settle = async |id: &str, message_id: &str, settle: Settle, now: i64| {
        let copy = message(message_id, Some(id), now + 10 * MINUTE);
        let lease = Duration::from_secs(30);
        let claim = stores.messages.claim(&copy, lease, now).await.unwrap();
        let Claim::Send { fence } = claim else {
            panic!("{claim:?}")
        };
        let settled = stores.messages.settle(message_id, fence, settle, now);
        assert!(settled.await.unwrap());
    };
    let failed = || Settle::Failed {
        reason: reason.clone(),
    };
    let unknown = || Settle::Unknown {
        route: route.clone(),
    };
    let now = T0 + 5_000;
    let wanted = |id: &str, n: u32, now: i64, per_hour: u32| Resend {
        counted: vec![cap(Scope::User, id, per_hour, 9)],
        ..resend(id, n, now)
    };
    for (id, ends) in [("failed", failed()), ("unknown", unknown())] {
        let resent = async |resend: Resend| stores.challenges.resend(resend).await.unwrap();
        stores
            .created(NewChallenge {
                counted: vec![cap(Scope::User, id, 9, 9)],
                ..new_challenge(id, T0)
            })
            .await;
        let early = ResendOutcome::TooEarly(T0 + MINUTE);
        assert_eq!(resent(wanted(id, 2, now, 9)).await, early, "{id}");
        settle(id, &format!("{id}/1"), ends.clone(), now).await;
        let view = stores.view(id, now).await;
        assert!(view.resend_at <= now, "{id}: {view:?}");
        // A reader who watches is not told of a change at every look.
        assert_eq!(stores.view(id, now + 1).await, view);
        // The caps and the sends hold.
        let outcome = resent(wanted(id, 3, now, 1)).await;
        assert!(matches!(outcome, ResendOutcome::Refused(_)), "{outcome:?}");
        let outcome = resent(wanted(id, 4, now, 9)).await;
        let ResendOutcome::Accepted(view, ..) = outcome else {
            panic!("{outcome:?}")
        };
        // The new message is waited for, whatever became of the first.
        assert_eq!((view.resend_at, view.sends_left), (now + MINUTE, 1));
        let early = ResendOutcome::TooEarly(now + MINUTE);
        assert_eq!(resent(wanted(id, 5, now, 9)).await, early, "{id}");
        settle(id, &format!("{id}/4"), ends.clone(), now).await;
        let outcome = resent(wanted(id, 6, now, 9)).await;
        assert!(
            matches!(outcome, ResendOutcome::Accepted(..)),
            "{outcome:?}"
        );
        settle(id, &format!("{id}/6"), ends, now).await;
        let outcome = resent(wanted(id, 7, now, 9)).await;
        assert_eq!(outcome, ResendOutcome::NoSendsLeft, "{id}");
    }

    // What a carrier took is waited for, until its receipt says that it failed.
    stores.created(new_challenge("late", T0)).await;
    let accepted = Settle::Accepted {
        route: route.clone(),
        carrier_id: "1".to_owned(),
    };
    settle("late", "late/1", accepted, T0).await;
    assert_eq!(stores.view("late", now).await.resend_at, T0 + MINUTE);
    let receipt = otp_dispatch::ports::ReceiptState::Failed(reason.clone());
    stores
        .messages
        .receipt(&route, "1", receipt, now)
        .await
        .unwrap();
    let outcome = stores.challenges.resend(resend("late", 2, now)).await;
    assert!(matches!(outcome, Ok(ResendOutcome::Accepted(..))));
}

pub(super) async fn a_resends_key_sends_once(stores: Stores) {
    stores.created(new_challenge("c", T0)).await;
    let now = T0 + MINUTE;
    let outcome = stores.challenges.resend(resend("c", 2, now)).await.unwrap();
    let ResendOutcome::Accepted(first, sent, _) = outcome else {
        panic!("{outcome:?}")
    };
    let again = |body: &str| Resend {
        idempotency: key("resend c 2", body),
        ..resend("c", 9, now + 1)
    };
    let outcome = stores.challenges.resend(again("body")).await.unwrap();
    let ResendOutcome::Repeated(repeated) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(repeated.view, first);
    assert_eq!(repeated.unconfirmed, Some(sent));
    assert_eq!(
        stores.challenges.resend(again("x")).await.unwrap(),
        ResendOutcome::Conflict
    );
    assert_eq!(stores.view("c", now).await.sends_left, 1);
}

pub(super) async fn what_has_ended_is_not_sent_again(stores: Stores) {
    for id in ["used", "cancelled", "guessed", "old"] {
        stores.created(new_challenge(id, T0)).await;
    }
    stores.verified(attempt("used", true, "r", T0)).await;
    stores
        .challenges
        .cancel("cancelled", &binding("b"), T0)
        .await
        .unwrap();
    for i in 0..5 {
        stores
            .verified(attempt("guessed", false, &format!("r{i}"), T0))
            .await;
    }
    for (id, now) in [
        ("used", T0 + MINUTE),
        ("cancelled", T0 + MINUTE),
        ("guessed", T0 + MINUTE),
        ("old", T0 + 10 * MINUTE),
    ] {
        let outcome = stores.challenges.resend(resend(id, 2, now)).await.unwrap();
        assert_eq!(outcome, ResendOutcome::Ended, "{id}");
    }
    let outcome = stores
        .challenges
        .resend(resend("unknown", 2, T0))
        .await
        .unwrap();
    assert_eq!(outcome, ResendOutcome::NotFound);
}
