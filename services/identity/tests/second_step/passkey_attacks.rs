//! Passkeys under attack: look-alike pages, replays, copies, and answers that are somebody else's.

use sallyport_proto::identity::v1::SessionStage;
use sallyport_proto::otp::v1::Notice;
use sallyport_testkit::PasskeyDevice;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::device::ORIGIN;
use crate::passkey::with_passkey;
use crate::world::{NUMBER, World, refusal, refused};

on_both_databases!(
    what_is_signed_at_a_look_alike_page_signs_nobody_in,
    an_answer_is_taken_once_and_for_its_own_question,
    an_answer_belongs_to_its_user_its_session_and_five_minutes,
    one_answer_given_many_times_at_once_signs_in_once,
    a_counter_that_goes_back_is_refused_and_told,
    a_removed_passkey_signs_nobody_in,
    a_device_that_does_not_verify_its_user_is_refused,
);

/// The options as a page of another origin gives them on: for its own domain, since browsers take no
/// other there.
fn relayed(options: &str, rp_id: &str) -> String {
    let mut options: Value = serde_json::from_str(options).unwrap();
    options["rpId"] = rp_id.into();
    options.to_string()
}

async fn what_is_signed_at_a_look_alike_page_signs_nobody_in(world: World) {
    let (user, _, mut device) = with_passkey(&world, "ada").await;
    // The page in the middle has the password, and asks the portal in its victim's place.
    let mut relay = world.sign_in(&user).await;
    for (origin, rp_id) in [
        ("https://localhost.example", "localhost.example"),
        ("https://localhost.example", "localhost"),
        ("http://localhost.example:8080", "localhost"),
        ("http://portal.localhost:8080", "localhost"),
        ("https://localhost:8080", "localhost"),
        ("http://localhost:8081", "localhost"),
        (ORIGIN, "localhost.example"),
    ] {
        let begun = relay.begin_passkey_use().await.unwrap();
        let answer = device.answer(&relayed(&begun.options, rp_id), origin);
        let told = refusal(relay.use_passkey(&begun.ceremony_id, &answer).await);
        assert_eq!(told.reason, "passkey.wrong", "{origin} {rp_id}");
        assert_eq!(told.fields[0].0, "credential");
    }
    // Nor is the portal's own page asked while it stands in a frame of theirs.
    device.set_framed(true);
    assert_eq!(refused(relay.pass(&mut device).await), "passkey.wrong");
    device.set_framed(false);
    let who = relay.who().await.unwrap();
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    assert_eq!(world.step(&user).await.failures, 0, "nothing was guessed");
    let failed = world.log.wait_for("authn_second_factor_fail", 8).await;
    for event in &failed {
        assert_eq!(event.reason, "passkey.wrong");
        assert_eq!(event.details["method"], "passkey");
    }
    // Nor is a passkey bound that was made there.
    let mut session = world.signed_in_twice(&user, NUMBER).await;
    let begun = session.begin_passkey().await.unwrap();
    let made = PasskeyDevice::new().make(&begun.options, "https://localhost.example");
    let bound = session.confirm_passkey(&begun.ceremony_id, &made, "His");
    assert_eq!(refused(bound.await), "passkey.wrong");
    assert_eq!(session.passkeys().await.len(), 1);
    // At the portal itself the same device goes on to work.
    world.sign_in(&user).await.pass(&mut device).await.unwrap();
    world.end().await;
}

