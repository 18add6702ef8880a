//! Registering passkeys, naming them and taking them away.

use sallyport_proto::otp::v1::Notice;
use sallyport_testkit::PasskeyDevice;

use crate::device::ORIGIN;
use crate::passkey::with_passkey;
use crate::world::{NUMBER, World, refusal, refused};

on_both_databases!(
    registering_a_passkey_needs_password_and_factor,
    what_was_begun_belongs_to_its_session_for_five_minutes,
    a_user_has_so_many_passkeys_and_each_once,
    a_passkey_has_the_name_that_its_user_gives_it,
    adding_and_removing_passkeys_is_told_and_ends_other_sessions,
);

async fn registering_a_passkey_needs_password_and_factor(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let mut awaiting = world.sign_in(&user).await;
    let nobody = uuid::Uuid::nil().to_string();
    for reason in [
        refused(awaiting.begin_passkey().await),
        refused(awaiting.confirm_passkey(&nobody, "{}", "Key").await),
        refused(awaiting.rename_passkey(&nobody, "Key").await),
        refused(awaiting.remove_passkey(&nobody).await),
    ] {
        assert_eq!(reason, "second_factor_required");
    }
    world.advance_minutes(6);
    let mut device = PasskeyDevice::new();
    assert_eq!(
        refused(session.register(&mut device).await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    assert_eq!(
        refused(session.register(&mut device).await),
        "step_up_required"
    );
    session.step_up(&world, NUMBER).await;
    session.register(&mut device).await.unwrap();

    // Taking it away asks the same.
    let id = session.passkeys().await[0].passkey_id.clone();
    world.advance_minutes(6);
    assert_eq!(
        refused(session.remove_passkey(&id).await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    assert_eq!(
        refused(session.remove_passkey(&id).await),
        "step_up_required"
    );
    session.pass(&mut device).await.unwrap();
    session.remove_passkey(&id).await.unwrap();

    // Of whoever has no factor the password alone is asked.
    let user = world.user("bob").await;
    let mut session = world.sign_in(&user).await;
    world.advance_minutes(6);
    assert_eq!(
        refused(session.register(&mut device).await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    session.register(&mut device).await.unwrap();
    world.end().await;
}

async fn what_was_begun_belongs_to_its_session_for_five_minutes(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let (_, mut stranger, _) = world.enrolled("bob").await;
    let mut other = world.signed_in_twice(&user, NUMBER).await;
    let begun = session.begin_passkey().await.unwrap();
    let life = begun.expires_at.unwrap().seconds - world.clock_seconds();
    assert_eq!(life, 300);
    let id = &begun.ceremony_id;
    let made = PasskeyDevice::new().make(&begun.options, ORIGIN);
    for reason in [
        refused(other.confirm_passkey(id, &made, "Key").await),
        refused(stranger.confirm_passkey(id, &made, "Key").await),
        refused(session.confirm_passkey("", &made, "Key").await),
    ] {
        assert_eq!(reason, "passkey.ended");
    }
    // What cannot be one costs no ceremony.
    let malformed = refusal(session.confirm_passkey(id, "{}", "Key").await);
    assert_eq!(malformed.fields[0].1, "passkey.format");
    let unnamed = refusal(session.confirm_passkey(id, &made, " ").await);
    assert_eq!(unnamed.fields[0].1, "passkey.name");
    world.advance_minutes(5);
    assert_eq!(
        refused(session.confirm_passkey(id, &made, "Key").await),
        "passkey.ended"
    );
    assert_eq!(world.rows("passkeys").await, 0);
    world.end().await;
}

async fn a_user_has_so_many_passkeys_and_each_once(world: World) {
    let (_, mut session, mut device) = with_passkey(&world, "ada").await;
    // The browser is told which ones the user has; one that says nothing of it is refused.
    let begun = session.begin_passkey().await.unwrap();
    assert!(begun.options.contains(&device.id()));
    let made = device.make(&begun.options, ORIGIN);
    let again = session.confirm_passkey(&begun.ceremony_id, &made, "Key");
    assert_eq!(refused(again.await), "passkey.wrong");
    // Nor is it another user's, whose device would sign the other in.
    let (_, mut stranger, _) = world.enrolled("bob").await;
    assert_eq!(
        refused(stranger.register(&mut device).await),
        "passkey.exists"
    );
    assert!(stranger.passkeys().await.is_empty());

    let before_the_last = session.begin_passkey().await.unwrap();
    for _ in 1..10 {
        session.register(&mut PasskeyDevice::new()).await.unwrap();
    }
    let told = refusal(session.begin_passkey().await);
    assert_eq!(told.reason, "passkey.too_many");
    let made = PasskeyDevice::new().make(&before_the_last.options, ORIGIN);
    let eleventh = session.confirm_passkey(&before_the_last.ceremony_id, &made, "Key");
    assert_eq!(refused(eleventh.await), "passkey.too_many");
    assert_eq!(session.passkeys().await.len(), 10);
    world.end().await;
}

async fn a_passkey_has_the_name_that_its_user_gives_it(world: World) {
    let (_, session, _) = with_passkey(&world, "ada").await;
    let id = session.passkeys().await[0].passkey_id.clone();
    session.rename_passkey(&id, " Clé d’Ada ").await.unwrap();
    assert_eq!(session.passkeys().await[0].name, "Clé d’Ada");
    for name in ["", "a\nb", &"n".repeat(65)] {
        let told = refusal(session.rename_passkey(&id, name).await);
        assert_eq!(told.fields[0], ("name".into(), "passkey.name".into()));
    }
    let (_, mut stranger, _) = with_passkey(&world, "bob").await;
    let nobody = uuid::Uuid::nil().to_string();
    for reason in [
        refused(stranger.rename_passkey(&id, "Mine").await),
        refused(stranger.remove_passkey(&id).await),
        refused(session.rename_passkey(&nobody, "Key").await),
        refused(session.rename_passkey("no id", "Key").await),
    ] {
        assert_eq!(reason, "passkey.not_found");
    }
    assert_eq!(session.passkeys().await[0].name, "Clé d’Ada");
    world.log.wait_for("passkey_renamed", 1).await;
    world.end().await;
}

async fn adding_and_removing_passkeys_is_told_and_ends_other_sessions(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let other = world.signed_in_twice(&user, NUMBER).await;
    session.register(&mut PasskeyDevice::new()).await.unwrap();
    assert_eq!(refused(other.who().await), "session.expired");
    let other = world.signed_in_twice(&user, NUMBER).await;
    let id = session.passkeys().await[0].passkey_id.clone();
    session.remove_passkey(&id).await.unwrap();
    assert_eq!(refused(other.who().await), "session.expired");
    for kind in ["passkey_added", "passkey_removed"] {
        let event = &world.log.wait_for(kind, 1).await[0];
        assert_eq!(event.details["passkey_id"], id, "{kind}");
    }
    let notices = world.otp.notices(3).await;
    for notice in [Notice::PasskeyAdded, Notice::PasskeyRemoved] {
        let told = (notice, NUMBER.to_owned());
        assert!(notices.contains(&told), "{notices:?}");
    }
    world.mail(&user, "A passkey was added", 1).await;
    world.mail(&user, "A passkey was removed", 1).await;
    world.end().await;
}
