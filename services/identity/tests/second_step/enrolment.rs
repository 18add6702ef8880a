//! Switching two-factor authentication on and off, and moving it to another number.

use sallyport_proto::identity::v1::{SessionStage, TwoFactorState};
use sallyport_proto::otp::v1::{Notice, Purpose as OtpPurpose};
use sea_orm::ConnectionTrait;
use tokio::task::JoinSet;

use crate::world::{
    Backend, NUMBER, OTHER_NUMBER, Session, WRONG, World, new_key, refusal, refused,
};

on_both_databases!(
    until_the_code_is_right_nothing_has_changed,
    leaving_drops_what_is_pending,
    ten_minutes_drop_what_is_pending,
    only_the_newest_pending_number_can_be_confirmed,
    another_code_of_the_session_drops_what_is_pending,
    a_confirmed_and_unchanged_number_needs_no_code,
    binding_a_number_needs_the_password_fresh,
    numbers_that_take_no_sms_are_refused_before_any_is_sent,
    one_live_enrolment_of_a_licensed_user_is_trusted,
    three_users_may_share_a_number,
    a_new_number_takes_over_when_its_code_is_given,
    after_a_new_number_a_code_alone_takes_nothing_away_for_a_day,
    switching_off_needs_a_fresh_second_factor,
    policy_forbids_switching_off,
    a_short_password_is_lengthened_before_it_stands_alone,
    signing_out_cancels_the_code_that_waits,
    guesses_at_an_enrolment_count_like_any_others,
    a_hundred_wrong_guesses_at_an_enrolment_do_not_end_enrolling,
    guesses_at_an_enrolment_do_not_count_for_a_number_confirmed_before,
    switching_on_twice_at_once_makes_one_set_of_codes,
);

async fn state(session: &Session) -> TwoFactorState {
    session.two_factor_state().await.unwrap().state()
}

async fn until_the_code_is_right_nothing_has_changed(world: World) {
    let user = world.user("ada").await;
    let other = world.sign_in(&user).await;
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.stage, SessionStage::SignedIn);
    assert_eq!(state(&session).await, TwoFactorState::Off);
    assert!(!session.who().await.unwrap().second_factor_active);
    assert_eq!(
        refused(session.send_step_up().await),
        "two_factor.not_active"
    );
    assert_eq!(
        refused(session.remake_codes().await),
        "two_factor.not_active"
    );
    assert_eq!(refused(session.disable().await), "two_factor.not_active");
    assert_eq!(
        refused(session.change_number(NUMBER).await),
        "two_factor.not_active"
    );
    assert_eq!(refused(session.verify("123456").await), "code.none");

    session.enable(NUMBER, &new_key()).await.unwrap();
    assert_eq!(state(&session).await, TwoFactorState::Pending);
    assert!(!session.who().await.unwrap().second_factor_active);
    assert_eq!(
        state(&other).await,
        TwoFactorState::Off,
        "pending in its own session"
    );
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);

    let verified = session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_eq!(verified.recovery_codes.len(), 10);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, NUMBER);
    assert_eq!(now.recovery_codes_left, 10);
    let who = session.who().await.unwrap();
    assert_eq!((who.assurance, who.second_factor_active), (2, true));
    assert_eq!(
        refused(other.who().await),
        "session.expired",
        "other sessions have ended"
    );
    assert_eq!(
        world.sign_in(&user).await.stage,
        SessionStage::AwaitingSecondFactor
    );
    assert_eq!(
        refused(session.enable(NUMBER, &new_key()).await),
        "two_factor.already_active"
    );
    assert_eq!(
        refused(session.enable(OTHER_NUMBER, &new_key()).await),
        "two_factor.already_active"
    );
    world.log.wait_for("two_factor_pending", 1).await;
    let enabled = world.log.wait_for("two_factor_enabled", 1).await;
    assert!(
        enabled[0]
            .details
            .values()
            .all(|value| !value.contains("612345678"))
    );
    assert_eq!(
        world.otp.notices(1).await,
        [(Notice::TwoFactorOn, NUMBER.to_owned())]
    );
    world.end().await;
}