async fn an_answer_is_taken_once_and_for_its_own_question(world: World) {
    let (user, _, mut device) = with_passkey(&world, "ada").await;
    let mut session = world.sign_in(&user).await;
    let first = session.begin_passkey_use().await.unwrap();
    let second = session.begin_passkey_use().await.unwrap();
    let answer = device.answer(&first.options, ORIGIN);
    let mixed = session.use_passkey(&second.ceremony_id, &answer).await;
    assert_eq!(refused(mixed), "passkey.wrong", "another challenge");
    // A wrong answer ends its ceremony.
    let right = device.answer(&second.options, ORIGIN);
    let late = session.use_passkey(&second.ceremony_id, &right).await;
    assert_eq!(refused(late), "passkey.ended");
    let answer = device.answer(&first.options, ORIGIN);
    session
        .use_passkey(&first.ceremony_id, &answer)
        .await
        .unwrap();

    // Whoever has written it down has nothing.
    let again = session.use_passkey(&first.ceremony_id, &answer).await;
    assert_eq!(refused(again), "passkey.ended");
    let mut thief = world.sign_in(&user).await;
    let begun = thief.begin_passkey_use().await.unwrap();
    let replayed = thief.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(replayed), "passkey.wrong");
    // One kind of ceremony is not the other.
    let begun = session.begin_passkey().await.unwrap();
    let crossed = session.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(crossed), "passkey.ended");
    // What is no answer costs no ceremony.
    let begun = thief.begin_passkey_use().await.unwrap();
    let long = format!("{{\"id\":\"{}\"}}", "a".repeat(20_000));
    for text in ["", "{}", "null", &long] {
        let told = refusal(thief.use_passkey(&begun.ceremony_id, text).await);
        assert_eq!(told.reason, "passkey.format");
        assert_eq!(told.fields[0].0, "credential");
    }
    let answer = device.answer(&begun.options, ORIGIN);
    thief
        .use_passkey(&begun.ceremony_id, &answer)
        .await
        .unwrap();
    world.end().await;
}

async fn an_answer_belongs_to_its_user_its_session_and_five_minutes(world: World) {
    let (ada, _, mut device) = with_passkey(&world, "ada").await;
    let (bob, _, mut his) = with_passkey(&world, "bob").await;
    let mut session = world.sign_in(&ada).await;
    let mut other = world.sign_in(&ada).await;
    let mut stranger = world.sign_in(&bob).await;
    let begun = session.begin_passkey_use().await.unwrap();
    let life = begun.expires_at.unwrap().seconds - world.clock_seconds();
    assert_eq!(life, 300);
    let answer = device.answer(&begun.options, ORIGIN);
    for reason in [
        refused(other.use_passkey(&begun.ceremony_id, &answer).await),
        refused(stranger.use_passkey(&begun.ceremony_id, &answer).await),
        refused(session.use_passkey("", &answer).await),
        refused(session.use_passkey("no id", &answer).await),
    ] {
        assert_eq!(reason, "passkey.ended");
    }
    session
        .use_passkey(&begun.ceremony_id, &answer)
        .await
        .unwrap();

    // Another user's passkey, in a session that awaits Ada's.
    let begun = other.begin_passkey_use().await.unwrap();
    let answer = his.answer(&begun.options, ORIGIN);
    let foreign = other.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(foreign), "passkey.wrong");

    let begun = other.begin_passkey_use().await.unwrap();
    let answer = device.answer(&begun.options, ORIGIN);
    world.advance_minutes(5);
    let late = other.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(late), "passkey.ended");
    other.pass(&mut device).await.unwrap();
    world.end().await;
}

async fn one_answer_given_many_times_at_once_signs_in_once(world: World) {
    let (user, _, mut device) = with_passkey(&world, "ada").await;
    let session = world.sign_in(&user).await;
    let begun = session.begin_passkey_use().await.unwrap();
    let answer = device.answer(&begun.options, ORIGIN);
    let mut tries = JoinSet::new();
    for _ in 0..20 {
        let mut session = session.clone();
        let (id, answer) = (begun.ceremony_id.clone(), answer.clone());
        tries.spawn(async move { session.use_passkey(&id, &answer).await });
    }
    let mut passed = 0;
    for answer in tries.join_all().await {
        if answer.is_ok() {
            passed += 1;
        } else {
            let reason = refused(answer);
            let known = ["passkey.ended", "session.expired", "unavailable"];
            assert!(known.contains(&reason.as_str()), "{reason}");
        }
    }
    assert_eq!(passed, 1);
    assert_eq!(world.rows("passkey_ceremonies").await, 0);
    world.end().await;
}

