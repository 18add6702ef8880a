//! Following a challenge.

use sallyport_proto::identity::v1::{MessageState, Purpose};
use sallyport_proto::otp::v1::MessageState as OtpMessageState;

use crate::world::{NUMBER, World, new_key, refused};

on_both_databases!(a_session_follows_its_challenge_in_one_stream);

async fn a_session_follows_its_challenge_in_one_stream(world: World) {
    let (user, _, _) = world.enrolled("ada").await;
    let session = world.sign_in(&user).await;
    assert_eq!(refused(session.watch().await), "code.none");
    session.send_sign_in(&new_key()).await.unwrap();
    let mut first = session.watch().await.unwrap();
    let queued = first.message().await.unwrap().unwrap().challenge.unwrap();
    assert_eq!(queued.message_state(), MessageState::Queued);
    assert_eq!(queued.purpose(), Purpose::SignIn);
    assert_eq!(queued.number_ending, "78");
    world.otp.deliver_newest(OtpMessageState::Delivered);
    let delivered = first.message().await.unwrap().unwrap().challenge.unwrap();
    assert_eq!(delivered.message_state(), MessageState::Delivered);

    let mut second = session.watch().await.unwrap();
    assert!(
        first.message().await.unwrap().is_none(),
        "the newer stream ends the older"
    );
    assert!(second.message().await.unwrap().is_some());
    session.sign_out().await;
    assert!(
        second.message().await.unwrap().is_none(),
        "no stream outlives its session"
    );

    // A used code ends it, too, and so does the service's end.
    let mut session = world.awaiting(&user).await;
    let mut stream = session.watch().await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    assert!(stream.message().await.unwrap().is_none());
    let last = world.awaiting(&user).await;
    let mut stream = last.watch().await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    world.end().await;
    assert!(!matches!(stream.message().await, Ok(Some(_))));
}
