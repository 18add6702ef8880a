//! Setting an authenticator app up, replacing it and taking it away.

use sallyport_proto::otp::v1::Notice;

use crate::app::App;
use crate::world::{NUMBER, World, refused};

on_both_databases!(
    setting_an_app_up_needs_password_and_factor,
    what_was_begun_belongs_to_its_session_for_ten_minutes,
    another_app_takes_the_place_of_the_first,
    without_the_app_sign_in_asks_for_the_number,
);

async fn setting_an_app_up_needs_password_and_factor(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let mut awaiting = world.sign_in(&user).await;
    for reason in [
        refused(awaiting.begin_app().await),
        refused(awaiting.confirm_app("", "123456").await),
        refused(awaiting.remove_app().await),
    ] {
        assert_eq!(reason, "second_factor_required");
    }
    world.advance_minutes(6);
    assert_eq!(
        refused(session.begin_app().await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    assert_eq!(refused(session.begin_app().await), "step_up_required");
    session.step_up(&world, NUMBER).await;
    session.set_up_app(&world).await;

    // Of whoever has no factor the password alone is asked.
    let user = world.user("bob").await;
    let mut session = world.sign_in(&user).await;
    world.advance_minutes(6);
    assert_eq!(
        refused(session.begin_app().await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    session.set_up_app(&world).await;
    world.end().await;
}

async fn what_was_begun_belongs_to_its_session_for_ten_minutes(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let (_, mut stranger, _) = world.enrolled("bob").await;
    let mut other = world.signed_in_twice(&user, NUMBER).await;
    let begun = session.begin_app().await.unwrap();
    let app = App::of(&begun.secret);
    let life = begun.expires_at.unwrap().seconds - world.clock_seconds();
    assert_eq!(life, 600);
    let code = app.shows(&world, 0);
    let cut = &begun.enrolment[1..];
    for reason in [
        refused(other.confirm_app(&begun.enrolment, &code).await),
        refused(stranger.confirm_app(&begun.enrolment, &code).await),
        refused(session.confirm_app(cut, &code).await),
        refused(session.confirm_app("", &code).await),
    ] {
        assert_eq!(reason, "authenticator.enrolment_ended");
    }
    assert_eq!(
        refused(session.confirm_app(&begun.enrolment, "12 34").await),
        "code.format"
    );
    world.advance_minutes(10);
    let code = app.shows(&world, 0);
    assert_eq!(
        refused(session.confirm_app(&begun.enrolment, &code).await),
        "authenticator.enrolment_ended"
    );
    assert_eq!(world.rows("authenticators").await, 0);
    assert_eq!(world.step(&user).await.failures, 0, "nothing was guessed");
    session.confirm_password().await;
    session.step_up(&world, NUMBER).await;
    // A session that has renewed its token meanwhile is the same.
    let begun = session.begin_app().await.unwrap();
    session.confirm_password().await;
    let code = App::of(&begun.secret).shows(&world, 0);
    session.confirm_app(&begun.enrolment, &code).await.unwrap();
    world.end().await;
}

async fn another_app_takes_the_place_of_the_first(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let other = world.signed_in_twice(&user, NUMBER).await;
    let (first, _) = session.set_up_app(&world).await;
    assert_eq!(refused(other.who().await), "session.expired");
    // Beginning changes nothing.
    session.begin_app().await.unwrap();
    world.advance_seconds(30);
    let mut awaiting = world.sign_in(&user).await;
    awaiting.use_app(&first.shows(&world, 0)).await.unwrap();

    let (second, codes) = session.set_up_app(&world).await;
    assert!(codes.is_empty());
    world.advance_seconds(30);
    let mut awaiting = world.sign_in(&user).await;
    assert_eq!(
        refused(awaiting.use_app(&first.shows(&world, 0)).await),
        "authenticator.wrong"
    );
    awaiting.use_app(&second.shows(&world, 0)).await.unwrap();
    // The record of the first stays, and its seed does not.
    let ended = "authenticators WHERE end_reason = 'replaced' AND length(seed) = 0";
    assert_eq!(world.rows(ended).await, 1);
    assert_eq!(world.rows("authenticators").await, 2);
    let added = world.log.wait_for("authenticator_added", 2).await;
    let replaced: Vec<_> = added
        .iter()
        .map(|e| e.details["replaced"].as_str())
        .collect();
    assert_eq!(replaced, ["false", "true"]);
    world.end().await;
}

async fn without_the_app_sign_in_asks_for_the_number(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    assert_eq!(
        refused(session.remove_app().await),
        "authenticator.not_active"
    );
    let (app, _) = session.set_up_app(&world).await;
    world.advance_minutes(6);
    assert_eq!(
        refused(session.remove_app().await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    assert_eq!(refused(session.remove_app().await), "step_up_required");
    session.step_up(&world, NUMBER).await;
    let other = world.signed_in_twice(&user, NUMBER).await;
    session.remove_app().await.unwrap();
    assert_eq!(refused(other.who().await), "session.expired");
    assert_eq!(
        refused(session.remove_app().await),
        "authenticator.not_active"
    );
    let mut awaiting = world.sign_in(&user).await;
    assert!(!awaiting.factors().await.unwrap().authenticator);
    assert_eq!(
        refused(awaiting.use_app(&app.shows(&world, 0)).await),
        "authenticator.not_active"
    );
    assert_eq!(
        world.step(&user).await.failures,
        0,
        "there is nothing to guess"
    );
    world.signed_in_twice(&user, NUMBER).await;

    world.log.wait_for("authenticator_removed", 1).await;
    let notices = world.otp.notices(3).await;
    for notice in [Notice::AuthenticatorAdded, Notice::AuthenticatorRemoved] {
        let told = (notice, NUMBER.to_owned());
        assert!(notices.contains(&told), "{notices:?}");
    }
    world
        .mail(&user, "An authenticator app was set up", 1)
        .await;
    world
        .mail(&user, "The authenticator app was removed", 1)
        .await;
    world.end().await;
}
