//! The ring under which the seeds of authenticator apps are sealed.

use identity::store::authenticators;

use crate::app::App;
use crate::recovery::{everything_stored, keep_the_outbox};
use crate::world::{NUMBER, User, World, refused};

on_both_databases!(
    seeds_move_to_a_new_key_and_are_lost_without_the_old,
    no_seed_of_an_app_lies_in_the_store,
);

async fn with_app(world: &World, name: &str) -> (User, App) {
    let (user, mut session, _) = world.enrolled(name).await;
    let (app, _) = session.set_up_app(world).await;
    (user, app)
}

async fn seeds_move_to_a_new_key_and_are_lost_without_the_old(mut world: World) {
    let (ada, adas) = with_app(&world, "ada").await;
    let (bob, bobs) = with_app(&world, "bob").await;
    let ring = world.folder.path().join("keys/totp.keys");
    let old = std::fs::read_to_string(&ring).unwrap();
    let new = format!("k2 {}\n", "A".repeat(43));
    std::fs::write(&ring, format!("{new}{old}")).unwrap();
    world.restart().await;
    assert_eq!(world.rows("authenticators WHERE seed_key = 'k1'").await, 2);
    world.advance_seconds(30);
    let mut session = world.sign_in(&ada).await;
    session.use_app(&adas.shows(&world, 0)).await.unwrap();
    assert_eq!(world.rows("authenticators WHERE seed_key = 'k2'").await, 1);

    // The old key goes, and with it the app that was not used since.
    std::fs::write(&ring, new).unwrap();
    world.restart().await;
    world.advance_seconds(30);
    let mut session = world.sign_in(&ada).await;
    session.use_app(&adas.shows(&world, 0)).await.unwrap();
    let mut session = world.sign_in(&bob).await;
    let code = bobs.shows(&world, 0);
    assert_eq!(refused(session.use_app(&code).await), "internal");
    assert_eq!(world.step(&bob).await.failures, 1, "in doubt it counts");
    world.signed_in_twice(&bob, NUMBER).await;
    world.end().await;
}

async fn no_seed_of_an_app_lies_in_the_store(world: World) {
    let user = world.user("ada").await;
    keep_the_outbox(&world).await;
    let mut session = world.sign_in(&user).await;
    let begun = session.begin_app().await.unwrap();
    let code = App::of(&begun.secret).shows(&world, 0);
    session.confirm_app(&begun.enrolment, &code).await.unwrap();
    let (app, _) = session.set_up_app(&world).await;

    let stored = everything_stored(&world).await;
    let holds = |text: &str| {
        let text = text.to_lowercase();
        stored.iter().any(|value| value.contains(&text))
    };
    // What does lie there is found.
    for text in ["authenticator_added", "replaced"] {
        assert!(holds(text), "{text}");
    }
    assert!(!holds(&begun.secret));
    let enrolment = begun.enrolment.replace('-', "");
    assert!(
        !holds(&enrolment),
        "what is begun is nowhere but with its session"
    );
    assert!(!stored.contains(&code), "codes are not kept");
    let db = world.database.connection();
    let row = authenticators::live(db, user.id).await.unwrap().unwrap();
    let seed = app.seed();
    assert!(row.seed.len() > seed.len(), "it is sealed");
    assert!(row.seed.windows(seed.len()).all(|part| part != seed));
    world.end().await;
}
