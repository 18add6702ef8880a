//! Recovery codes.

use sallyport_proto::identity::v1::SessionStage;
use sallyport_proto::otp::v1::Notice;
use tokio::task::JoinSet;

use crate::world::{NUMBER, WRONG, World, refusal, refused};

on_both_databases!(
    codes_are_read_forgivingly_and_used_once,
    a_code_given_many_times_at_once_works_once,
    an_hour_takes_ten_wrong_codes,
    the_lock_does_not_keep_recovery_codes_out,
    a_recovery_code_is_a_fresh_second_factor,
    new_codes_end_the_old,
);

/// A code of the right form that is nobody's: another user's.
async fn foreign_codes(world: &World) -> Vec<String> {
    world.enrolled("stranger").await.2
}

async fn codes_are_read_forgivingly_and_used_once(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    let typed = [
        codes[0].to_lowercase(),
        codes[1].replace('-', " "),
        codes[2].replace('-', ""),
        codes[3].replace('0', "o").replace('1', "l"),
    ];
    for (used, typed) in typed.iter().enumerate() {
        let mut session = world.awaiting(&user).await;
        let sent = world.otp.newest_code(NUMBER);
        assert_eq!(
            session.recover(typed).await.unwrap(),
            9 - used as u32,
            "{typed}"
        );
        let who = session.who().await.unwrap();
        assert_eq!((who.stage(), who.assurance), (SessionStage::SignedIn, 2));
        assert!(who.second_factor_at.is_some());
        assert_eq!(refused(session.verify(&sent).await), "code.none");
    }
    let mut session = world.sign_in(&user).await;
    for typed in &typed {
        assert_eq!(refused(session.recover(typed).await), "recovery_code.wrong");
    }
    let used = world.log.wait_for("recovery_code_used", 4).await;
    assert_eq!(used[3].details["left"], "6");
    let notices = world.otp.notices(5).await;
    assert_eq!(notices[1], (Notice::RecoveryCodeUsed, NUMBER.to_owned()));
    world.end().await;
}

async fn a_code_given_many_times_at_once_works_once(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    let mut tries = JoinSet::new();
    for _ in 0..8 {
        let (mut session, code) = (world.sign_in(&user).await, codes[0].clone());
        tries.spawn(async move { session.recover(&code).await.is_ok() });
    }
    let done = tries.join_all().await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 1);
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.recover(&codes[1]).await.unwrap(), 8);
    world.end().await;
}

async fn an_hour_takes_ten_wrong_codes(world: World) {
    let foreign = foreign_codes(&world).await;
    let (user, _, codes) = world.enrolled("ada").await;
    let mut session = world.sign_in(&user).await;
    // A slip of the pen is told from a guess.
    for typed in [
        "",
        "123456",
        "0000-0000-0000-0000-0000-0000",
        &codes[0][1..],
    ] {
        assert_eq!(refused(session.recover(typed).await), "recovery_code.wrong");
    }
    assert_eq!(world.step(&user).await.recovery_tries, 0);
    world.advance_minutes(30);
    let mut tries = JoinSet::new();
    for guess in 0..40 {
        let (mut session, code) = (session.clone(), foreign[guess % 10].clone());
        tries.spawn(async move { refused(session.recover(&code).await) });
    }
    let answers = tries.join_all().await;
    let wrong = answers
        .iter()
        .filter(|reason| *reason == "recovery_code.wrong")
        .count();
    assert_eq!(wrong, 10, "{answers:?}");
    let limit = refusal(session.recover(&codes[0]).await);
    assert_eq!(limit.reason, "recovery_code.limit");
    assert_eq!(limit.retry_after.unwrap().as_secs(), 3600);
    assert_eq!(world.step(&user).await.failures, 0, "a count of its own");
    // The SMS code is not shut out by it.
    world.signed_in_twice(&user, NUMBER).await;
    world.advance_seconds(3599);
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.recover(&codes[0]).await),
        "recovery_code.limit"
    );
    world.advance_seconds(1);
    assert_eq!(session.recover(&codes[0]).await.unwrap(), 9);
    assert_eq!(world.step(&user).await.recovery_tries, 0);
    world.log.wait_for("authn_second_factor_fail", 10).await;
    world.end().await;
}

async fn the_lock_does_not_keep_recovery_codes_out(world: World) {
    let (user, _, codes) = world.enrolled("ada").await;
    world.otp.set_tries(1000);
    let mut session = world.awaiting(&user).await;
    for _ in 0..15 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    assert_eq!(refused(session.verify(WRONG).await), "second_factor.locked");
    session.recover(&codes[0]).await.unwrap();
    assert_eq!(
        world.step(&user).await.failures,
        0,
        "a success of the second step"
    );
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn a_recovery_code_is_a_fresh_second_factor(world: World) {
    let (_, mut session, codes) = world.enrolled("ada").await;
    world.advance_minutes(6);
    session.confirm_password().await;
    assert_eq!(refused(session.disable().await), "step_up_required");
    session.send_step_up().await.unwrap();
    session.recover(&codes[0]).await.unwrap();
    session.disable().await.unwrap();
    assert_eq!(
        refused(session.send_step_up().await),
        "two_factor.not_active"
    );
    world.end().await;
}

async fn new_codes_end_the_old(world: World) {
    let (user, session, codes) = world.enrolled("ada").await;
    let new = session.remake_codes().await.unwrap();
    assert_eq!(new.len(), 10);
    assert!(new.iter().all(|code| !codes.contains(code)));
    let mut at_sign_in = world.sign_in(&user).await;
    assert_eq!(
        refused(at_sign_in.recover(&codes[0]).await),
        "recovery_code.wrong"
    );
    assert_eq!(at_sign_in.recover(&new[9]).await.unwrap(), 9);

    // Two remakes at once leave one set.
    let mut remakes = JoinSet::new();
    for _ in 0..6 {
        let session = session.clone();
        remakes.spawn(async move { session.remake_codes().await.is_ok() });
    }
    assert!(remakes.join_all().await.into_iter().all(|ok| ok));
    let left = session
        .two_factor_state()
        .await
        .unwrap()
        .recovery_codes_left;
    assert_eq!(left, 10);
    world.end().await;
}
