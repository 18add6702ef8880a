//! Remembered browsers.

use sallyport_proto::identity::v1::SessionStage;
use sallyport_proto::otp::v1::Notice;

use crate::world::{NUMBER, OTHER_NUMBER, PASSWORD, User, World, refused};

on_both_databases!(
    a_remembered_browser_skips_the_code_and_nothing_else,
    a_short_password_is_never_enough,
    changes_of_the_factor_forget_browsers,
);

/// Signs in with the code and has the browser remembered.
async fn remembered(world: &World, user: &User, number: &str) -> String {
    let mut session = world.awaiting(user).await;
    let token = session
        .give_and_remember(&world.otp.newest_code(number))
        .await;
    assert!(token.starts_with("spb_"), "{token}");
    token
}

async fn stage(world: &World, user: &User, browser: &str) -> SessionStage {
    world.sign_in_with(user, PASSWORD, browser).await.stage
}

async fn a_remembered_browser_skips_the_code_and_nothing_else(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let token = remembered(&world, &user, NUMBER).await;
    assert_eq!(
        stage(&world, &user, "").await,
        SessionStage::AwaitingSecondFactor
    );
    assert_eq!(
        stage(&world, &user, "spb_other").await,
        SessionStage::AwaitingSecondFactor
    );
    let mut session = world.sign_in_with(&user, PASSWORD, &token).await;
    assert_eq!(session.stage, SessionStage::SignedIn);
    let who = session.who().await.unwrap();
    assert_eq!(who.assurance, 1);
    assert!(who.second_factor_at.is_none());
    assert_eq!(refused(session.disable().await), "step_up_required");
    session.step_up(&world, NUMBER).await;
    assert_eq!(session.who().await.unwrap().assurance, 2);

    let (other, _, _) = world.enrolled("bob").await;
    assert_eq!(
        stage(&world, &other, &token).await,
        SessionStage::AwaitingSecondFactor
    );
    world.log.wait_for("browser_remembered", 1).await;
    let notices = world.otp.notices(3).await;
    assert!(notices.contains(&(Notice::BrowserRemembered, NUMBER.to_owned())));
    world.advance_minutes(30 * 24 * 60 - 1);
    assert_eq!(stage(&world, &user, &token).await, SessionStage::SignedIn);
    world.advance_minutes(1);
    assert_eq!(
        stage(&world, &user, &token).await,
        SessionStage::AwaitingSecondFactor
    );
    world.end().await;
}

async fn a_short_password_is_never_enough(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    session.change_password("plum-cart-9x").await;
    let mut session = world.sign_in_with(&user, "plum-cart-9x", "").await;
    session.send_sign_in("k").await.unwrap();
    let token = session
        .give_and_remember(&world.otp.newest_code(NUMBER))
        .await;
    let session = world.sign_in_with(&user, "plum-cart-9x", &token).await;
    assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);
    world.end().await;
}

async fn changes_of_the_factor_forget_browsers(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let token = remembered(&world, &user, NUMBER).await;
    let mut session = world.signed_in_twice(&user, NUMBER).await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    assert_eq!(
        stage(&world, &user, &token).await,
        SessionStage::AwaitingSecondFactor
    );

    let token = remembered(&world, &user, OTHER_NUMBER).await;
    world.advance_minutes(24 * 60);
    let mut session = world.signed_in_twice(&user, OTHER_NUMBER).await;
    assert_eq!(stage(&world, &user, &token).await, SessionStage::SignedIn);
    session.disable().await.unwrap();
    assert_eq!(world.rows("browsers").await, 0);
    assert!(session.enable(OTHER_NUMBER, "k").await.unwrap().active);
    assert_eq!(
        stage(&world, &user, &token).await,
        SessionStage::AwaitingSecondFactor
    );
    world.end().await;
}
