//! Codes of an authenticator app: what is counted, what is taken once, and what a right one does.

use std::time::Duration;

use sallyport_proto::identity::v1::{SessionStage, TwoFactorState};
use tokio::task::JoinSet;

use crate::app::App;
use crate::bad_input::fail;
use crate::world::{
    NUMBER, OTHER_NUMBER, PASSWORD, Session, User, WRONG, World, new_key, refusal, refused,
};

on_both_databases!(
    an_app_signs_in_and_each_of_its_codes_once,
    an_app_alone_is_a_second_factor,
    wrong_codes_of_the_app_and_by_sms_have_one_count,
    a_hundred_wrong_codes_disable_the_app_and_sign_in_asks_as_before,
    one_code_of_the_app_given_in_many_sessions_at_once_signs_one_in,
    guesses_at_the_app_at_the_same_instant_never_exceed_the_budget,
    a_code_of_the_app_is_a_fresh_second_factor_also_after_a_change_of_number,
    the_app_outlives_a_lost_phone_and_no_link_goes_around_it,
    a_browser_is_remembered_with_a_code_of_the_app,
);

/// A user with a number and an app, and the session that set it up. The app's next code is good.
async fn with_app(world: &World, name: &str) -> (User, Session, App) {
    let (user, mut session, _) = world.enrolled(name).await;
    let (app, codes) = session.set_up_app(world).await;
    assert!(codes.is_empty(), "the recovery codes stay");
    world.advance_seconds(30);
    (user, session, app)
}

async fn an_app_signs_in_and_each_of_its_codes_once(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    let (app, _) = session.set_up_app(&world).await;
    let mut session = world.awaiting(&user).await;
    let by_sms = world.otp.newest_code(NUMBER);
    let factors = session.factors().await.unwrap();
    assert_eq!(factors.number_ending, "78");
    assert!(factors.authenticator && !factors.disabled);
    // The code that proved the app is used up with that.
    let proof = app.shows(&world, 0);
    assert_eq!(refused(session.use_app(&proof).await), "authenticator.used");
    for away in [-2, 2] {
        let code = app.shows(&world, away);
        let wrong = refusal(session.use_app(&code).await);
        assert_eq!(wrong.reason, "authenticator.wrong", "{away}");
        assert_eq!(wrong.fields[0].0, "code");
    }
    for typed in ["", "12345", "1234567", "12a456"] {
        assert_eq!(refused(session.use_app(typed).await), "code.format");
    }
    assert_eq!(world.step(&user).await.failures, 3);

    world.advance_seconds(30);
    let code = app.shows(&world, 0);
    let spaced = format!(" {} {} ", &code[..3], &code[3..]);
    session.use_app(&spaced).await.unwrap();
    let who = session.who().await.unwrap();
    assert_eq!((who.stage(), who.assurance), (SessionStage::SignedIn, 2));
    assert!(who.second_factor_at.is_some());
    assert_eq!(world.step(&user).await.failures, 0, "cleared");
    // The code by SMS that waited is not needed any more.
    assert_eq!(refused(session.verify(&by_sms).await), "code.none");
    assert_eq!(world.otp.cancelled(), 1);

    // In no other session, and no older one after it; the next is taken half a minute early.
    let mut other = world.sign_in(&user).await;
    for away in [0, -1] {
        let code = app.shows(&world, away);
        assert_eq!(refused(other.use_app(&code).await), "authenticator.used");
    }
    other.use_app(&app.shows(&world, 1)).await.unwrap();
    let passed = world.log.wait_for("authn_second_factor_success", 3).await;
    for event in &passed[1..] {
        assert_eq!(event.details["method"], "authenticator");
        assert_eq!(event.details["purpose"], "sign_in");
    }
    world.end().await;
}