async fn leaving_drops_what_is_pending(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    session.cancel().await.unwrap();
    session.enable(NUMBER, &new_key()).await.unwrap();
    session.cancel().await.unwrap();
    session.cancel().await.unwrap();
    assert_eq!(state(&session).await, TwoFactorState::Off);
    let code = world.otp.newest_code(NUMBER);
    assert_eq!(refused(session.verify(&code).await), "code.none");
    assert_eq!(refused(session.resend().await), "code.none");
    assert_eq!(world.rows("factors").await, 0);
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    world.end().await;
}

async fn ten_minutes_drop_what_is_pending(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    session.enable(NUMBER, &new_key()).await.unwrap();
    world.advance_minutes(10);
    assert_eq!(state(&session).await, TwoFactorState::Off);
    let code = world.otp.newest_code(NUMBER);
    assert_eq!(refused(session.verify(&code).await), "code.expired");
    assert_eq!(refused(session.resend().await), "code.none");
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    assert_eq!(world.rows("factors").await, 0);
    world.end().await;
}

async fn only_the_newest_pending_number_can_be_confirmed(world: World) {
    let user = world.user("ada").await;
    let first = world.sign_in(&user).await;
    let mut second = world.sign_in(&user).await;
    // Even where otp-api never hears that the older challenges are over.
    world.otp.ignore_cancels();
    first.enable(NUMBER, &new_key()).await.unwrap();
    second.enable(NUMBER, &new_key()).await.unwrap();
    let codes: Vec<_> = world
        .otp
        .sent()
        .iter()
        .map(|sms| sms.code.clone())
        .collect();
    assert_eq!(state(&first).await, TwoFactorState::Off);
    assert_eq!(refused(first.verify(&codes[0]).await), "code.none");
    assert_eq!(world.rows("factors").await, 0);
    assert_eq!(world.rows("used_challenges").await, 0);

    second.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    assert_eq!(refused(second.verify(&codes[1]).await), "code.wrong");
    second
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    let now = second.two_factor_state().await.unwrap();
    assert_eq!(now.confirmed_number, OTHER_NUMBER);
    world.end().await;
}

async fn another_code_of_the_session_drops_what_is_pending(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    let code = world.otp.newest_code(OTHER_NUMBER);
    session.send_step_up().await.unwrap();
    assert_eq!(refused(session.verify(&code).await), "code.wrong");
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_eq!(world.rows("pending_enrolments").await, 0);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.confirmed_number, NUMBER);
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn a_confirmed_and_unchanged_number_needs_no_code(world: World) {
    let (user, mut session, codes) = world.enrolled("ada").await;
    session.disable().await.unwrap();
    assert_eq!(state(&session).await, TwoFactorState::Off);
    let other = world.sign_in(&user).await;
    assert_eq!(other.stage, SessionStage::SignedIn);
    world.advance_minutes(6);
    let stale = refused(session.enable(NUMBER, &new_key()).await);
    assert_eq!(stale, "password_confirmation_required");
    session.confirm_password().await;
    let sent = world.otp.sent().len();
    let answer = session.enable(NUMBER, &new_key()).await.unwrap();
    assert!(answer.active && answer.challenge.is_none());
    assert_eq!(answer.recovery_codes.len(), 10);
    assert!(
        answer
            .recovery_codes
            .iter()
            .all(|code| !codes.contains(code))
    );
    assert_eq!(world.otp.sent().len(), sent);
    assert_eq!(refused(session.who().await), "session.expired");
    session.token = answer.session_token;
    assert_eq!(state(&session).await, TwoFactorState::Active);
    assert_eq!(refused(other.who().await), "session.expired");
    world.signed_in_twice(&user, NUMBER).await;

    // Another number needs a code, and then takes the confirmed one's place.
    session.confirm_password().await;
    session.step_up(&world, NUMBER).await;
    session.disable().await.unwrap();
    let answer = session.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    assert!(!answer.active);
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    session.disable().await.unwrap();
    let answer = session.enable(NUMBER, &new_key()).await.unwrap();
    assert!(!answer.active, "the earlier number is confirmed no more");
    world.end().await;
}

async fn binding_a_number_needs_the_password_fresh(world: World) {
    let user = world.user("ada").await;
    let mut session = world.sign_in(&user).await;
    world.advance_minutes(6);
    let refusal = refused(session.enable(NUMBER, &new_key()).await);
    assert_eq!(refusal, "password_confirmation_required");
    assert!(world.otp.sent().is_empty());
    session.confirm_password().await;
    assert_eq!(
        refused(session.enable(NUMBER, "").await),
        "idempotency.required"
    );
    session.enrol(&world.otp, NUMBER).await;
    world.end().await;
}

