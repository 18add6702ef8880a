//! "My phone is lost", said after the password.

use sallyport_proto::identity::v1::{SessionStage, TwoFactorState};
use sallyport_proto::otp::v1::Notice;

use crate::world::{NUMBER, OTHER_NUMBER, PASSWORD, World, new_key, refused};

on_both_databases!(
    a_lost_phone_signs_in_no_more_and_sign_in_asks_as_before,
    what_was_open_ends_with_the_report,
    the_report_gives_no_access_of_its_own,
    a_repeated_report_takes_nothing_more_and_tells_nobody,
    after_the_report_a_mailed_link_enrols_anew,
);

const REPORTED: &str = "Your phone was reported lost";

async fn a_lost_phone_signs_in_no_more_and_sign_in_asks_as_before(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    let session = world.awaiting(&user).await;
    let right = world.otp.newest_code(NUMBER);
    session.report_lost().await.unwrap();
    assert_eq!(world.otp.cancelled(), 1, "the code that waits is not sent");
    assert_eq!(refused(session.verify(&right).await), "code.none");
    assert_eq!(refused(session.resend().await), "code.none");
    for session in [session, world.sign_in(&user).await] {
        assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);
        assert_eq!(
            refused(session.send_sign_in(&new_key()).await),
            "second_factor.disabled"
        );
    }
    world.advance_minutes(24 * 60);
    let mut session = world.sign_in(&user).await;
    assert_eq!(session.stage, SessionStage::AwaitingSecondFactor);

    assert_eq!(session.recover(&recovery[0]).await.unwrap(), 9);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Disabled);
    assert_eq!(now.confirmed_number, "", "it has to be proved again");
    // With the recovery code fresh, another number takes its place.
    session.enrol(&world.otp, OTHER_NUMBER).await;
    world.signed_in_twice(&user, OTHER_NUMBER).await;
    assert_eq!(
        world
            .rows("factors WHERE end_reason = 'reported_lost'")
            .await,
        1
    );
    world.end().await;
}

async fn what_was_open_ends_with_the_report(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut remembering = world.awaiting(&user).await;
    let code = world.otp.newest_code(NUMBER);
    let browser = remembering.give_and_remember(&code).await;
    // Whoever found the phone and knows the password is at the code page, or already beyond.
    let finder = world.awaiting(&user).await;
    let his_code = world.otp.newest_code(NUMBER);
    let beyond = world.signed_in_twice(&user, NUMBER).await;
    beyond.change_number(OTHER_NUMBER).await.unwrap();

    let session = world.sign_in(&user).await;
    session.report_lost().await.unwrap();
    assert_eq!(refused(finder.verify(&his_code).await), "session.expired");
    let new = world.otp.newest_code(OTHER_NUMBER);
    assert_eq!(refused(beyond.verify(&new).await), "session.expired");
    assert_eq!(refused(remembering.who().await), "session.expired");
    assert_eq!(world.rows("pending_enrolments").await, 0);
    let again = world.sign_in_with(&user, PASSWORD, &browser).await;
    assert_eq!(again.stage, SessionStage::AwaitingSecondFactor);

    let events = world.log.wait_for("two_factor_phone_lost", 1).await;
    assert_eq!(events[0].target, user.id.to_string());
    assert_eq!(events[0].details["number_ending"], "78");
    world.mail(&user, REPORTED, 1).await;
    let notices = world.otp.notices(3).await;
    assert!(
        notices.contains(&(Notice::PhoneLost, NUMBER.to_owned())),
        "{notices:?}"
    );
    world.end().await;
}

async fn the_report_gives_no_access_of_its_own(world: World) {
    let (user, signed_in, _) = world.enrolled("ada").await;
    assert_eq!(refused(signed_in.report_lost().await), "session.signed_in");
    let session = world.sign_in(&user).await;
    let token = session.token.clone();
    session.report_lost().await.unwrap();
    let who = session.who().await.unwrap();
    assert_eq!(session.token, token, "no authentication, no new token");
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    assert_eq!((who.assurance, who.may_enrol), (1, false));
    for reason in [
        refused(session.two_factor_state().await),
        refused(session.enable(OTHER_NUMBER, &new_key()).await),
        refused(session.remake_codes().await),
        refused(session.clone().disable().await),
    ] {
        assert_eq!(reason, "second_factor_required");
    }
    let mut bad = session.clone();
    bad.token.push('x');
    assert_eq!(refused(bad.report_lost().await), "session.expired");
    world.end().await;
}

async fn a_repeated_report_takes_nothing_more_and_tells_nobody(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    let session = world.sign_in(&user).await;
    for _ in 0..3 {
        session.report_lost().await.unwrap();
    }
    // A session that a recovery code opened meanwhile is something to take away.
    let mut recovered = world.sign_in(&user).await;
    recovered.recover(&recovery[0]).await.unwrap();
    session.report_lost().await.unwrap();
    assert_eq!(refused(recovered.who().await), "session.expired");
    world.mail(&user, REPORTED, 2).await;
    let events = world.log.wait_for("two_factor_phone_lost", 2).await;
    assert_eq!(events.len(), 2);
    world.end().await;
}

async fn after_the_report_a_mailed_link_enrols_anew(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let mut session = world.sign_in(&user).await;
    assert_eq!(
        refused(session.send_link().await),
        "second_factor.not_disabled"
    );
    session.report_lost().await.unwrap();
    session.send_link().await.unwrap();
    let link = world.enrolment_link(&user, 1).await;
    session.use_link(&link).await.unwrap();
    let codes = session.enrol(&world.otp, OTHER_NUMBER).await;
    assert_eq!(codes.len(), 10);
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.state(), TwoFactorState::Active);
    assert_eq!(now.confirmed_number, OTHER_NUMBER);
    // The phone that was reported is told of link and change: it may not be lost at all.
    let notices = world.otp.notices(5).await;
    for notice in [
        Notice::PhoneLost,
        Notice::EnrolmentLink,
        Notice::NumberChanged,
    ] {
        let told = notices.contains(&(notice, NUMBER.to_owned()));
        assert!(told, "{notice:?}: {notices:?}");
    }
    world.end().await;
}
