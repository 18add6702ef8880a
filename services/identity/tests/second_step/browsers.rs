//! Remembered browsers.

use sallyport_proto::identity::v1::{RememberedBrowser, SessionStage};
use sallyport_proto::otp::v1::Notice;

use crate::world::{NUMBER, OTHER_NUMBER, PASSWORD, User, World, new_key, refused};

on_both_databases!(
    a_remembered_browser_skips_the_code_and_nothing_else,
    a_short_password_is_never_enough,
    changes_of_the_factor_forget_browsers,
    browsers_are_listed_to_their_user_and_forgotten,
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

async fn browsers_are_listed_to_their_user_and_forgotten(world: World) {
    let (ada, _, _) = world.enrolled("ada").await;
    let first = remembered(&world, &ada, NUMBER).await;
    world.advance_minutes(60);
    let second = remembered(&world, &ada, NUMBER).await;
    world.advance_minutes(60);
    assert_eq!(stage(&world, &ada, &first).await, SessionStage::SignedIn);
    let (_, bobs, _) = world.enrolled("bob").await;

    let session = world.signed_in_twice(&ada, NUMBER).await;
    let listed = session.browsers(&second).await.unwrap();
    let [newest, oldest] = &listed[..] else {
        panic!("two browsers: {listed:?}");
    };
    // The first was remembered first and used last.
    assert!(newest.created_at.unwrap().seconds < oldest.created_at.unwrap().seconds);
    let used = |browser: &RememberedBrowser| browser.last_used_at.unwrap().seconds;
    assert_eq!(used(newest) - used(oldest), 60 * 60);
    let life = oldest.expires_at.unwrap().seconds - oldest.created_at.unwrap().seconds;
    assert_eq!(life, 30 * 24 * 60 * 60);
    assert_eq!(newest.client_ip, "203.0.113.9");
    assert_eq!((newest.current, oldest.current), (false, true));
    let told = format!("{listed:?}");
    assert!(!told.contains("spb_"), "no token is told: {told}");

    // Nobody else sees or forgets them, and not before the second step.
    assert!(bobs.browsers("").await.unwrap().is_empty());
    for id in [newest.browser_id.as_str(), "no id", &new_key()] {
        assert_eq!(refused(bobs.forget_browsers(id).await), "browser.not_found");
    }
    let awaiting = world.sign_in(&ada).await;
    for reason in [
        refused(awaiting.browsers("").await),
        refused(awaiting.forget_browsers("").await),
    ] {
        assert_eq!(reason, "second_factor_required");
    }
    assert_eq!(stage(&world, &ada, &first).await, SessionStage::SignedIn);

    let id = newest.browser_id.as_str();
    assert_eq!(session.forget_browsers(id).await.unwrap(), 1);
    assert_eq!(
        refused(session.forget_browsers(id).await),
        "browser.not_found"
    );
    assert_eq!(
        stage(&world, &ada, &first).await,
        SessionStage::AwaitingSecondFactor
    );
    assert_eq!(stage(&world, &ada, &second).await, SessionStage::SignedIn);
    assert_eq!(session.forget_browsers("").await.unwrap(), 1);
    assert_eq!(session.forget_browsers("").await.unwrap(), 0);
    assert_eq!(
        stage(&world, &ada, &second).await,
        SessionStage::AwaitingSecondFactor
    );
    let events = world.log.wait_for("browser_forgotten", 2).await;
    assert_eq!(events.len(), 2, "what changes nothing is no event");
    assert_eq!(events[0].target, ada.id.to_string());

    // One that has run out is listed no more.
    remembered(&world, &ada, NUMBER).await;
    world.advance_minutes(30 * 24 * 60);
    let session = world.signed_in_twice(&ada, NUMBER).await;
    assert!(session.browsers("").await.unwrap().is_empty());
    world.end().await;
}