async fn a_counter_that_goes_back_is_refused_and_told(world: World) {
    let (user, _, mut device) = with_passkey(&world, "ada").await;
    world.sign_in(&user).await.pass(&mut device).await.unwrap();
    let mut session = world.sign_in(&user).await;
    // A copy that was made before counts as the device did then.
    device.set_count(0);
    assert_eq!(refused(session.pass(&mut device).await), "passkey.counter");
    let who = session.who().await.unwrap();
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    let failed = world.log.wait_for("authn_second_factor_fail", 1).await;
    assert_eq!(failed[0].reason, "passkey.counter");
    let stays = "passkeys WHERE ended_at IS NULL";
    assert_eq!(world.rows(stays).await, 1, "its user decides");
    assert!(failed[0].details.contains_key("passkey_id"));
    world.mail(&user, "A passkey was refused", 1).await;
    let notices = world.otp.notices(3).await;
    let told = (Notice::PasskeyCopied, NUMBER.to_owned());
    assert!(notices.contains(&told), "{notices:?}");

    // Also where two answers that were right when they were asked for come one after the other.
    device.set_count(5);
    let mut other = world.sign_in(&user).await;
    let (first, second) = (
        session.begin_passkey_use().await.unwrap(),
        other.begin_passkey_use().await.unwrap(),
    );
    let answer = device.answer(&first.options, ORIGIN);
    device.set_count(5);
    let copied = device.answer(&second.options, ORIGIN);
    session
        .use_passkey(&first.ceremony_id, &answer)
        .await
        .unwrap();
    let copied = other.use_passkey(&second.ceremony_id, &copied).await;
    assert_eq!(refused(copied), "passkey.counter");
    other.pass(&mut device).await.unwrap();
    world.end().await;
}

async fn a_removed_passkey_signs_nobody_in(world: World) {
    let (user, mut signed_in, mut device) = with_passkey(&world, "ada").await;
    let id = signed_in.passkeys().await[0].passkey_id.clone();
    let mut kept = PasskeyDevice::new();
    signed_in.register(&mut kept).await.unwrap();
    let mut session = world.sign_in(&user).await;
    let begun = session.begin_passkey_use().await.unwrap();
    let answer = device.answer(&begun.options, ORIGIN);
    signed_in.remove_passkey(&id).await.unwrap();
    // The session that was asking has ended with it.
    let late = session.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(late), "session.expired");
    let mut session = world.sign_in(&user).await;
    let begun = session.begin_passkey_use().await.unwrap();
    assert!(!begun.options.contains(&device.id()));
    assert!(begun.options.contains(&kept.id()));
    let answer = device.answer(&begun.options, ORIGIN);
    let removed = session.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(removed), "passkey.wrong");

    // Asked for by the session that takes it away, too.
    let begun = signed_in.begin_passkey_use().await.unwrap();
    let answer = kept.answer(&begun.options, ORIGIN);
    let id = signed_in.passkeys().await[0].passkey_id.clone();
    signed_in.remove_passkey(&id).await.unwrap();
    let late = signed_in.use_passkey(&begun.ceremony_id, &answer).await;
    assert_eq!(refused(late), "passkey.not_active");
    let removed = "passkeys WHERE end_reason = 'removed'";
    assert_eq!(world.rows(removed).await, 2, "they stay on record");
    world.end().await;
}

async fn a_device_that_does_not_verify_its_user_is_refused(world: World) {
    let (user, mut session, device) = with_passkey(&world, "ada").await;
    let mut stolen = device.unverified();
    let mut thief = world.sign_in(&user).await;
    assert_eq!(refused(thief.pass(&mut stolen).await), "passkey.wrong");
    let begun = session.begin_passkey().await.unwrap();
    assert!(begun.options.contains(r#""userVerification":"required""#));
    let made = PasskeyDevice::new()
        .unverified()
        .make(&begun.options, ORIGIN);
    let bound = session.confirm_passkey(&begun.ceremony_id, &made, "Key");
    assert_eq!(refused(bound.await), "passkey.wrong");
    world.end().await;
}
