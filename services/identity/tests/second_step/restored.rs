//! otp-api after its store was restored from an old copy, in which codes that were used are not.

use crate::world::{NUMBER, World, refused};

on_both_databases!(a_code_that_otp_api_has_forgotten_stays_used);

async fn a_code_that_otp_api_has_forgotten_stays_used(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    session.send_step_up_as("nonce").await.unwrap();
    let code = world.otp.newest_code(NUMBER);
    session.give(&code).await.unwrap();
    let given_at = session.who().await.unwrap().second_factor_at;
    let sent = world.otp.sent().len();

    world.otp.forget_uses();
    world.advance_minutes(6);
    session.confirm_password().await;
    // A repeated request makes the challenge of then the session's again.
    session.send_step_up_as("nonce").await.unwrap();
    assert_eq!(world.otp.sent().len(), sent);
    let right = world.otp.right_decisions();
    assert_eq!(refused(session.verify(&code).await), "code.used");
    assert_eq!(world.otp.right_decisions(), right + 1, "otp-api says right");
    // The session is what it was, and the attempt stays counted.
    let who = session.who().await.unwrap();
    assert_eq!(who.second_factor_at, given_at);
    assert_eq!(refused(session.disable().await), "step_up_required");
    assert_eq!(world.step(&user).await.failures, 1);

    session.step_up(&world, NUMBER).await;
    session.disable().await.unwrap();
    world.end().await;
}
