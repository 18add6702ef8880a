//! Limits on wrong passwords.

use std::sync::Arc;
use std::time::Duration;

use identity::store::browsers;
use sallyport_chassis::Clock;
use sallyport_chassis::keyring::{new_token, token_hash};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, User, World, newest_link, reason, refusal};

on_both_databases!(
    from_the_fifth_failure_the_network_waits_ever_longer,
    an_unknown_email_is_slowed_alike,
    another_network_is_not_slowed,
    an_address_with_many_failures_waits_whatever_the_email,
    a_reset_opens_confirmations_again,
    at_a_hundred_in_all_only_a_reset_link_or_a_remembered_browser_gets_in,
    guesses_at_the_same_instant_do_not_exceed_the_budget,
    counts_survive_a_restart,
    without_counts_nobody_gets_in,
    confirmations_have_limits_of_their_own,
);

/// An address in a network of its own.
pub fn elsewhere(n: u32) -> String {
    format!("198.{}.{}.9", 18 + n / 256, n % 256)
}

pub async fn waits(world: &World, email: &str, address: &str) -> u64 {
    let refusal = refusal(&world.guess(email, address).await);
    assert_eq!(refusal.reason, "sign_in.delayed");
    assert_eq!(refusal.code, Code::ResourceExhausted);
    refusal.retry_after.unwrap().as_secs()
}

pub async fn fails(world: &World, email: &str, address: &str) {
    assert_eq!(
        reason::<()>(Err(world.guess(email, address).await)),
        "sign_in.failed"
    );
}

async fn from_the_fifth_failure_the_network_waits_ever_longer(world: World) {
    let user = world.user("ada").await;
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
    }
    // The right password waits as well, and asking does not prolong the wait.
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(right), "sign_in.delayed");
    for wait in [5, 10, 20, 40] {
        assert_eq!(waits(&world, &user.email, ADDRESS).await, wait);
        // A neighbour in the same /24 is the same network.
        assert_eq!(waits(&world, &user.email, "192.0.2.99").await, wait);
        world.advance(wait - 1);
        assert_eq!(waits(&world, &user.email, ADDRESS).await, 1);
        world.advance(1);
        fails(&world, &user.email, ADDRESS).await;
    }
    world.advance(80);
    world.sign_in(&user).await;
    // A success starts anew.
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
    }
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 5);
    world.end().await;
}

async fn an_unknown_email_is_slowed_alike(world: World) {
    for _ in 0..5 {
        fails(&world, "nobody@example.com", ADDRESS).await;
    }
    assert_eq!(waits(&world, "Nobody@EXAMPLE.com", ADDRESS).await, 5);
    world.end().await;
}

async fn another_network_is_not_slowed(world: World) {
    let user = world.user("ada").await;
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
    }
    waits(&world, &user.email, ADDRESS).await;
    world
        .try_sign_in(&user.email, PASSWORD, "192.0.3.7", "")
        .await
        .unwrap();
    for address in ["2001:db8:0:1::1", "2001:db8:0:1::2"] {
        fails(&world, &user.email, address).await;
    }
    world
        .try_sign_in(&user.email, PASSWORD, "2001:db8:0:1::3", "")
        .await
        .unwrap();
    world.end().await;
}

async fn an_address_with_many_failures_waits_whatever_the_email(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    for n in 0..20 {
        fails(&world, &format!("nobody{n}@example.com"), ADDRESS).await;
        world.advance(1);
    }
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    let refusal = refusal(&right.unwrap_err());
    assert_eq!(refusal.reason, "sign_in.delayed");
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(40)));
    world
        .try_sign_in(&user.email, PASSWORD, "192.0.2.8", "")
        .await
        .unwrap();
    // Whoever shares the address and is known keeps working.
    session.confirm(PASSWORD).await.unwrap();
    let browser = remember(&world, &user).await;
    world
        .try_sign_in(&user.email, PASSWORD, ADDRESS, &browser)
        .await
        .unwrap();
    world.advance(39);
    let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(right), "sign_in.delayed");
    world.advance(1);
    world.sign_in(&user).await;
    world.end().await;
}

