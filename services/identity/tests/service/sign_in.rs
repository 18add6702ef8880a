//! E-mail and password.

use std::time::Duration;

use sallyport_chassis::keyring::token_hash;
use sallyport_proto::identity::v1::{SessionStage, UserStatus};
use tokio::task::JoinSet;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{ADDRESS, PASSWORD, World, reason, refusal};

on_both_databases!(
    whoever_knows_the_password_gets_a_session_that_tells_who,
    every_failure_has_the_same_answer,
    failures_are_logged_for_known_users_only,
    a_hash_grows_with_its_settings_and_moves_to_a_new_pepper,
    when_hashing_is_busy_the_guess_is_not_counted,
    a_new_store_holds_nobody,
);

async fn whoever_knows_the_password_gets_a_session_that_tells_who(world: World) {
    let user = world.user("ada").await;
    let opened = world
        .try_sign_in(" ADA@Example.COM ", PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    assert_eq!(opened.stage(), SessionStage::SignedIn);
    assert!(opened.session_token.starts_with("sps_"));
    let session = world.session(&opened.session_token).who().await.unwrap();
    assert_eq!(session.user_id, user.id.to_string());
    assert_eq!(session.organisation_id, user.projection.organisation_id);
    assert_eq!(session.permissions, ["user_management", "logs"]);
    assert_eq!(
        (session.stage(), session.assurance),
        (SessionStage::SignedIn, 1)
    );
    assert_eq!(
        (session.email.as_str(), session.locale.as_str()),
        ("ada@example.com", "en")
    );
    assert_eq!(session.second_factor_at, None);
    let day = session.expires_at.unwrap().seconds - session.password_at.unwrap().seconds;
    assert_eq!(day, 86_400);
    let stored: String = world.value("SELECT token_hash FROM sessions").await;
    assert_eq!(stored, token_hash(&opened.session_token));
    let success = world.log.wait_for("authn_login_success", 1).await;
    assert_eq!(success[0].actor, user.id.to_string());
    assert_eq!(
        (
            success[0].client_ip.as_str(),
            success[0].user_agent.as_str()
        ),
        (ADDRESS, "Firefox")
    );
    world.log.wait_for("session_created", 1).await;
    world.end().await;
}

async fn every_failure_has_the_same_answer(world: World) {
    world.user("wrong").await;
    let mut disabled = world.user("disabled").await;
    world
        .change(&mut disabled, |user| user.set_status(UserStatus::Disabled))
        .await;
    let mut deleted = world.user("deleted").await;
    world
        .change(&mut deleted, |user| user.set_status(UserStatus::Deleted))
        .await;
    world.invited("invited", |_| {}).await;
    let long = "a".repeat(5_000);
    let mut answers = Vec::new();
    for (email, password) in [
        ("wrong@example.com", "not the password"),
        ("wrong@example.com", ""),
        ("wrong@example.com", long.as_str()),
        ("nobody@example.com", PASSWORD),
        ("disabled@example.com", PASSWORD),
        ("deleted@example.com", PASSWORD),
        ("invited@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("", ""),
    ] {
        let status = world
            .try_sign_in(email, password, ADDRESS, "")
            .await
            .unwrap_err();
        assert_eq!(
            reason::<()>(Err(status.clone())),
            "sign_in.failed",
            "{email}"
        );
        answers.push((
            status.code(),
            status.message().to_owned(),
            status.details().to_vec(),
        ));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, Code::InvalidArgument);
    // Each wrote the same: an event and the counts.
    let counted: i64 = world.value("SELECT COUNT(*) FROM guess_subjects").await;
    assert_eq!(counted, 7, "one count an address, also where nobody has it");
    world.end().await;
}

/// Nobody has an account that nobody made.
async fn a_new_store_holds_nobody(world: World) {
    for email in ["admin", "root", "admin@example.com"] {
        let told = world.guess(email, ADDRESS).await;
        assert_eq!(refusal(&told).reason, "sign_in.failed", "{email}");
    }
    for table in ["users", "passwords", "sessions", "links"] {
        let rows: i64 = world.value(&format!("SELECT COUNT(*) FROM {table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
    world.end().await;
}

async fn failures_are_logged_for_known_users_only(world: World) {
    let user = world.user("ada").await;
    world.guess("nobody@example.com", ADDRESS).await;
    world.guess(&user.email, ADDRESS).await;
    let failures = world.log.wait_for("authn_login_fail", 1).await;
    assert_eq!(failures[0].target, user.id.to_string());
    assert_eq!(failures[0].actor, "", "a wrong password proves nobody");
    assert_eq!(failures[0].reason, "sign_in.failed");
    world.sign_in(&user).await;
    world.log.wait_for("authn_login_success", 1).await;
    assert_eq!(world.log.of_type("authn_login_fail").len(), 1);
    let left = "SELECT COUNT(*) FROM outbox WHERE topic = 'events'";
    while world.value::<i64>(left).await > 0 {
        tokio::task::yield_now().await;
    }
    world.end().await;
}

async fn a_hash_grows_with_its_settings_and_moves_to_a_new_pepper(mut world: World) {
    let user = world.user("ada").await;
    let hash = "SELECT hash FROM passwords";
    let changed = "SELECT changed_at FROM passwords";
    let (before, since): (String, i64) = (world.value(hash).await, world.value(changed).await);
    assert!(
        before.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{before}"
    );
    world.sign_in(&user).await;
    assert_eq!(
        world.value::<String>(hash).await,
        before,
        "nothing grew, nothing is written"
    );

    world
        .restart(|config| config.identity.password.passes = 3)
        .await;
    world.guess(&user.email, ADDRESS).await;
    assert_eq!(
        world.value::<String>(hash).await,
        before,
        "a wrong password rehashes nothing"
    );
    world.sign_in(&user).await;
    let grown: String = world.value(hash).await;
    assert!(grown.contains("t=3"), "{grown}");
    assert_eq!(
        world.value::<i64>(changed).await,
        since,
        "the password is the same"
    );

    let ring = world.folder.path().join("keys/pepper.keys");
    let old = std::fs::read_to_string(&ring).unwrap();
    let new = old.replace("k1 ", "k2 ").to_owned();
    let new: String = new.trim_end().chars().rev().collect();
    let (bytes, _) = new.split_once(' ').unwrap();
    std::fs::write(&ring, format!("k2 {}\n{old}", canonical(bytes))).unwrap();
    world.restart(|_| {}).await;
    let session = world.sign_in(&user).await;
    assert_eq!(
        world
            .value::<String>("SELECT pepper_key FROM passwords")
            .await,
        "k2"
    );
    world.sign_in(&user).await;
    session.confirm(PASSWORD).await.unwrap();
    world.end().await;
}

/// Another 32 bytes in base64url: the last letter carries four bits only.
fn canonical(reversed: &str) -> String {
    let mut letters: Vec<char> = reversed.chars().collect();
    *letters.last_mut().unwrap() = 'A';
    letters.into_iter().collect()
}

async fn when_hashing_is_busy_the_guess_is_not_counted(mut world: World) {
    let user = world.user("ada").await;
    world
        .restart(|config| {
            // One thread, long hashes, no queue.
            config.identity.password.hash_threads = 1;
            config.identity.password.passes = 60;
            config.identity.password.longest_queue = Duration::ZERO;
        })
        .await;
    world.sign_in(&user).await;
    let mut guesses = JoinSet::new();
    let world = std::sync::Arc::new(world);
    for _ in 0..4 {
        let (world, email) = (world.clone(), user.email.clone());
        guesses.spawn(async move { world.guess(&email, ADDRESS).await });
    }
    let mut busy = 0;
    while let Some(status) = guesses.join_next().await {
        let refusal = refusal(&status.unwrap());
        if refusal.reason == "sign_in.busy" {
            assert_eq!(refusal.code, Code::ResourceExhausted);
            assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
            busy += 1;
        }
    }
    assert!(busy > 0);
    let counted: i32 = world.value("SELECT failures FROM guess_subjects").await;
    assert_eq!(counted, 4 - busy);
}
