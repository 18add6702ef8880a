//! Hashes whose pepper is gone: its key was taken out of the ring too early.

use tonic::Code;

use crate::meters::meters;
use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, User, World, link_of, reason};

on_both_databases!(
    without_its_pepper_a_password_is_answered_like_nobodys,
    whoever_is_signed_in_is_told_of_trouble_and_a_link_mends_it,
);

/// A user whose hash was peppered with a key that the ring no longer holds.
async fn without_pepper(world: &mut World, name: &str) -> User {
    let user = world.user(name).await;
    // The inbox does not outlive the restart: what is on its way arrives before.
    world.all_mails(&user.email).await;
    let ring = world.folder.path().join("keys/pepper.keys");
    let keys = std::fs::read_to_string(&ring).unwrap();
    assert!(keys.starts_with("k1 "));
    std::fs::write(&ring, keys.replacen("k1 ", "k2 ", 1)).unwrap();
    world.restart(|_| {}).await;
    user
}

async fn without_its_pepper_a_password_is_answered_like_nobodys(mut world: World) {
    let user = without_pepper(&mut world, "ada").await;
    let (hashed, missing) = ("password_hash_seconds", "password_pepper_missing_total");
    let before = (meters().count(hashed), meters().count(missing));
    let mut answers = Vec::new();
    for (done, email) in (1..).zip([user.email.as_str(), "nobody@example.com"]) {
        let status = world
            .try_sign_in(email, PASSWORD, ADDRESS, "")
            .await
            .unwrap_err();
        assert_eq!(reason::<()>(Err(status.clone())), "sign_in.failed");
        answers.push((
            status.code(),
            status.message().to_owned(),
            status.details().to_vec(),
        ));
        // The same work: a hash each.
        meters().wait_for(hashed, before.0 + done).await;
    }
    assert_eq!(answers[0], answers[1]);
    let counted = "SELECT COUNT(*) FROM guess_subjects WHERE failures = 1";
    assert_eq!(world.value::<i64>(counted).await, 2, "each is a failure");
    let failures = world.log.wait_for("authn_login_fail", 1).await;
    assert_eq!(failures[0].target, user.id.to_string());
    // Operators see what the answer does not tell.
    assert!(meters().count(missing) > before.1);
    world.end().await;
}

async fn whoever_is_signed_in_is_told_of_trouble_and_a_link_mends_it(mut world: World) {
    let user = world.user("ada").await;
    let token = world.sign_in(&user).await.token;
    without_pepper(&mut world, "eve").await;
    let session = world.session(&token);
    let status = session.confirm(PASSWORD).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 1).await;
    world
        .set_by_link(&link_of(&mails[0]), OTHER_PASSWORD)
        .await
        .unwrap();
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}
