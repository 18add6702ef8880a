//! Whom changes are told to.

use sallyport_proto::otp::v1::Notice;

use crate::world::{NUMBER, OTHER_NUMBER, WRONG, World, refused};

on_both_databases!(a_change_of_number_is_told_by_mail_and_to_the_old_number);

async fn a_change_of_number_is_told_by_mail_and_to_the_old_number(world: World) {
    let (user, mut session, _) = world.enrolled("ada").await;
    session.change_number(OTHER_NUMBER).await.unwrap();
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    session
        .give(&world.otp.newest_code(OTHER_NUMBER))
        .await
        .unwrap();
    let changed = "Your codes go to another number";
    let mail = world.mail(&user, changed, 1).await;
    assert_eq!(mail.to, user.email);
    for number in [NUMBER, OTHER_NUMBER] {
        assert!(!mail.text.contains(&number[1..]), "{}", mail.text);
    }
    // All that is to be told has left.
    while world.rows("outbox WHERE topic = 'notices'").await > 0 {
        tokio::task::yield_now().await;
    }
    let old = NUMBER.to_owned();
    assert_eq!(
        world.otp.notices(2).await,
        [
            (Notice::TwoFactorOn, old.clone()),
            (Notice::NumberChanged, old)
        ]
    );
    world.end().await;
}
