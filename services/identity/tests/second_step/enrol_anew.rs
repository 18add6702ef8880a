//! Enrolling a disabled factor anew by a mailed link, and what limits leave in the log.

use std::time::Duration;

use sallyport_proto::admin::v1::EventResult;
use sallyport_proto::identity::v1::{SessionStage, TwoFactorState};
use sallyport_proto::otp::v1::Notice;

use crate::attempts::guess;
use crate::world::{
    NUMBER, OTHER_NUMBER, PASSWORD, Session, User, WRONG, World, new_key, refusal, refused,
};

on_both_databases!(
    a_link_and_the_password_enrol_a_disabled_factor_anew,
    while_codes_work_no_link_is_sent,
    a_mailed_password_and_a_mailed_link_are_not_enough,
    a_right_second_factor_since_makes_the_link_enough_again,
    the_old_number_hears_of_all_of_it,
    a_link_works_once_for_its_user_and_for_an_hour,
    links_are_limited_by_the_hour,
    what_the_link_opens_is_enrolment_alone,
    a_wrong_number_can_be_typed_again_and_guesses_still_count,
    what_limits_refuse_is_logged_once_a_minute,
);

const MAILED: &str = "seventeen red geese fly";

/// A user whose factor a hundred wrong codes have disabled, and a session that awaits it.
async fn disabled(world: &World, name: &str) -> (User, Session) {
    let (user, _, _) = world.enrolled(name).await;
    let session = guess_until_disabled(world, &user, PASSWORD).await;
    (user, session)
}

async fn guess_until_disabled(world: &World, user: &User, password: &str) -> Session {
    let mut session = world.sign_in_with(user, password, "").await;
    for minutes in [15, 30, 60, 60, 60, 60] {
        guess(world, &session, 15).await;
        world.advance_minutes(minutes);
        session = world.sign_in_with(user, password, "").await;
    }
    guess(world, &session, 10).await;
    assert!(world.step(user).await.disabled_at.is_some());
    world.otp.set_tries(5);
    session
}

async fn a_link_and_the_password_enrol_a_disabled_factor_anew(world: World) {
    let (user, asking) = disabled(&world, "ada").await;
    asking.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    world.log.wait_for("two_factor_link_requested", 1).await;
    // In another browser, as mails are often read.
    let mut session = world.sign_in(&user).await;
    let before = session.token.clone();
    session.use_link(&link).await.unwrap();
    assert_ne!(session.token, before, "a new token");
    let who = session.who().await.unwrap();
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    assert!(who.may_enrol, "and still not signed in");

    let codes = session.enrol(&world.otp, OTHER_NUMBER).await;
    assert_eq!(codes.len(), 10);
    let who = session.who().await.unwrap();
    assert_eq!((who.stage(), who.assurance), (SessionStage::SignedIn, 2));
    assert!(!who.may_enrol);
    let state = session.two_factor_state().await.unwrap();
    assert_eq!(state.state(), TwoFactorState::Active);
    assert_eq!(state.confirmed_number, OTHER_NUMBER);
    assert_eq!(refused(asking.who().await), "session.expired");
    world.signed_in_twice(&user, OTHER_NUMBER).await;
    let used = world.log.wait_for("two_factor_link_used", 1).await;
    assert_eq!(used[0].target, user.id.to_string());
    world.end().await;
}

async fn while_codes_work_no_link_is_sent(world: World) {
    let (user, signed_in, _) = world.enrolled("ada").await;
    assert_eq!(refused(signed_in.send_link().await), "session.signed_in");
    let session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    // Nor while they are locked, which ends by itself.
    guess(&world, &session, 15).await;
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    assert_eq!(world.rows("links WHERE purpose = 'enrolment'").await, 0);
    world.end().await;
}

async fn a_mailed_password_and_a_mailed_link_are_not_enough(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    world.reset_password(&user, MAILED).await;
    let mut session = guess_until_disabled(&world, &user, MAILED).await;
    assert_eq!(refused(session.send_link().await), "link.password_by_mail");
    assert_eq!(world.rows("links WHERE purpose = 'enrolment'").await, 0);
    // A recovery code is a way on, and enough to enrol anew.
    session.recover(&recovery[0]).await.unwrap();
    session.enrol(&world.otp, OTHER_NUMBER).await;
    world.end().await;
}

async fn a_right_second_factor_since_makes_the_link_enough_again(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    world.reset_password(&user, MAILED).await;
    let mut session = world.sign_in_with(&user, MAILED, "").await;
    session.send_sign_in(&new_key()).await.unwrap();
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    let session = guess_until_disabled(&world, &user, MAILED).await;
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    // But not where the mailbox sets the password again before the link is used.
    let mut session = world.sign_in_with(&user, MAILED, "").await;
    world.reset_password_for_the(2, &user, PASSWORD).await;
    assert_eq!(refused(session.use_link(&link).await), "session.expired");
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.use_link(&link).await),
        "link.password_by_mail"
    );
    world.end().await;
}

