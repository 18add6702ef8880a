//! What changes while a sign-in is under way.

use std::future::Future;
use std::sync::Arc;

use sallyport_proto::identity::v1::{SessionStage, UserStatus};
use sea_orm::{ConnectionTrait, DbBackend};
use tokio::task::JoinHandle;

use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, User, World, reason};

on_both_databases!(
    a_password_changed_during_a_sign_in_ends_it,
    a_hash_made_anew_during_a_sign_in_does_not_end_it,
    a_user_disabled_during_a_sign_in_is_not_let_in,
);

/// Runs a statement between the reading of the password hash and the hashing: it rides on the
/// reservation of the guess, which lies there.
async fn meanwhile(world: &World, sql: &str) {
    let trigger = match world.database.backend() {
        DbBackend::Postgres => format!(
            "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN {sql}; RETURN NULL; END $$; \
             CREATE TRIGGER meanwhile AFTER INSERT ON guess_subjects \
             FOR EACH ROW EXECUTE FUNCTION meanwhile()"
        ),
        _ => format!("CREATE TRIGGER meanwhile AFTER INSERT ON guess_subjects BEGIN {sql}; END"),
    };
    world.execute(&trigger).await;
}

fn id_of(name: &str) -> String {
    format!("(SELECT id FROM users WHERE email = '{name}@example.com')")
}

/// Gives ada the hash of bob, as a commit of another call would.
fn hash_of_bob() -> String {
    let (ada, bob) = (id_of("ada"), id_of("bob"));
    format!(
        "UPDATE passwords SET hash = (SELECT hash FROM passwords WHERE user_id = {bob}) \
         WHERE user_id = {ada}"
    )
}

async fn sessions(world: &World) -> i64 {
    world.value("SELECT COUNT(*) FROM sessions").await
}

async fn a_password_changed_during_a_sign_in_ends_it(world: World) {
    let user = world.user("ada").await;
    let bob = world.invited("bob", |_| {}).await;
    let link = world.invite(&bob, "first").await.unwrap().link_token;
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    meanwhile(&world, &hash_of_bob()).await;
    let late = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(late), "sign_in.failed");
    assert_eq!(sessions(&world).await, 0);
    let counted: i32 = world.value("SELECT failures FROM guess_subjects").await;
    assert_eq!(counted, 1, "counted like any other failure");
    world
        .try_sign_in(&user.email, OTHER_PASSWORD, ADDRESS, "")
        .await
        .unwrap();
    world.end().await;
}

async fn a_hash_made_anew_during_a_sign_in_does_not_end_it(world: World) {
    let user = world.user("ada").await;
    // The same password with another salt, as a sign-in that was faster leaves it.
    world.user("bob").await;
    meanwhile(&world, &hash_of_bob()).await;
    world.sign_in(&user).await.who().await.unwrap();
    world.end().await;
}

async fn a_user_disabled_during_a_sign_in_is_not_let_in(world: World) {
    let user = world.user("ada").await;
    let disable = format!(
        "UPDATE users SET status = 'disabled' WHERE email = '{}'",
        user.email
    );
    meanwhile(&world, &disable).await;
    let late = world.try_sign_in(&user.email, PASSWORD, ADDRESS, "").await;
    assert_eq!(reason(late), "sign_in.failed");
    assert_eq!(sessions(&world).await, 0);
    world.end().await;
}

/// Whether the call comes to wait for a row lock, rather than to its end.
async fn waits<T>(world: &World, call: &JoinHandle<T>) -> bool {
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        // In this order: a call that ended did not wait.
        let ended = call.is_finished();
        if world.value::<i64>(waiting).await > 0 {
            return true;
        }
        if ended {
            return false;
        }
        tokio::task::yield_now().await;
    }
}

const HOLD: &str = "SELECT 1 FROM users WHERE email = 'ada@example.com' FOR UPDATE";

/// On SQLite the writing transactions follow one another, so there is nothing to wait for within.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_activated_during_a_sign_in_is_asked() {
    let world = Arc::new(World::on_postgres().await);
    let user = world.user("ada").await;
    let activation = world.database.begin().await.unwrap();
    activation.execute_unprepared(HOLD).await.unwrap();
    let active = format!(
        "INSERT INTO second_steps (user_id, active, failures, recovery_tries, recovery_window_at) \
         VALUES ('{}', TRUE, 0, 0, 0)",
        user.id
    );
    activation.execute_unprepared(&active).await.unwrap();
    let call = {
        let (world, email) = (world.clone(), user.email.clone());
        tokio::spawn(async move { world.try_sign_in(&email, PASSWORD, ADDRESS, "").await })
    };
    let waited = waits(&world, &call).await;
    activation.commit().await.unwrap();
    let opened = call.await.unwrap().unwrap();
    assert_eq!(opened.stage(), SessionStage::AwaitingSecondFactor);
    assert!(waited);
}

/// The call does not come to its end while the user's row is held.
async fn waits_for_the_user<F>(world: &Arc<World>, call: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let sign_in = world.database.begin().await.unwrap();
    sign_in.execute_unprepared(HOLD).await.unwrap();
    let call = tokio::spawn(call);
    assert!(waits(world, &call).await);
    sign_in.commit().await.unwrap();
    call.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_a_password_or_a_user_waits_for_sign_ins_under_way() {
    let world = Arc::new(World::on_postgres().await);
    let user: User = world.user("ada").await;
    let session = world.sign_in(&user).await;
    waits_for_the_user(&world, async move {
        session.change(PASSWORD, OTHER_PASSWORD).await.unwrap();
    })
    .await;

    world.request_reset(&user.email).await.unwrap();
    let mails = world.mails(&user.email, 4).await;
    let link = crate::world::newest_link(&mails);
    let there = world.clone();
    waits_for_the_user(&world, async move {
        there.set_by_link(&link, PASSWORD).await.unwrap();
    })
    .await;

    let mut disabled = user.projection.clone();
    disabled.version += 1;
    disabled.set_status(UserStatus::Disabled);
    let there = world.clone();
    waits_for_the_user(&world, async move {
        there.put(&disabled).await.unwrap();
    })
    .await;
}