async fn at_a_hundred_in_all_only_a_reset_link_or_a_remembered_browser_gets_in(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    for n in 0..100 {
        fails(&world, &user.email, &elsewhere(n)).await;
    }
    let locks = world.log.wait_for("authn_login_lock", 1).await;
    assert_eq!(locks[0].target, user.id.to_string());
    for address in [ADDRESS, &elsewhere(200)] {
        let right = world.try_sign_in(&user.email, PASSWORD, address, "").await;
        let refusal = refusal(&right.unwrap_err());
        assert_eq!(refusal.reason, "sign_in.delayed");
        assert_eq!(refusal.get("way_in"), Some("password_reset"));
    }
    // Nor can anybody tell from it whether the e-mail is known.
    for n in 0..100 {
        fails(&world, "nobody@example.com", &elsewhere(300 + n)).await;
    }
    let unknown = world.guess("nobody@example.com", ADDRESS).await;
    assert_eq!(refusal(&unknown).get("way_in"), Some("password_reset"));

    // Whoever holds a session, a remembered browser or the mailbox is not locked out.
    session.confirm(PASSWORD).await.unwrap();
    let browser = remember(&world, &user).await;
    world
        .try_sign_in(&user.email, PASSWORD, ADDRESS, &browser)
        .await
        .unwrap();
    let other_browser = world
        .try_sign_in(&user.email, PASSWORD, ADDRESS, "spb_other")
        .await;
    assert_eq!(reason(other_browser), "sign_in.delayed");
    let notices = world.mails(&user.email, 3).await;
    assert!(
        notices
            .iter()
            .any(|mail| mail.subject == "Too many wrong passwords")
    );
    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 4).await;
    let link = newest_link(&mails);
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, &elsewhere(200), "")
        .await
        .unwrap();
    world.end().await;
}

async fn a_reset_opens_confirmations_again(world: World) {
    let user = world.user("ada").await;
    for _ in 0..100 {
        // The delays of the network are waited out.
        world.advance(3_600);
        let session = world.sign_in(&user).await;
        let refused = session.confirm("not the password").await;
        assert_eq!(reason(refused), "password.wrong");
    }
    world.advance(3_600);
    let session = world.sign_in(&user).await;
    let closed = refusal(&session.confirm(PASSWORD).await.unwrap_err());
    assert_eq!(closed.get("way_in"), Some("password_reset"));
    world.request_reset(&user.email).await.unwrap();
    let link = newest_link(&world.mails(&user.email, 3).await);
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    let opened = world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    let session = world.session(&opened.session_token);
    session.confirm(OTHER_PASSWORD).await.unwrap();
    world.end().await;
}

/// A browser that the user had remembered, as the second step leaves it.
async fn remember(world: &World, user: &User) -> String {
    let token = new_token("spb_");
    let now = world.clock.now_ms();
    let browser = browsers::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        token_hash: token_hash(token.expose()),
        user_agent: "Firefox".to_owned(),
        client_ip: ADDRESS.to_owned(),
        created_at: now,
        last_used_at: now,
        expires_at: now + 86_400_000,
    };
    browsers::insert(world.database.connection(), browser)
        .await
        .unwrap();
    token.expose().to_owned()
}

/// How many guesses were judged; the others had to wait, or the store was too busy to take them.
pub async fn judged(mut guesses: JoinSet<Status>) -> usize {
    let mut judged = 0;
    while let Some(status) = guesses.join_next().await {
        let status = status.unwrap();
        if status.code() == Code::Unavailable {
            continue;
        }
        match refusal(&status).reason.as_str() {
            "sign_in.failed" => judged += 1,
            "sign_in.delayed" => {}
            other => panic!("{other}"),
        }
    }
    judged
}

async fn guesses_at_the_same_instant_do_not_exceed_the_budget(world: World) {
    let user = world.user("ada").await;
    let world = Arc::new(world);
    let mut guesses = JoinSet::new();
    for n in 0..60 {
        let (world, email) = (world.clone(), user.email.clone());
        guesses.spawn(async move { world.guess(&email, &format!("192.0.2.{}", n % 4)).await });
    }
    assert_eq!(judged(guesses).await, 5);
    let counted: i32 = world.value("SELECT failures FROM guess_networks").await;
    assert_eq!(counted, 5);
}

async fn counts_survive_a_restart(mut world: World) {
    let user = world.user("ada").await;
    for _ in 0..5 {
        fails(&world, &user.email, ADDRESS).await;
    }
    world.restart(|_| {}).await;
    assert_eq!(waits(&world, &user.email, ADDRESS).await, 5);
    world.end().await;
}

async fn without_counts_nobody_gets_in(world: World) {
    let user = world.user("ada").await;
    for table in ["guess_subjects", "guess_networks", "guess_addresses"] {
        world
            .execute(&format!("ALTER TABLE {table} RENAME TO away_{table}"))
            .await;
        let right = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
        let status = right.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{table}");
        assert_eq!(
            status.message(),
            "unavailable",
            "nothing of the store is told"
        );
        world
            .execute(&format!("ALTER TABLE away_{table} RENAME TO {table}"))
            .await;
    }
    world.sign_in(&user).await;
    world.end().await;
}

async fn confirmations_have_limits_of_their_own(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    for _ in 0..5 {
        assert_eq!(
            reason(session.confirm("not the password").await),
            "password.wrong"
        );
    }
    assert_eq!(reason(session.confirm(PASSWORD).await), "sign_in.delayed");
    // They do not slow sign-in, and sign-ins do not slow them.
    world.sign_in(&user).await;
    world.advance(5);
    session.confirm(PASSWORD).await.unwrap();
    world.end().await;
}