async fn numbers_that_take_no_sms_are_refused_before_any_is_sent(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    for (number, reason, field) in [
        ("0612345678", "phone.country_required", "country"),
        ("", "phone.country_required", "country"),
        ("+336123", "phone.invalid", "mobile_number"),
        ("+33140205050", "phone.not_sms_capable", "mobile_number"),
    ] {
        let refusal = refusal(session.enable(number, &new_key()).await);
        assert_eq!(refusal.reason, reason, "{number:?}");
        assert_eq!(refusal.fields[0].0, field);
    }
    assert!(world.otp.sent().is_empty());
    assert_eq!(state(&session).await, TwoFactorState::Off);
    world.end().await;
}

async fn one_live_enrolment_of_a_licensed_user_is_trusted(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let trusted = || world.otp.newest_create().trusted;
    session.enable(NUMBER, "one").await.unwrap();
    assert!(trusted());
    session.enable(NUMBER, "one").await.unwrap();
    assert_eq!(world.otp.sent().len(), 1, "one click, one SMS");
    session.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    assert!(!trusted(), "a second number while the first is live");
    session.cancel().await.unwrap();
    session.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    assert!(trusted());

    let unlicensed = world.user_with("bob", |user| user.licensed = false).await;
    let session = world.sign_in(&unlicensed).await;
    session.enable(NUMBER, &new_key()).await.unwrap();
    assert!(!trusted());
    world.end().await;
}

async fn three_users_may_share_a_number(world: World) {
    for name in ["ada", "bob"] {
        world.enrolled(name).await;
    }
    let (fourth, third) = (world.user("dan").await, world.user("eve").await);
    let mut fourth = world.sign_in(&fourth).await;
    fourth.enable(NUMBER, &new_key()).await.unwrap();
    let code_of_fourth = world.otp.newest_code(NUMBER);
    let mut third = world.sign_in(&third).await;
    third.enrol(&world.otp, NUMBER).await;
    let late = refusal(fourth.give(&code_of_fourth).await);
    assert_eq!(late.reason, "phone.in_use");
    assert_eq!(late.fields[0].0, "mobile_number");
    assert_eq!(state(&fourth).await, TwoFactorState::Pending);
    let sent = world.otp.sent().len();
    assert_eq!(
        refused(fourth.enable(NUMBER, &new_key()).await),
        "phone.in_use"
    );
    assert_eq!(world.otp.sent().len(), sent, "refused before any SMS");
    fourth.enrol(&world.otp, OTHER_NUMBER).await;
    assert_eq!(refused(fourth.change_number(NUMBER).await), "phone.in_use");
    world.end().await;
}

async fn a_new_number_takes_over_when_its_code_is_given(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    assert_eq!(
        refused(session.change_number(NUMBER).await),
        "two_factor.already_active"
    );
    world.advance_minutes(6);
    let stale = refused(session.change_number(OTHER_NUMBER).await);
    assert_eq!(stale, "password_confirmation_required");
    session.confirm_password().await;
    assert_eq!(
        refused(session.change_number(OTHER_NUMBER).await),
        "step_up_required"
    );
    session.step_up(&world, NUMBER).await;

    session.change_number(OTHER_NUMBER).await.unwrap();
    assert_eq!(
        world.otp.sent().last().unwrap().purpose,
        OtpPurpose::NumberChange
    );
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    // Until then the old one works.
    let mut other = world.signed_in_twice(&user, NUMBER).await;
    let now = other.two_factor_state().await.unwrap();
    assert_eq!(now.confirmed_number, NUMBER);
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    assert_eq!(refused(other.who().await), "session.expired");
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.confirmed_number, OTHER_NUMBER);
    assert_eq!(now.recovery_codes_left, 10, "the recovery codes stay");
    other = world.awaiting(&user).await;
    other
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    assert_eq!(world.rows("factors").await, 2);
    world.log.wait_for("two_factor_number_changed", 1).await;
    let notices = world.otp.notices(2).await;
    assert!(
        notices.contains(&(Notice::NumberChanged, NUMBER.to_owned())),
        "{notices:?}"
    );
    world.end().await;
}

