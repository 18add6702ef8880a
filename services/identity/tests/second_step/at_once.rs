//! What happens at the same instant: in two calls, and in two processes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend};
use tokio::task::JoinSet;

use crate::session::Answer;
use crate::world::{
    Backend, NUMBER, PASSWORD, Session, WRONG, World, new_key, reason, refusal, refused,
};

on_both_databases!(
    a_short_password_never_stands_alone_whatever_happens_at_once,
    of_many_who_bind_one_number_at_once_three_have_it,
);

/// Enough beside a second factor, and too short alone.
const SHORT: &str = "plum-cart-9x";

/// Switches the second factor off; with the session as it is then.
async fn untick(mut session: Session) -> (Answer<()>, Session) {
    (session.disable().await, session)
}

/// Takes the short password; with the session as it is then.
async fn shorten(mut session: Session) -> (Answer<()>, Session) {
    let answer = session.try_change_password(PASSWORD, SHORT).await;
    (answer, session)
}

async fn a_short_password_never_stands_alone_whatever_happens_at_once(world: World) {
    let (_, mut session, _) = world.enrolled("ada").await;
    for _ in 0..8 {
        let unticked = tokio::spawn(untick(session.clone()));
        let shortened = tokio::spawn(shorten(session.clone()));
        let (unticked, without_factor) = unticked.await.unwrap();
        let (shortened, with_short) = shortened.await.unwrap();
        let alone = "second_steps JOIN passwords ON passwords.user_id = second_steps.user_id \
                     WHERE NOT active AND NOT stands_alone";
        assert_eq!(world.rows(alone).await, 0);
        // One of the two is done, and what the other one is told depends on how far it had come.
        match (unticked, shortened) {
            (Ok(()), Err(status)) => {
                let known = ["password.too_short", "session.expired"];
                let reason = reason(&status);
                assert!(known.contains(&reason.as_str()), "{reason}");
                session = without_factor;
                let enabled = session.enable(NUMBER, &new_key()).await.unwrap();
                assert!(enabled.active);
                session.token = enabled.session_token;
            }
            (Err(status), Ok(())) => {
                let known = ["two_factor.password_too_short", "session.expired"];
                let reason = reason(&status);
                assert!(known.contains(&reason.as_str()), "{reason}");
                session = with_short;
                session.change_password_from(SHORT, PASSWORD).await;
            }
            (unticked, shortened) => panic!("{unticked:?}, {shortened:?}"),
        }
    }
    world.end().await;
}