async fn an_app_alone_is_a_second_factor(world: World) {
    let user = world.user("ada").await;
    let other = world.sign_in(&user).await;
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.use_app("123456").await),
        "two_factor.not_active"
    );
    let begun = session.begin_app().await.unwrap();
    let app = App::of(&begun.secret);
    assert_eq!(
        refused(session.confirm_app(&begun.enrolment, WRONG).await),
        "authenticator.wrong"
    );
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    let code = app.shows(&world, 0);
    let recovery = session.confirm_app(&begun.enrolment, &code).await.unwrap();
    assert_eq!(recovery.len(), 10);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, "");
    assert_eq!(now.recovery_codes_left, 10);
    assert!(now.authenticator_since.is_some());
    let who = session.who().await.unwrap();
    assert_eq!((who.assurance, who.second_factor_active), (2, true));
    assert_eq!(refused(other.who().await), "session.expired");

    let mut awaiting = world.sign_in(&user).await;
    assert_eq!(awaiting.stage, SessionStage::AwaitingSecondFactor);
    let factors = awaiting.factors().await.unwrap();
    assert_eq!(factors.number_ending, "");
    assert!(factors.authenticator && !factors.disabled);
    for reason in [
        refused(awaiting.send_sign_in(&new_key()).await),
        refused(session.send_step_up().await),
        refused(session.change_number(NUMBER).await),
    ] {
        assert_eq!(reason, "two_factor.no_number");
    }
    assert!(world.otp.sent().is_empty());
    world.advance_seconds(30);
    awaiting.use_app(&app.shows(&world, 0)).await.unwrap();
    let mut recovered = world.sign_in(&user).await;
    assert_eq!(recovered.recover(&recovery[0]).await.unwrap(), 9);

    // It is not taken away alone; a number can be set beside it.
    assert_eq!(
        refused(session.remove_app().await),
        "authenticator.last_factor"
    );
    let codes = session.enrol(&world.otp, NUMBER).await;
    assert!(codes.is_empty(), "the recovery codes stay");
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(
        (now.recovery_codes_left, now.confirmed_number.as_str()),
        (9, NUMBER)
    );
    assert_eq!(
        refused(session.enable(OTHER_NUMBER, &new_key()).await),
        "two_factor.already_active"
    );
    world.signed_in_twice(&user, NUMBER).await;
    session.remove_app().await.unwrap();
    let enabled = world.log.wait_for("two_factor_enabled", 2).await;
    let methods: Vec<_> = enabled
        .iter()
        .map(|e| e.details["method"].as_str())
        .collect();
    assert_eq!(methods, ["authenticator", "sms"]);
    world.end().await;
}

async fn wrong_codes_of_the_app_and_by_sms_have_one_count(world: World) {
    let (user, _, app) = with_app(&world, "ada").await;
    world.otp.set_tries(1_000);
    let mut session = world.awaiting(&user).await;
    for _ in 0..7 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    for _ in 0..8 {
        assert_eq!(refused(session.use_app(WRONG).await), "authenticator.wrong");
    }
    assert_eq!(world.step(&user).await.failures, 15);
    let by_sms = world.otp.newest_code(NUMBER);
    let mut other = world.sign_in(&user).await;
    for told in [
        refusal(session.use_app(&app.shows(&world, 0)).await),
        refusal(session.verify(&by_sms).await),
        refusal(other.use_app(&app.shows(&world, 0)).await),
        refusal(other.send_sign_in(&new_key()).await),
    ] {
        assert_eq!(told.reason, "second_factor.locked");
        assert_eq!(told.retry_after, Some(Duration::from_secs(900)));
    }
    let locks = world.log.wait_for("authn_second_factor_lock", 1).await;
    assert_eq!(locks.len(), 1);
    world.advance_minutes(15);
    other.use_app(&app.shows(&world, 0)).await.unwrap();
    assert_eq!(world.step(&user).await.failures, 0);
    world.end().await;
}

async fn a_hundred_wrong_codes_disable_the_app_and_sign_in_asks_as_before(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    let mut session = world.signed_in_twice(&user, NUMBER).await;
    let (app, _) = session.set_up_app(&world).await;
    world.advance_seconds(30);
    let mut session = world.sign_in(&user).await;
    fail(&world, 99).await;
    assert_eq!(refused(session.use_app(WRONG).await), "authenticator.wrong");
    world.advance_minutes(24 * 60);
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);
    for reason in [
        refused(session.use_app(&app.shows(&world, 0)).await),
        refused(session.send_sign_in(&new_key()).await),
    ] {
        assert_eq!(reason, "second_factor.disabled");
    }
    let factors = session.factors().await.unwrap();
    assert!(factors.disabled && !factors.authenticator);
    assert_eq!(factors.number_ending, "");
    world.log.wait_for("authn_second_factor_disabled", 1).await;
    session.send_link().await.unwrap();

    session.recover(&recovery[0]).await.unwrap();
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Disabled);
    assert!(now.authenticator_since.is_none());
    // An app can be what is enrolled anew; the one that was disabled stays so.
    let (new, codes) = session.set_up_app(&world).await;
    assert_eq!(codes.len(), 10);
    world.advance_seconds(30);
    let mut session = world.sign_in(&user).await;
    let old = app.shows(&world, 0);
    assert_eq!(refused(session.use_app(&old).await), "authenticator.wrong");
    session.use_app(&new.shows(&world, 0)).await.unwrap();
    let ended = "authenticators WHERE end_reason = 'too_many_failures'";
    assert_eq!(world.rows(ended).await, 1);
    world.end().await;
}

