//! A new key in the ring of lookup keys refills no budget: what was counted under the old one goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::guesses::{elsewhere, fails, judged, waits};
use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, World, newest_link, reason, refusal};

on_both_databases!(
    a_new_lookup_key_shortens_no_wait,
    a_new_lookup_key_opens_no_account,
    a_new_lookup_key_opens_no_address,
);

const NEW_KEY: &str = "k2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Which key makes; the ring keeps the other one.
#[derive(Clone, Copy)]
enum First {
    Old,
    New,
}

/// Writes the ring, which processes read when they start.
fn write_ring(world: &World, first: First) {
    let ring: PathBuf = world.folder.path().join("keys/lookup.keys");
    let keys = std::fs::read_to_string(&ring).unwrap();
    let old = keys.lines().find(|key| key.starts_with("k1 ")).unwrap();
    let keys = match first {
        First::Old => format!("{old}\n{NEW_KEY}\n"),
        First::New => format!("{NEW_KEY}\n{old}\n"),
    };
    std::fs::write(&ring, keys).unwrap();
}

async fn rotate(world: &mut World, first: First) {
    write_ring(world, first);
    world.restart(|_| {}).await;
}

async fn a_new_lookup_key_shortens_no_wait(mut world: World) {
    let user = world.user("ada").await;
    let token = world.sign_in(&user).await.token;
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
        let refused = world.session(&token).confirm("not the password").await;
        assert_eq!(reason(refused), "password.wrong");
    }
    rotate(&mut world, First::New).await;
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 5);
    let refused = world.session(&token).confirm(PASSWORD).await;
    assert_eq!(reason(refused), "sign_in.delayed");
    world.advance(5);
    fails(&world, &user.email, ADDRESS).await;
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 10);
    // Nor does the way back.
    rotate(&mut world, First::Old).await;
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 10);
    world.advance(10);
    fails(&world, &user.email, ADDRESS).await;
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 20);
    rotate(&mut world, First::New).await;
    world.advance(20);
    // A success starts anew, under every key.
    world.sign_in(&user).await;
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
    }
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 5);
    world.end().await;
}

async fn a_new_lookup_key_opens_no_account(mut world: World) {
    let user = world.user("ada").await;
    // The inbox does not outlive a restart: what is on its way arrives before.
    world.all_mails(&user.email).await;
    world
        .restart(|config| config.identity.guesses.closed_at_failures = 6)
        .await;
    for n in 0..3 {
        fails(&world, &user.email, &elsewhere(n)).await;
    }
    rotate(&mut world, First::New).await;
    for n in 3..6 {
        fails(&world, &user.email, &elsewhere(n)).await;
    }
    let counted = "SELECT failures FROM guess_subjects";
    assert_eq!(world.value::<i32>(counted).await, 6, "moved, not copied");
    world.all_mails(&user.email).await;
    rotate(&mut world, First::Old).await;
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    let closed = refusal(&right.unwrap_err());
    assert_eq!(closed.get("way_in"), Some("password_reset"));

    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 1).await;
    let link = newest_link(&mails);
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    let left = "SELECT COUNT(*) FROM guess_subjects";
    assert_eq!(world.value::<i64>(left).await, 0);
    world.end().await;
}

async fn a_new_lookup_key_opens_no_address(mut world: World) {
    let user = world.user("ada").await;
    world.all_mails(&user.email).await;
    for n in 0..20 {
        if n == 12 {
            rotate(&mut world, First::New).await;
            world.advance(30);
        }
        let nobody = format!("nobody{n}@example.com");
        fails(&world, &nobody, ADDRESS).await;
        world.request_reset(&nobody).await.unwrap();
    }
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    let full = refusal(&right.unwrap_err());
    assert_eq!(full.reason, "sign_in.delayed");
    // The minute of the first twelve is over then.
    assert_eq!(full.retry_after, Some(Duration::from_secs(30)));
    world.request_reset(&user.email).await.unwrap();
    assert!(world.all_mails(&user.email).await.is_empty());
    world.advance(29);
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(right), "sign_in.delayed");
    world.advance(1);
    world.sign_in(&user).await;
    world.request_reset(&user.email).await.unwrap();
    assert_eq!(world.all_mails(&user.email).await.len(), 1);
    world.end().await;
}

/// While a ring is being rotated, some processes make with the old key and some with the new one. On
/// PostgreSQL, since several processes share no SQLite file.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_make_with_different_keys_keep_one_count() {
    let mut world = World::on_postgres().await;
    let user = world.user("ada").await;
    write_ring(&world, First::Old);
    world
        .restart(|config| config.identity.guesses.closed_at_failures = 20)
        .await;
    for n in 0..3 {
        fails(&world, &user.email, &elsewhere(n)).await;
    }
    write_ring(&world, First::New);
    let processes = [Arc::new(world.beside()), Arc::new(world)];
    let mut guesses = JoinSet::new();
    for n in 3..63 {
        let (process, email) = (processes[n as usize % 2].clone(), user.email.clone());
        guesses.spawn(async move { process.guess(&email, &elsewhere(n)).await });
    }
    assert_eq!(judged(guesses).await, 17, "twenty in all");
    for process in &processes {
        let closed = refusal(&process.guess(&user.email, ADDRESS).await);
        assert_eq!(closed.get("way_in"), Some("password_reset"));
    }
    let counted = "SELECT SUM(failures) FROM guess_subjects";
    assert_eq!(processes[0].value::<i64>(counted).await, 20);

    // So it is for the guesses of one network.
    let mut guesses = JoinSet::new();
    for n in 0..60 {
        let (process, address) = (processes[n % 2].clone(), format!("192.0.2.{}", n % 4));
        guesses.spawn(async move { process.guess("nobody@example.com", &address).await });
    }
    assert_eq!(judged(guesses).await, 5);
}
