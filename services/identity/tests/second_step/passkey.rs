//! Passkeys as second factors: what a right one does, and what leaves them working.

use std::time::Duration;

use sallyport_proto::identity::v1::{SessionStage, TwoFactorState};
use sallyport_testkit::PasskeyDevice;

use crate::bad_input::fail;
use crate::device::ORIGIN;
use crate::world::{
    NUMBER, OTHER_NUMBER, PASSWORD, Session, User, WRONG, World, new_key, refusal, refused,
};

on_both_databases!(
    a_passkey_signs_in_with_two_factors,
    a_passkey_alone_is_a_second_factor,
    a_passkey_is_a_fresh_second_factor_also_after_a_change_of_number,
    neither_a_lock_nor_a_hundred_wrong_codes_keep_a_passkey_out,
    passkeys_outlive_a_lost_phone_and_no_link_goes_around_them,
    a_browser_is_remembered_with_a_passkey,
    a_user_begins_so_many_ceremonies_in_an_hour,
);

/// A user with a number and a passkey, and the session that registered it.
pub async fn with_passkey(world: &World, name: &str) -> (User, Session, PasskeyDevice) {
    let (user, mut session, _) = world.enrolled(name).await;
    let mut device = PasskeyDevice::new();
    let codes = session.register(&mut device).await.unwrap();
    assert!(codes.is_empty(), "the recovery codes stay");
    (user, session, device)
}

async fn a_passkey_signs_in_with_two_factors(world: World) {
    let (user, signed_in, mut device) = with_passkey(&world, "ada").await;
    let listed = signed_in.passkeys().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "My device");
    assert!(listed[0].last_used_at.is_none() && !listed[0].backed_up);

    world.advance_minutes(1);
    let mut session = world.awaiting(&user).await;
    let by_sms = world.otp.newest_code(NUMBER);
    let factors = session.factors().await.unwrap();
    assert!(factors.passkey && !factors.authenticator && !factors.disabled);
    assert_eq!(factors.number_ending, "78");
    session.pass(&mut device).await.unwrap();
    let who = session.who().await.unwrap();
    assert_eq!((who.stage(), who.assurance), (SessionStage::SignedIn, 2));
    assert!(who.second_factor_at.is_some());
    // The code by SMS that waited is not needed any more.
    assert_eq!(refused(session.verify(&by_sms).await), "code.none");
    assert_eq!(world.otp.cancelled(), 1);
    let used = session.passkeys().await[0].last_used_at.unwrap();
    assert_eq!(used.seconds, world.clock_seconds());
    let passed = world.log.wait_for("authn_second_factor_success", 2).await;
    assert_eq!(passed[1].details["method"], "passkey");
    assert_eq!(passed[1].details["purpose"], "sign_in");

    // One that does not count its signatures, and is copied by its maker, signs in as often as asked.
    let mut copied = PasskeyDevice::new().backed_up();
    session.register(&mut copied).await.unwrap();
    for _ in 0..2 {
        let mut session = world.sign_in(&user).await;
        session.pass(&mut copied).await.unwrap();
        assert!(session.passkeys().await[1].backed_up);
    }
    world.end().await;
}

async fn a_passkey_alone_is_a_second_factor(world: World) {
    let user = world.user("ada").await;
    let other = world.sign_in(&user).await;
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.begin_passkey_use().await),
        "two_factor.not_active"
    );
    let mut device = PasskeyDevice::new();
    let recovery = session.register(&mut device).await.unwrap();
    assert_eq!(recovery.len(), 10);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, "");
    let who = session.who().await.unwrap();
    assert_eq!((who.assurance, who.second_factor_active), (2, true));
    assert_eq!(refused(other.who().await), "session.expired");

    let mut awaiting = world.sign_in(&user).await;
    assert_eq!(awaiting.stage, SessionStage::AwaitingSecondFactor);
    let factors = awaiting.factors().await.unwrap();
    assert!(factors.passkey && !factors.disabled);
    for reason in [
        refused(awaiting.send_sign_in(&new_key()).await),
        refused(session.send_step_up().await),
    ] {
        assert_eq!(reason, "two_factor.no_number");
    }
    assert!(world.otp.sent().is_empty());
    awaiting.pass(&mut device).await.unwrap();
    let mut recovered = world.sign_in(&user).await;
    assert_eq!(recovered.recover(&recovery[0]).await.unwrap(), 9);

    // It is not taken away alone; another factor can be set beside it, and then it can.
    let id = session.passkeys().await[0].passkey_id.clone();
    assert_eq!(
        refused(session.remove_passkey(&id).await),
        "passkey.last_factor"
    );
    let codes = session.enrol(&world.otp, NUMBER).await;
    assert!(codes.is_empty(), "the recovery codes stay");
    session.remove_passkey(&id).await.unwrap();
    world.signed_in_twice(&user, NUMBER).await;
    let enabled = world.log.wait_for("two_factor_enabled", 2).await;
    let methods: Vec<_> = enabled
        .iter()
        .map(|e| e.details["method"].as_str())
        .collect();
    assert_eq!(methods, ["passkey", "sms"]);
    world.end().await;
}

