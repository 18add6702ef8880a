//! The attempt: what is counted, what is decided once, and what a right answer does.

use std::time::Duration;

use sallyport_proto::identity::v1::{Purpose, SessionStage, TwoFactorState};
use sallyport_proto::otp::v1::Notice;
use tokio::task::JoinSet;

use crate::fake_otp::Fault;
use crate::world::{NUMBER, Session, User, WRONG, World, new_key, reason, refusal, refused};

on_both_databases!(
    guesses_at_the_same_instant_never_exceed_the_budget,
    neither_a_resend_nor_a_new_challenge_nor_a_new_session_refills_the_count,
    locks_grow_to_an_hour_and_a_hundred_in_a_row_disable,
    one_right_answer_given_a_hundred_times_at_once_has_one_effect,
    an_answer_that_was_lost_burns_nothing_twice,
    without_otp_api_an_attempt_is_refused_and_counted,
    what_is_no_code_costs_nothing,
    a_right_answer_clears_the_count,
    whoever_hangs_up_is_counted_and_logged_all_the_same,
    a_code_works_for_its_own_session_only,
    expired_is_said_to_a_right_code_only,
    until_the_second_step_only_code_calls_are_reached,
    a_repeated_send_is_one_sms,
    a_repeated_resend_is_one_event,
);

/// Gives wrong codes one after the other in fresh challenges, as many as wanted.
pub async fn guess(world: &World, session: &Session, times: u32) {
    world.otp.set_tries(1000);
    session.send_sign_in(&new_key()).await.unwrap();
    for guess in 0..times {
        assert_eq!(
            refused(session.verify(WRONG).await),
            "code.wrong",
            "guess {guess}"
        );
    }
}