async fn the_old_number_hears_of_all_of_it(world: World) {
    let (user, session) = disabled(&world, "ada").await;
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    let mut session = world.sign_in(&user).await;
    session.use_link(&link).await.unwrap();
    session.enrol(&world.otp, OTHER_NUMBER).await;
    // On, six locks, disabled, the link, changed; and on again, at the new one.
    let notices = world.otp.notices(11).await;
    let told = |number: &str| {
        let to = notices.iter().filter(|(_, to)| to == number);
        to.map(|(notice, _)| *notice).collect::<Vec<_>>()
    };
    let old = told(NUMBER);
    for notice in [
        Notice::FactorDisabled,
        Notice::EnrolmentLink,
        Notice::NumberChanged,
    ] {
        assert_eq!(old.iter().filter(|told| **told == notice).count(), 1);
    }
    assert_eq!(told(OTHER_NUMBER), [Notice::TwoFactorOn]);
    // For a day a code to the new number alone takes nothing away.
    assert_eq!(
        refused(session.disable().await),
        "two_factor.number_changed_lately"
    );
    world.end().await;
}

async fn a_link_works_once_for_its_user_and_for_an_hour(world: World) {
    let (ada, session) = disabled(&world, "ada").await;
    let (_, mut other) = disabled(&world, "bob").await;
    let session = {
        drop(session);
        world.sign_in(&ada).await
    };
    session.send_link().await.unwrap();
    let old = world.enrolment_link(&ada, 1).await;
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&ada, 2).await;
    assert_eq!(refused(other.use_link(&link).await), "link.invalid");
    let mut first = world.sign_in(&ada).await;
    assert_eq!(refused(first.use_link(&old).await), "link.invalid");
    assert_eq!(refused(first.use_link("spl_nothing").await), "link.invalid");
    let mut second = world.sign_in(&ada).await;
    first.use_link(&link).await.unwrap();
    assert_eq!(refused(second.use_link(&link).await), "link.invalid");
    assert!(!second.who().await.unwrap().may_enrol);

    session.send_link().await.unwrap();
    let late = world.enrolment_link(&ada, 3).await;
    world.advance_minutes(60);
    let mut session = world.sign_in(&ada).await;
    assert_eq!(refused(session.use_link(&late).await), "link.invalid");
    world.end().await;
}

async fn links_are_limited_by_the_hour(world: World) {
    let (user, session) = disabled(&world, "ada").await;
    for _ in 0..5 {
        session.send_link().await.unwrap();
        world.advance_minutes(1);
    }
    let limit = refusal(session.send_link().await);
    assert_eq!(limit.reason, "link.limit");
    assert_eq!(limit.retry_after, Some(Duration::from_secs(55 * 60)));
    assert_eq!(world.rows("links WHERE purpose = 'enrolment'").await, 5);
    world.advance_minutes(55);
    let session = world.sign_in(&user).await;
    session.send_link().await.unwrap();
    world.end().await;
}

async fn what_the_link_opens_is_enrolment_alone(world: World) {
    let (user, session) = disabled(&world, "ada").await;
    assert_eq!(
        refused(session.enable(NUMBER, &new_key()).await),
        "second_factor_required"
    );
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    assert_eq!(
        refused(world.set_password_by_link(&link, PASSWORD).await),
        "link.invalid"
    );
    let mut session = world.sign_in(&user).await;
    session.use_link(&link).await.unwrap();
    for answer in [
        refused(session.two_factor_state().await),
        refused(session.change_number(OTHER_NUMBER).await),
        refused(session.clone().disable().await),
        refused(session.remake_codes().await),
        refused(session.send_step_up().await),
    ] {
        assert_eq!(answer, "second_factor_required");
    }
    assert_eq!(
        refused(session.send_sign_in(&new_key()).await),
        "second_factor.disabled"
    );
    // The password must be fresh, as for every binding of a number.
    world.advance_minutes(6);
    assert_eq!(
        refused(session.enable(NUMBER, &new_key()).await),
        "password_confirmation_required"
    );
    session.confirm_password().await;
    session.enrol(&world.otp, NUMBER).await;
    world.end().await;
}

async fn a_wrong_number_can_be_typed_again_and_guesses_still_count(world: World) {
    let (user, session) = disabled(&world, "ada").await;
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    let mut session = world.sign_in(&user).await;
    session.use_link(&link).await.unwrap();
    session.enable(OTHER_NUMBER, &new_key()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    session.cancel().await.unwrap();
    session.enable(NUMBER, &new_key()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    assert_eq!(world.step(&user).await.failures, 6, "one count for both");
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    let state = session.two_factor_state().await.unwrap();
    assert_eq!(state.confirmed_number, NUMBER);
    world.end().await;
}

async fn what_limits_refuse_is_logged_once_a_minute(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    world.otp.set_tries(100);
    let session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    for _ in 0..15 {
        assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    }
    for _ in 0..3 {
        assert_eq!(
            refused(session.verify(&right).await),
            "second_factor.locked"
        );
        assert_eq!(refused(session.resend().await), "second_factor.locked");
    }
    world.advance_minutes(1);
    assert_eq!(
        refused(session.verify(&right).await),
        "second_factor.locked"
    );
    // The last of what is awaited comes in the order in which it happened.
    let failures = world.log.wait_for("authn_second_factor_fail", 17).await;
    let locked: Vec<_> = failures
        .iter()
        .filter(|event| event.reason == "second_factor.locked")
        .collect();
    assert_eq!(locked.len(), 2, "one for each minute");
    assert!(locked.iter().all(|event| {
        event.result() == EventResult::Refused && event.target == user.id.to_string()
    }));
    assert_eq!(failures.len(), 17);
    let unsent = world.log.wait_for("code_not_sent", 1).await;
    assert_eq!(unsent[0].reason, "second_factor.locked");
    assert_eq!(unsent.len(), 1);
    world.end().await;
}