async fn after_a_new_number_a_code_alone_takes_nothing_away_for_a_day(world: World) {
    let (user, mut session, recovery) = world.enrolled("ada").await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    let refusal = refusal(session.disable().await);
    assert_eq!(refusal.reason, "two_factor.number_changed_lately");
    assert_eq!(refusal.retry_after.unwrap().as_secs(), 86_400);
    let remaking = refused(session.remake_codes().await);
    assert_eq!(remaking, "two_factor.number_changed_lately");
    session.recover(&recovery[0]).await.unwrap();
    assert_eq!(session.remake_codes().await.unwrap().len(), 10);
    // The recovery code counts for five minutes and in its own session.
    world.advance_minutes(6);
    session.confirm_password().await;
    session.step_up(&world, OTHER_NUMBER).await;
    assert_eq!(
        refused(session.disable().await),
        "two_factor.number_changed_lately"
    );
    world.advance_minutes(24 * 60 - 6);
    let mut later = world.signed_in_twice(&user, OTHER_NUMBER).await;
    later.disable().await.unwrap();
    world.end().await;
}

async fn a_short_password_is_lengthened_before_it_stands_alone(world: World) {
    let (_user, mut session, _) = world.enrolled("ada").await;
    session.change_password("plum-cart-9x").await;
    let refusal = refusal(session.disable().await);
    assert_eq!(refusal.reason, "two_factor.password_too_short");
    assert_eq!(refusal.get("minimum"), Some("15"));
    assert_eq!(state(&session).await, TwoFactorState::Active);
    session
        .change_password_from("plum-cart-9x", "plum cart and nine geese")
        .await;
    session.disable().await.unwrap();
    assert_eq!(state(&session).await, TwoFactorState::Off);
    world.end().await;
}

async fn signing_out_cancels_the_code_that_waits(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    assert_eq!(world.otp.cancelled(), 0);
    session.sign_out().await;
    assert_eq!(world.otp.cancelled(), 1);
    world.end().await;
}