async fn guesses_at_the_same_instant_never_exceed_the_budget(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    world.otp.set_tries(10_000);
    let before = world.otp.decisions();
    // Five sessions of the same user guess together, a hundred times each.
    for wave in 1..=2u32 {
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(world.awaiting(&user).await);
        }
        let mut guesses = JoinSet::new();
        for guess in 0..500 {
            let session = sessions[guess % sessions.len()].clone();
            guesses.spawn(async move { session.verify(WRONG).await });
        }
        let mut wrong = 0;
        while let Some(answer) = guesses.join_next().await {
            match refused(answer.unwrap()).as_str() {
                "code.wrong" => wrong += 1,
                // The store may be too busy to take an attempt; then it is refused, too.
                "second_factor.locked" | "unavailable" => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(wrong, 15);
        assert_eq!(world.otp.decisions() - before, 15 * wave);
        assert_eq!(world.step(&user).await.failures, 15 * wave as i32);
        // The first lock holds a quarter of an hour, the second twice that.
        world.advance_minutes(30);
    }
    let locks = world.log.wait_for("authn_second_factor_lock", 2).await;
    assert_eq!(locks.len(), 2, "each lock is told once");
    // What the locks refused stands there too, once a minute.
    let fails = world.log.wait_for("authn_second_factor_fail", 30 + 2).await;
    let wrong = fails.iter().filter(|event| event.reason == "code.wrong");
    assert_eq!(wrong.count(), 30, "each attempt is logged once");
    let notices = world.otp.notices(3).await;
    let locked = notices
        .iter()
        .filter(|(notice, _)| *notice == Notice::FactorLocked);
    assert_eq!(locked.count(), 2);
    world.end().await;
}

async fn neither_a_resend_nor_a_new_challenge_nor_a_new_session_refills_the_count(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    for left in [4, 3] {
        let wrong = refusal(session.verify(WRONG).await);
        assert_eq!(wrong.reason, "code.wrong");
        assert_eq!(wrong.get("tries_left"), Some(left.to_string().as_str()));
    }
    assert_eq!(refused(session.resend().await), "code.resend_too_early");
    world.advance_seconds(60);
    let resent = session.resend().await.unwrap();
    assert_eq!((resent.sends_left, resent.tries_left), (1, 3));
    for _ in 0..3 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    assert_eq!(
        refused(session.verify(WRONG).await),
        "code.ended",
        "five tries end it"
    );
    assert_eq!(world.step(&user).await.failures, 6);
    let right = world.otp.newest_code(NUMBER);
    assert_eq!(refused(session.verify(&right).await), "code.ended");
    session.send_sign_in(&new_key()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    let session = world.awaiting(&user).await;
    for _ in 0..3 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    assert_eq!(world.step(&user).await.failures, 15);
    let right = world.otp.newest_code(NUMBER);
    let locked = refusal(session.verify(&right).await);
    assert_eq!(locked.reason, "second_factor.locked");
    assert_eq!(locked.retry_after, Some(Duration::from_secs(900)));
    // Neither is another code sent, in this session or another.
    assert_eq!(refused(session.resend().await), "second_factor.locked");
    let other = world.sign_in(&user).await;
    assert_eq!(other.stage, SessionStage::AwaitingSecondFactor);
    assert_eq!(
        refused(other.send_sign_in(&new_key()).await),
        "second_factor.locked"
    );
    world.end().await;
}

/// Waits out a lock of so many minutes, to the second.
async fn wait_out(world: &World, user: &User, minutes: u64) -> Session {
    world.advance_seconds(minutes * 60 - 1);
    let session = world.sign_in(user).await;
    assert_eq!(
        refused(session.send_sign_in(&new_key()).await),
        "second_factor.locked"
    );
    world.advance_seconds(1);
    session
}

async fn locks_grow_to_an_hour_and_a_hundred_in_a_row_disable(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    let mut session = world.sign_in(&user).await;
    for minutes in [15, 30, 60, 60, 60, 60] {
        guess(&world, &session, 15).await;
        session = wait_out(&world, &user, minutes).await;
    }
    assert_eq!(world.step(&user).await.failures, 90);
    guess(&world, &session, 10).await;
    assert_eq!(world.step(&user).await.failures, 100);
    // However long one waits, sign-in still asks, no code is taken or sent, and only a recovery
    // code gets in.
    for _ in 0..2 {
        let right = world.otp.newest_code(NUMBER);
        let answer = refused(session.verify(&right).await);
        assert!(
            ["second_factor.disabled", "code.none"].contains(&answer.as_str()),
            "{answer}"
        );
        assert_eq!(
            refused(session.send_sign_in(&new_key()).await),
            "second_factor.disabled"
        );
        world.advance_minutes(24 * 60);
        session = world.sign_in(&user).await;
        assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);
    }
    world.log.wait_for("authn_second_factor_disabled", 1).await;
    assert_eq!(session.recover(&recovery[0]).await.unwrap(), 9);
    let state = session.two_factor_state().await.unwrap();
    assert_eq!(state.state(), TwoFactorState::Disabled);
    assert_eq!(
        state.confirmed_number, "",
        "the number has to be proved again"
    );
    let other = world.sign_in(&user).await;
    assert_eq!(other.stage, SessionStage::AwaitingSecondFactor);
    assert_eq!(
        refused(other.send_sign_in(&new_key()).await),
        "second_factor.disabled"
    );
    assert_eq!(
        refused(session.send_step_up().await),
        "second_factor.disabled"
    );

    // Enrolling anew takes the recovery code to be fresh, and ends what was.
    world.advance_minutes(6);
    session.confirm_password().await;
    assert_eq!(
        refused(session.enable(NUMBER, &new_key()).await),
        "step_up_required"
    );
    assert_eq!(session.recover(&recovery[1]).await.unwrap(), 8);
    let codes = session.enrol(&world.otp, NUMBER).await;
    assert_eq!(codes.len(), 10);
    let state = session.two_factor_state().await.unwrap();
    assert_eq!(state.state(), TwoFactorState::Active);
    assert_eq!(state.recovery_codes_left, 10);
    assert_eq!(
        world.rows("factors").await,
        2,
        "a record of every factor stays"
    );
    let mut again = world.signed_in_twice(&user, NUMBER).await;
    assert_eq!(
        refused(again.recover(&recovery[2]).await),
        "recovery_code.wrong"
    );
    world.end().await;
}

async fn one_right_answer_given_a_hundred_times_at_once_has_one_effect(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    let decided = world.otp.right_decisions();
    let logged = world
        .log
        .wait_for("authn_second_factor_success", 1)
        .await
        .len();
    let mut answers = JoinSet::new();
    for _ in 0..100 {
        let (session, right) = (session.clone(), right.clone());
        answers.spawn(async move { session.verify(&right).await });
    }
    let mut tokens = Vec::new();
    while let Some(answer) = answers.join_next().await {
        match answer.unwrap() {
            Ok(verified) => tokens.push(verified.session_token),
            Err(status) => {
                let reason = reason(&status);
                let known = [
                    "code.used",
                    "code.none",
                    "session.expired",
                    "second_factor.locked",
                    "unavailable",
                ];
                assert!(known.contains(&reason.as_str()), "{reason}");
            }
        }
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(world.otp.right_decisions() - decided, 1);
    let successes = world
        .log
        .wait_for("authn_second_factor_success", logged + 1)
        .await;
    assert_eq!(successes.len(), logged + 1);
    let mut signed_in = session;
    assert_eq!(
        refused(signed_in.who().await),
        "session.expired",
        "the old token is dead"
    );
    signed_in.token = tokens.remove(0);
    assert_eq!(signed_in.who().await.unwrap().assurance, 2);
    world.end().await;
}

async fn an_answer_that_was_lost_burns_nothing_twice(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    let (questions, decisions) = (world.otp.questions(), world.otp.decisions());
    let ids = world.otp.request_ids();
    world.otp.fail_next(&[Fault::LostAnswer, Fault::LostAnswer]);
    let wrong = refusal(session.verify(WRONG).await);
    assert_eq!(wrong.reason, "code.wrong");
    assert_eq!(wrong.get("tries_left"), Some("4"));
    assert_eq!(world.otp.questions() - questions, 3);
    assert_eq!(world.otp.decisions() - decisions, 1);
    assert_eq!(world.otp.request_ids() - ids, 1);
    assert_eq!(world.step(&user).await.failures, 1);

    world.otp.fail_next(&[Fault::LostAnswer]);
    let right = world.otp.newest_code(NUMBER);
    let verified = session.give(&right).await.unwrap();
    assert_eq!(verified.purpose(), Purpose::SignIn);
    assert_eq!(world.step(&user).await.failures, 0);
    world.end().await;
}

async fn without_otp_api_an_attempt_is_refused_and_counted(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    let (questions, decisions) = (world.otp.questions(), world.otp.decisions());
    world.otp.fail_next(&[Fault::Away; 3]);
    assert_eq!(refused(session.verify(&right).await), "unavailable");
    assert_eq!(world.otp.questions() - questions, 3);
    assert_eq!(world.otp.decisions(), decisions);
    assert_eq!(
        world.step(&user).await.failures,
        1,
        "what is in doubt stays counted"
    );
    let fails = world.log.wait_for("authn_second_factor_fail", 1).await;
    assert_eq!(fails[0].reason, "code.undecided");
    // Fifteen of them lock like any others.
    for _ in 0..14 {
        world.otp.fail_next(&[Fault::Away; 3]);
        assert_eq!(refused(session.verify(&right).await), "unavailable");
    }
    assert_eq!(
        refused(session.verify(&right).await),
        "second_factor.locked"
    );
    world.advance_minutes(15);
    session.send_sign_in(&new_key()).await.unwrap();

    // Decided, but never heard of: the code is used up, and nothing followed from it.
    let right = world.otp.newest_code(NUMBER);
    world.otp.fail_next(&[Fault::LostAnswer; 3]);
    assert_eq!(refused(session.verify(&right).await), "unavailable");
    assert_eq!(
        session.who().await.unwrap().stage(),
        SessionStage::AwaitingSecondFactor
    );
    assert_eq!(refused(session.verify(&right).await), "code.used");
    assert_eq!(world.step(&user).await.failures, 17);
    session.send_sign_in(&new_key()).await.unwrap();
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_eq!(world.step(&user).await.failures, 0);
    world.end().await;
}

async fn what_is_no_code_costs_nothing(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    for typed in ["", "12345", "1234567", "12a456", "-"] {
        let refusal = refusal(session.verify(typed).await);
        assert_eq!(refusal.reason, "code.format");
        assert_eq!(refusal.fields[0].0, "code");
    }
    assert_eq!(world.step(&user).await.failures, 0);
    assert_eq!(session.challenge().await.unwrap().tries_left, 5);
    let right = world.otp.newest_code(NUMBER);
    let spaced = format!(" {}-{} ", &right[..3], &right[3..]);
    session.give(&spaced).await.unwrap();
    world.end().await;
}

async fn a_right_answer_clears_the_count(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.sign_in(&user).await;
    for _ in 0..3 {
        guess(&world, &session, 14).await;
        session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
        assert_eq!(world.step(&user).await.failures, 0);
        session = world.sign_in(&user).await;
    }
    // Also one that comes as the fifteenth.
    guess(&world, &session, 14).await;
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    let step = world.step(&user).await;
    assert_eq!((step.failures, step.locked_until_at), (0, None));
    assert!(world.log.of_type("authn_second_factor_lock").is_empty());
    world.end().await;
}

async fn whoever_hangs_up_is_counted_and_logged_all_the_same(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let before = world.otp.questions();
    world.otp.hold();
    let hasty = session.clone();
    let call = tokio::spawn(async move { hasty.verify(WRONG).await });
    world.otp.arrived(before + 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(world.step(&user).await.failures, 1);
    world.otp.release();
    let fails = world.log.wait_for("authn_second_factor_fail", 1).await;
    assert_eq!(fails[0].reason, "code.wrong");
    assert_eq!(world.step(&user).await.failures, 1);
    world.end().await;
}

async fn a_code_works_for_its_own_session_only(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let first = world.awaiting(&user).await;
    let code_of_first = world.otp.newest_code(NUMBER);
    let second = world.sign_in(&user).await;
    assert_eq!(refused(second.verify(&code_of_first).await), "code.none");
    assert_eq!(world.step(&user).await.failures, 0, "nothing was decided");
    second.send_sign_in(&new_key()).await.unwrap();
    let code_of_second = world.otp.newest_code(NUMBER);
    assert_eq!(refused(second.verify(&code_of_first).await), "code.wrong");
    assert_eq!(refused(first.verify(&code_of_second).await), "code.wrong");

    // A new code of the same session ends the one before.
    first.send_sign_in(&new_key()).await.unwrap();
    assert_eq!(refused(first.verify(&code_of_first).await), "code.wrong");
    let mut first = first;
    first.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_eq!(refused(first.verify(&code_of_first).await), "code.none");
    assert_eq!(refused(first.resend().await), "code.none");
    assert_eq!(refused(first.challenge().await), "code.none");
    assert_eq!(
        refused(first.send_sign_in(&new_key()).await),
        "session.signed_in"
    );
    world.end().await;
}

async fn expired_is_said_to_a_right_code_only(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    world.advance_minutes(10);
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    assert_eq!(refused(session.verify(&right).await), "code.expired");
    assert_eq!(
        session.who().await.unwrap().stage(),
        SessionStage::AwaitingSecondFactor
    );
    world.end().await;
}

async fn until_the_second_step_only_code_calls_are_reached(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    assert_eq!(
        refused(session.two_factor_state().await),
        "second_factor_required"
    );
    assert_eq!(
        refused(session.enable(NUMBER, "k").await),
        "second_factor_required"
    );
    assert_eq!(
        refused(session.change_number(NUMBER).await),
        "second_factor_required"
    );
    assert_eq!(refused(session.disable().await), "second_factor_required");
    assert_eq!(
        refused(session.remake_codes().await),
        "second_factor_required"
    );
    assert_eq!(
        refused(session.send_step_up().await),
        "second_factor_required"
    );
    let challenge = session.challenge().await.unwrap();
    assert_eq!(challenge.number_ending, "78");
    assert_eq!(challenge.reference, "KTR");
    assert_eq!(challenge.purpose(), Purpose::SignIn);
    session.token.push('x');
    assert_eq!(refused(session.verify("123456").await), "session.expired");
    world.end().await;
}

async fn a_repeated_send_is_one_sms(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.sign_in(&user).await;
    let sent = world.otp.sent().len();
    assert_eq!(
        refused(session.send_sign_in("").await),
        "idempotency.required"
    );
    for key in ["two words", "clé", &"k".repeat(129)] {
        assert_eq!(
            refused(session.send_sign_in(key).await),
            "idempotency.invalid",
            "{key}"
        );
    }
    let longest = "k".repeat(128);
    session.send_sign_in(&longest).await.unwrap();
    session.send_sign_in(&longest).await.unwrap();
    assert_eq!(world.otp.sent().len(), sent + 1);
    // The same key of another session is another send.
    world
        .sign_in(&user)
        .await
        .send_sign_in(&longest)
        .await
        .unwrap();
    assert_eq!(world.otp.sent().len(), sent + 2);
    let create = world.otp.newest_create();
    assert!(create.trusted, "sign-in to a confirmed factor");
    assert_eq!(create.client_ip, "203.0.113.9");
    let events = world.log.wait_for("code_sent", 3).await;
    assert_eq!(events.len(), 3, "one for the enrolment, one for each send");
    world.end().await;
}

async fn a_repeated_resend_is_one_event(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    for _ in 0..2 {
        world.advance_seconds(61);
        let key = new_key();
        for _ in 0..3 {
            session.resend_as(&key).await.unwrap();
        }
    }
    session.cancel().await.unwrap();
    world.advance_seconds(1);
    session.send_sign_in(&new_key()).await.unwrap();
    // What comes after them has come, so they have.
    world.log.wait_for("code_sent", 3).await;
    assert_eq!(world.log.of_type("code_resent").len(), 2);
    world.end().await;
}
