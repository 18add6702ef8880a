//! Hashes that no password can be compared with: the key of their pepper was taken out of the ring too
//! early, or they are none of ours.

use tonic::Code;

use crate::meters::meters;
use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, User, World, newest_link, reason};

on_both_databases!(
    without_its_pepper_a_password_is_answered_like_nobodys,
    whoever_is_signed_in_is_told_of_trouble_and_a_link_mends_it,
    a_malformed_hash_is_answered_like_nobodys_and_a_link_mends_it,
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

/// Signs in as the user and as nobody: the same answer, for the same work, and a failure of each.
async fn answered_like_nobody(world: &World, user: &User) {
    let hashed = "password_hash_seconds";
    let before = meters().count(hashed);
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
        meters().wait_for(hashed, before + done).await;
    }
    assert_eq!(answers[0], answers[1]);
    let counted = "SELECT COUNT(*) FROM guess_subjects WHERE failures = 1";
    assert_eq!(world.value::<i64>(counted).await, 2, "each is a failure");
    let failures = world.log.wait_for("authn_login_fail", 1).await;
    assert_eq!(failures[0].target, user.id.to_string());
}

async fn without_its_pepper_a_password_is_answered_like_nobodys(mut world: World) {
    let user = without_pepper(&mut world, "ada").await;
    let missing = "password_pepper_missing_total";
    let before = meters().count(missing);
    answered_like_nobody(&world, &user).await;
    // Operators see what the answer does not tell.
    assert!(meters().count(missing) > before);
    world.end().await;
}

async fn whoever_is_signed_in_is_told_of_trouble_and_a_link_mends_it(mut world: World) {
    let user = world.user("ada").await;
    let token = world.sign_in(&user).await.token;
    without_pepper(&mut world, "eve").await;
    let session = world.session(&token);
    let status = session.confirm(PASSWORD).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    mended_by_link(&world, &user, 1).await;
    world.end().await;
}

/// Sets another password by the link in the newest mail, which is the n-th, and signs in with it.
async fn mended_by_link(world: &World, user: &User, nth: usize) {
    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, nth).await;
    world
        .set_by_link(&newest_link(&mails), OTHER_PASSWORD)
        .await
        .unwrap();
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
}

async fn a_malformed_hash_is_answered_like_nobodys_and_a_link_mends_it(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let mails = world.all_mails(&user.email).await.len();
    world.execute("UPDATE passwords SET hash = 'hunter2'").await;
    answered_like_nobody(&world, &user).await;
    // Whoever is signed in waits for no guess of his that nobody could judge.
    for _ in 0..6 {
        let status = session.confirm(PASSWORD).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }
    mended_by_link(&world, &user, mails + 1).await;
    world.end().await;
}