async fn a_passkey_is_a_fresh_second_factor_also_after_a_change_of_number(world: World) {
    let (_, mut session, mut device) = with_passkey(&world, "ada").await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    world.advance_minutes(6);
    session.confirm_password().await;
    session.step_up(&world, OTHER_NUMBER).await;
    let id = session.passkeys().await[0].passkey_id.clone();
    for reason in [
        refused(session.disable().await),
        refused(session.remake_codes().await),
        refused(session.remove_passkey(&id).await),
        refused(session.begin_passkey().await),
    ] {
        assert_eq!(reason, "two_factor.number_changed_lately");
    }
    session.pass(&mut device).await.unwrap();
    assert_eq!(session.remake_codes().await.unwrap().len(), 10);
    // For five minutes.
    world.advance_minutes(6);
    session.confirm_password().await;
    assert_eq!(refused(session.disable().await), "step_up_required");
    session.pass(&mut device).await.unwrap();
    session.disable().await.unwrap();

    // Off is off: the passkey has to be registered again.
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Off);
    assert!(now.passkeys.is_empty());
    let ended = "passkeys WHERE end_reason = 'switched_off'";
    assert_eq!(world.rows(ended).await, 1);
    session.register(&mut device).await.unwrap();
    world.end().await;
}

async fn neither_a_lock_nor_a_hundred_wrong_codes_keep_a_passkey_out(world: World) {
    let (user, mut signed_in, mut device) = with_passkey(&world, "ada").await;
    let (app, _) = signed_in.set_up_app(&world).await;
    let mut guessing = world.awaiting(&user).await;
    fail(&world, 14).await;
    assert_eq!(refused(guessing.verify(WRONG).await), "code.wrong");
    assert_eq!(
        refused(guessing.use_app(WRONG).await),
        "second_factor.locked"
    );
    let mut session = world.sign_in(&user).await;
    session.pass(&mut device).await.unwrap();
    assert_eq!(world.step(&user).await.failures, 0, "cleared");

    let guessing = world.awaiting(&user).await;
    fail(&world, 99).await;
    assert_eq!(refused(guessing.verify(WRONG).await), "code.wrong");
    world.log.wait_for("authn_second_factor_disabled", 1).await;
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);
    let factors = session.factors().await.unwrap();
    assert!(factors.passkey && !factors.authenticator && !factors.disabled);
    assert_eq!(factors.number_ending, "");
    // The passkey works, so the mailbox is no way around it.
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    world.advance_seconds(30);
    let code = app.shows(&world, 0);
    assert_eq!(
        refused(session.use_app(&code).await),
        "authenticator.not_active"
    );
    session.pass(&mut device).await.unwrap();
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, "", "it has to be proved again");
    session.enrol(&world.otp, NUMBER).await;
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn passkeys_outlive_a_lost_phone_and_no_link_goes_around_them(world: World) {
    let (user, _, mut device) = with_passkey(&world, "ada").await;
    let mut session = world.awaiting(&user).await;
    session.report_lost().await.unwrap();
    let factors = session.factors().await.unwrap();
    assert_eq!(factors.number_ending, "");
    assert!(factors.passkey && !factors.disabled);
    assert_eq!(
        refused(session.send_sign_in(&new_key()).await),
        "two_factor.no_number"
    );
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    session.pass(&mut device).await.unwrap();
    session.enrol(&world.otp, OTHER_NUMBER).await;
    world.signed_in_twice(&user, OTHER_NUMBER).await;
    world.end().await;
}

async fn a_browser_is_remembered_with_a_passkey(world: World) {
    let (user, mut signed_in, mut device) = with_passkey(&world, "ada").await;
    let mut session = world.sign_in(&user).await;
    let begun = session.begin_passkey_use().await.unwrap();
    let answer = device.answer(&begun.options, ORIGIN);
    let browser = session
        .use_passkey_and_remember(&begun.ceremony_id, &answer, true)
        .await
        .unwrap();
    assert!(browser.starts_with("spb_"), "{browser}");
    let again = world.sign_in_with(&user, PASSWORD, &browser).await;
    assert_eq!(again.stage, SessionStage::SignedIn);
    assert_eq!(again.who().await.unwrap().assurance, 1);

    // Not by a step-up, and not after a change of the factors.
    let begun = signed_in.begin_passkey_use().await.unwrap();
    let answer = device.answer(&begun.options, ORIGIN);
    let none = signed_in
        .use_passkey_and_remember(&begun.ceremony_id, &answer, true)
        .await
        .unwrap();
    assert_eq!(none, "");
    let id = signed_in.passkeys().await[0].passkey_id.clone();
    signed_in.remove_passkey(&id).await.unwrap();
    let again = world.sign_in_with(&user, PASSWORD, &browser).await;
    assert_eq!(again.stage, SessionStage::AwaitingSecondFactor);
    world.end().await;
}

async fn a_user_begins_so_many_ceremonies_in_an_hour(world: World) {
    let (user, signed_in, mut device) = with_passkey(&world, "ada").await;
    let session = world.sign_in(&user).await;
    for _ in 0..30 {
        session.begin_passkey_use().await.unwrap();
        signed_in.begin_passkey().await.unwrap();
    }
    let other = world.sign_in(&user).await;
    for told in [
        refusal(session.begin_passkey_use().await),
        refusal(other.begin_passkey_use().await),
        refusal(signed_in.begin_passkey().await),
    ] {
        assert_eq!(told.reason, "passkey.limit");
        assert_eq!(told.retry_after, Some(Duration::from_secs(3_600)));
    }
    let noted = world.log.wait_for("authn_second_factor_fail", 1).await;
    assert_eq!(noted[0].reason, "passkey.limit");
    assert_eq!(world.rows("passkey_ceremonies").await, 60);
    // Nobody else waits for it.
    let (_, mut neighbour, mut his) = with_passkey(&world, "bob").await;
    neighbour.pass(&mut his).await.unwrap();

    // One that ends well begins the count anew.
    world.advance_minutes(60);
    let mut session = world.sign_in(&user).await;
    session.begin_passkey_use().await.unwrap();
    session.pass(&mut device).await.unwrap();
    assert_eq!(world.step(&user).await.ceremonies, 0);
    world.end().await;
}