async fn switching_off_needs_a_fresh_second_factor(world: World) {
    let (user, mut session, recovery) = world.enrolled("ada").await;
    world.advance_minutes(6);
    assert_eq!(
        refused(session.disable().await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    assert_eq!(refused(session.disable().await), "step_up_required");
    assert_eq!(refused(session.remake_codes().await), "step_up_required");
    session.send_step_up().await.unwrap();
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    assert_eq!(refused(session.disable().await), "step_up_required");
    let old = session.token.clone();
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_ne!(session.token, old, "a new token at every authentication");
    assert_eq!(session.remake_codes().await.unwrap().len(), 10);

    let other = world.signed_in_twice(&user, NUMBER).await;
    session.disable().await.unwrap();
    assert_eq!(refused(other.who().await), "session.expired");
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Off);
    assert_eq!(now.confirmed_number, NUMBER, "on file and confirmed");
    assert_eq!(now.recovery_codes_left, 0);
    assert_eq!(
        refused(session.recover(&recovery[0]).await),
        "two_factor.not_active"
    );
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    world.log.wait_for("two_factor_disabled", 1).await;
    world.log.wait_for("recovery_codes_remade", 1).await;
    let notices = world.otp.notices(3).await;
    let kinds: Vec<_> = notices.iter().map(|(notice, _)| *notice).collect();
    assert_eq!(
        kinds,
        [
            Notice::TwoFactorOn,
            Notice::RecoveryCodesRemade,
            Notice::TwoFactorOff
        ]
    );
    world.end().await;
}

async fn policy_forbids_switching_off(world: World) {
    let (mut user, mut session, _) = world.enrolled("ada").await;
    user.projection.two_factor_required = true;
    user.projection.version += 1;
    world.put(&user).await;
    assert!(session.two_factor_state().await.unwrap().required_by_policy);
    assert_eq!(
        refused(session.disable().await),
        "two_factor.required_by_policy"
    );
    assert_eq!(state(&session).await, TwoFactorState::Active);
    world.end().await;
}

async fn guesses_at_an_enrolment_count_like_any_others(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world.otp.set_tries(1000);
    session.enable(NUMBER, &new_key()).await.unwrap();
    let mut guesses = JoinSet::new();
    for _ in 0..60 {
        let session = session.clone();
        guesses.spawn(async move { refused(session.verify(WRONG).await) });
    }
    let answers = guesses.join_all().await;
    let wrong = answers
        .iter()
        .filter(|reason| *reason == "code.wrong")
        .count();
    assert_eq!(wrong, 15, "{answers:?}");
    assert_eq!(
        refused(session.enable(OTHER_NUMBER, &new_key()).await),
        "second_factor.locked"
    );
    let locked = session.two_factor_state().await.unwrap();
    assert!(locked.locked_until.is_some());
    assert_eq!(world.sign_in(&user).await.stage, SessionStage::SignedIn);
    world.end().await;
}

async fn set_failures(world: &World, failures: u32) {
    let sql = format!("UPDATE second_steps SET failures = {failures}");
    let connection = world.database.connection();
    connection.execute_unprepared(&sql).await.unwrap();
}

async fn a_hundred_wrong_guesses_at_an_enrolment_do_not_end_enrolling(world: World) {
    let user = world.user("ada").await;
    world.otp.set_tries(1000);
    let mut session = world.sign_in(&user).await;
    session.enable(NUMBER, &new_key()).await.unwrap();
    set_failures(&world, 99).await;
    for hour in 1..=3 {
        let mut guesses = JoinSet::new();
        for _ in 0..20 {
            let session = session.clone();
            guesses.spawn(async move { refused(session.verify(WRONG).await) });
        }
        let answers = guesses.join_all().await;
        let wrong = answers.iter().filter(|reason| *reason == "code.wrong");
        assert_eq!(wrong.count(), 1, "{answers:?}");
        let step = world.step(&user).await;
        assert_eq!((step.failures, step.disabled_at), (100, None));
        let locks = world.log.wait_for("authn_second_factor_lock", hour).await;
        assert_eq!(locks[hour - 1].details["seconds"], "3600");
        world.advance_minutes(59);
        session = world.sign_in(&user).await;
        assert_eq!(session.stage, SessionStage::SignedIn);
        let locked = refusal(session.enable(NUMBER, &new_key()).await);
        assert_eq!(locked.reason, "second_factor.locked");
        assert_eq!(locked.retry_after.unwrap().as_secs(), 60);
        world.advance_minutes(1);
        session.enable(NUMBER, &new_key()).await.unwrap();
    }
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert_eq!(world.step(&user).await.failures, 0);
    world.signed_in_twice(&user, NUMBER).await;
    assert!(world.log.of_type("authn_second_factor_disabled").is_empty());
    world.end().await;
}

async fn guesses_at_an_enrolment_do_not_count_for_a_number_confirmed_before(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    session.disable().await.unwrap();
    set_failures(&world, 100).await;
    assert!(session.enable(NUMBER, &new_key()).await.unwrap().active);
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn switching_on_twice_at_once_makes_one_set_of_codes(world: World) {
    let (_, mut session, _) = world.enrolled("ada").await;
    session.disable().await.unwrap();
    let mut clicks = JoinSet::new();
    for _ in 0..10 {
        let session = session.clone();
        clicks.spawn(async move { session.enable(NUMBER, &new_key()).await.is_ok() });
    }
    let done = clicks.join_all().await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 1);
    assert_eq!(world.rows("recovery_codes").await, 10);
    world.end().await;
}

/// On SQLite the writing transactions follow one another, so there is nothing to wait for within.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_binds_a_number_waits_for_sign_ins_under_way() {
    let world = World::start(Backend::Postgres).await;
    let user = world.user("ada").await;
    let mut session = world.sign_in(&user).await;
    session.enable(NUMBER, &new_key()).await.unwrap();
    for activation in ["by a code", "at once"] {
        let sign_in = world.database.begin().await.unwrap();
        let hold = "SELECT 1 FROM users FOR UPDATE";
        sign_in.execute_unprepared(hold).await.unwrap();
        let (mut ours, code) = (session.clone(), world.otp.newest_code(NUMBER));
        let call = tokio::spawn(async move {
            if activation == "by a code" {
                ours.give(&code).await.unwrap();
            } else {
                let answer = ours.enable(NUMBER, &new_key()).await.unwrap();
                assert!(answer.active);
            }
            ours
        });
        assert!(world.waits(&call).await, "{activation}");
        sign_in.commit().await.unwrap();
        session = call.await.unwrap();
        if activation == "by a code" {
            session.disable().await.unwrap();
        }
    }
    world.end().await;
}