async fn one_code_of_the_app_given_in_many_sessions_at_once_signs_one_in(world: World) {
    let (user, _, app) = with_app(&world, "ada").await;
    let code = app.shows(&world, 0);
    let mut tries = JoinSet::new();
    for _ in 0..10 {
        let (mut session, code) = (world.sign_in(&user).await, code.clone());
        tries.spawn(async move { session.use_app(&code).await });
    }
    let mut passed = 0;
    for answer in tries.join_all().await {
        if answer.is_ok() {
            passed += 1;
        } else {
            let reason = refused(answer);
            let known = ["authenticator.used", "unavailable"];
            assert!(known.contains(&reason.as_str()), "{reason}");
        }
    }
    assert_eq!(passed, 1);
    let signed_in = "sessions WHERE stage = 'signed_in' AND authenticator_at IS NOT NULL";
    assert_eq!(
        world.rows(signed_in).await,
        2,
        "with the one that set it up"
    );
    world.end().await;
}

async fn guesses_at_the_app_at_the_same_instant_never_exceed_the_budget(world: World) {
    let (user, _, _) = with_app(&world, "ada").await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(world.sign_in(&user).await);
    }
    let mut guesses = JoinSet::new();
    for guess in 0..200 {
        let mut session = sessions[guess % sessions.len()].clone();
        guesses.spawn(async move { refused(session.use_app(WRONG).await) });
    }
    let mut wrong = 0;
    for reason in guesses.join_all().await {
        match reason.as_str() {
            "authenticator.wrong" => wrong += 1,
            // The store may be too busy to take an attempt; then it is refused, too.
            "second_factor.locked" | "unavailable" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(wrong, 15);
    assert_eq!(world.step(&user).await.failures, 15);
    world.end().await;
}

async fn a_code_of_the_app_is_a_fresh_second_factor_also_after_a_change_of_number(world: World) {
    let (_, mut session, app) = with_app(&world, "ada").await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    world.advance_minutes(6);
    session.confirm_password().await;
    session.step_up(&world, OTHER_NUMBER).await;
    for reason in [
        refused(session.disable().await),
        refused(session.remake_codes().await),
        refused(session.remove_app().await),
        refused(session.begin_app().await),
    ] {
        assert_eq!(reason, "two_factor.number_changed_lately");
    }
    session.use_app(&app.shows(&world, 0)).await.unwrap();
    assert_eq!(session.remake_codes().await.unwrap().len(), 10);
    session.begin_app().await.unwrap();
    // For five minutes.
    world.advance_minutes(6);
    session.confirm_password().await;
    assert_eq!(refused(session.disable().await), "step_up_required");
    session.use_app(&app.shows(&world, 0)).await.unwrap();
    session.disable().await.unwrap();

    // Off is off: neither code is asked for, and the app has to be set up again.
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Off);
    assert!(now.authenticator_since.is_none());
    let enabled = session.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    assert!(enabled.active);
    session.token = enabled.session_token;
    world.advance_seconds(30);
    let code = app.shows(&world, 0);
    assert_eq!(
        refused(session.use_app(&code).await),
        "authenticator.not_active"
    );
    world.end().await;
}

async fn the_app_outlives_a_lost_phone_and_no_link_goes_around_it(world: World) {
    let (user, _, app) = with_app(&world, "ada").await;
    let mut session = world.awaiting(&user).await;
    session.report_lost().await.unwrap();
    let factors = session.factors().await.unwrap();
    assert_eq!(factors.number_ending, "");
    assert!(factors.authenticator && !factors.disabled);
    assert_eq!(
        refused(session.send_sign_in(&new_key()).await),
        "two_factor.no_number"
    );
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    session.use_app(&app.shows(&world, 0)).await.unwrap();
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, "");
    session.enrol(&world.otp, OTHER_NUMBER).await;
    world.signed_in_twice(&user, OTHER_NUMBER).await;
    world.end().await;
}

async fn a_browser_is_remembered_with_a_code_of_the_app(world: World) {
    let (user, mut signed_in, app) = with_app(&world, "ada").await;
    let mut session = world.sign_in(&user).await;
    let code = app.shows(&world, 0);
    let browser = session.use_app_and_remember(&code, true).await.unwrap();
    assert!(browser.starts_with("spb_"), "{browser}");
    let again = world.sign_in_with(&user, PASSWORD, &browser).await;
    assert_eq!(again.stage, SessionStage::SignedIn);
    assert_eq!(again.who().await.unwrap().assurance, 1);
    world.log.wait_for("browser_remembered", 1).await;

    // Not by a step-up, and not after a change of the factors.
    world.advance_seconds(30);
    let code = app.shows(&world, 0);
    let none = signed_in.use_app_and_remember(&code, true).await.unwrap();
    assert_eq!(none, "");
    signed_in.remove_app().await.unwrap();
    let again = world.sign_in_with(&user, PASSWORD, &browser).await;
    assert_eq!(again.stage, SessionStage::AwaitingSecondFactor);
    world.end().await;
}
