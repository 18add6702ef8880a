//! otp-api's store fails over to a replica that has not heard of attempts: its tries and its single
//! use are as before, and what holds is what identity has in SQL.

use std::time::Duration;

use sallyport_proto::identity::v1::SessionStage;

use crate::fake_otp::Fault;
use crate::world::{NUMBER, WRONG, World, reason, refusal, refused};

on_both_databases!(
    a_store_that_forgets_attempts_refills_no_budget,
    a_code_whose_use_the_store_forgets_has_one_effect,
    a_use_that_was_forgotten_opens_nothing_later,
);

async fn a_store_that_forgets_attempts_refills_no_budget(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let before = world.otp.decisions();
    // Five tries to a challenge: with each failover otp-api gives five more.
    for failover in 0..3 {
        if failover > 0 {
            world.otp.fail_next(&[Fault::FailedOver]);
        }
        for left in [4, 3, 2, 1, 0] {
            let wrong = refusal(session.verify(WRONG).await);
            assert_eq!(wrong.reason, "code.wrong");
            assert_eq!(wrong.get("tries_left"), Some(left.to_string().as_str()));
        }
    }
    assert_eq!(world.otp.decisions() - before, 15);
    assert_eq!(world.step(&user).await.failures, 15);
    // The user's count is at its first lock, whatever the store would allow, and the right code is
    // not even asked about.
    world.otp.fail_next(&[Fault::FailedOver]);
    let right = world.otp.newest_code(NUMBER);
    let locked = refusal(session.verify(&right).await);
    assert_eq!(locked.reason, "second_factor.locked");
    assert_eq!(locked.retry_after, Some(Duration::from_secs(900)));
    assert_eq!(world.otp.decisions() - before, 15);
    let locks = world.log.wait_for("authn_second_factor_lock", 1).await;
    assert_eq!(locks.len(), 1);
    world.end().await;
}

async fn a_code_whose_use_the_store_forgets_has_one_effect(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    let (questions, decided) = (world.otp.questions(), world.otp.right_decisions());
    let used = world.rows("used_challenges").await;
    // Two answers at once, each decided by a store that knows of no other: both are right.
    world.otp.hold();
    world.otp.fail_next(&[Fault::FailedOver, Fault::FailedOver]);
    let calls = [(); 2].map(|()| {
        let (session, right) = (session.clone(), right.clone());
        tokio::spawn(async move { session.verify(&right).await })
    });
    world.otp.arrived(questions + 2).await;
    world.otp.release();
    let mut tokens = Vec::new();
    let mut reasons = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(verified) => tokens.push(verified.session_token),
            Err(status) => reasons.push(reason(&status)),
        }
    }
    assert_eq!(world.otp.right_decisions() - decided, 2);
    assert_eq!((tokens.len(), reasons), (1, vec!["code.used".to_owned()]));
    assert_eq!(world.rows("used_challenges").await, used + 1);
    let mut signed_in = session;
    assert_eq!(refused(signed_in.who().await), "session.expired");
    signed_in.token = tokens.remove(0);
    assert_eq!(signed_in.who().await.unwrap().assurance, 2);
    world.end().await;
}

async fn a_use_that_was_forgotten_opens_nothing_later(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    let old = session.clone();
    session.give(&right).await.unwrap();
    let other = world.sign_in(&user).await;
    assert_eq!(other.stage, SessionStage::AwaitingSecondFactor);
    // Wherever the code is given again, nothing leads to its challenge any more.
    world.otp.fail_next(&[Fault::FailedOver]);
    let decided = world.otp.right_decisions();
    assert_eq!(refused(old.verify(&right).await), "session.expired");
    assert_eq!(refused(session.verify(&right).await), "code.none");
    assert_eq!(refused(other.verify(&right).await), "code.none");
    assert_eq!(world.otp.right_decisions(), decided);
    world.end().await;
}