/// Waits until so many calls wait for a lock of PostgreSQL.
async fn waiting(world: &World, calls: i64) {
    let waiting = "pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    let wait = async {
        while world.rows(waiting).await < calls {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{calls} calls wait"));
}

async fn of_many_who_bind_one_number_at_once_three_have_it(world: World) {
    let mut all = Vec::new();
    for name in ["ada", "bob", "cid", "dan", "eve", "fay", "gus"] {
        let user = world.user(name).await;
        let session = world.sign_in(&user).await;
        session.enable(NUMBER, &new_key()).await.unwrap();
        all.push((session, world.otp.newest_code(NUMBER)));
    }
    let calls = i64::try_from(all.len()).unwrap();
    // On PostgreSQL the table can be read and not written until everybody has come as far as he gets.
    // On SQLite one writes at a time.
    let held = if world.database.backend() == DbBackend::Postgres {
        let held = world.database.begin().await.unwrap();
        let hold = "LOCK TABLE factors IN SHARE MODE";
        held.execute_unprepared(hold).await.unwrap();
        Some(held)
    } else {
        None
    };
    let mut attempts = JoinSet::new();
    for (mut session, code) in all {
        attempts.spawn(async move { session.give(&code).await });
    }
    if let Some(held) = held {
        waiting(&world, calls).await;
        held.commit().await.unwrap();
    }
    let answers = attempts.join_all().await;
    let (bound, late): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(bound.len(), 3);
    for answer in late {
        assert_eq!(refused(answer), "phone.in_use");
    }
    assert_eq!(world.rows("factors WHERE state = 'confirmed'").await, 3);
    world.end().await;
}

/// The same of a short password, in either order: both have passed what is looked at before the user's row is locked. On
/// SQLite nobody comes as far while another one writes.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_short_password_and_no_second_factor_the_later_is_refused() {
    let world = World::start(Backend::Postgres).await;
    let (_, mut session, _) = world.enrolled("ada").await;
    for shortened_first in [true, false] {
        let held = world.database.begin().await.unwrap();
        let hold = "SELECT 1 FROM users FOR UPDATE";
        held.execute_unprepared(hold).await.unwrap();
        // Whoever waits first goes on first.
        let (shortened, unticked) = if shortened_first {
            let first = tokio::spawn(shorten(session.clone()));
            waiting(&world, 1).await;
            let second = tokio::spawn(untick(session.clone()));
            waiting(&world, 2).await;
            (first, second)
        } else {
            let first = tokio::spawn(untick(session.clone()));
            waiting(&world, 1).await;
            let second = tokio::spawn(shorten(session.clone()));
            waiting(&world, 2).await;
            (second, first)
        };
        held.commit().await.unwrap();
        let (shortened, with_short) = shortened.await.unwrap();
        let (unticked, _) = unticked.await.unwrap();
        if shortened_first {
            shortened.unwrap();
            assert_eq!(refused(unticked), "two_factor.password_too_short");
            session = with_short;
            session.change_password_from(SHORT, PASSWORD).await;
        } else {
            unticked.unwrap();
            let short = refusal(shortened);
            assert_eq!(short.reason, "password.too_short");
            assert_eq!(short.get("minimum"), Some("15"));
        }
    }
    world.end().await;
}

/// On PostgreSQL, since several processes share no SQLite file.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_two_processes_share_one_budget() {
    let world = World::start(Backend::Postgres).await;
    let (user, _, recovery) = world.enrolled("ada").await;
    let (_, _, foreign) = world.enrolled("stranger").await;
    let other = world.beside();
    world.otp.set_tries(10_000);
    let session = world.awaiting(&user).await;
    let at_both = [world.here(&session), other.here(&session)];
    let before = world.otp.decisions();
    let mut guesses = JoinSet::new();
    for guess in 0..300 {
        let session = at_both[guess % 2].clone();
        guesses.spawn(async move { refused(session.verify(WRONG).await) });
    }
    let mut wrong = 0;
    for answer in guesses.join_all().await {
        match answer.as_str() {
            "code.wrong" => wrong += 1,
            // The store may be too busy to take an attempt; then it is refused, too.
            "second_factor.locked" | "unavailable" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(wrong, 15);
    assert_eq!(world.otp.decisions() - before, 15);
    assert_eq!(world.step(&user).await.failures, 15);

    // Recovery codes have a budget of their own.
    let mut guesses = JoinSet::new();
    for guess in 0..40 {
        let (mut session, code) = (at_both[guess % 2].clone(), foreign[guess % 10].clone());
        guesses.spawn(async move { refused(session.recover(&code).await) });
    }
    let answers = guesses.join_all().await;
    let wrong = answers
        .iter()
        .filter(|reason| *reason == "recovery_code.wrong");
    assert_eq!(wrong.count(), 10, "{answers:?}");
    for session in &at_both {
        let limit = refused(session.clone().recover(&recovery[0]).await);
        assert_eq!(limit, "recovery_code.limit");
    }

    // And a right code has its effect once.
    world.advance_minutes(15);
    let session = world.awaiting(&user).await;
    let at_both = [world.here(&session), other.here(&session)];
    let right = world.otp.newest_code(NUMBER);
    let decided = world.otp.right_decisions();
    let mut answers = JoinSet::new();
    for answer in 0..40 {
        let (session, right) = (at_both[answer % 2].clone(), right.clone());
        answers.spawn(async move { session.verify(&right).await.is_ok() });
    }
    let answers = answers.join_all().await;
    assert_eq!(answers.iter().filter(|ok| **ok).count(), 1);
    assert_eq!(world.otp.right_decisions() - decided, 1);
    other.end().await;
    world.end().await;
}
