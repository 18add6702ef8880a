//! Bad input: each refusal by code, reason and field, and that it has changed nothing.

use std::time::Duration;

use sallyport_proto::identity::v1 as proto;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{ADDRESS, OTHER_PASSWORD, PASSWORD, World, newest_link, refusal};

on_both_databases!(
    what_is_typed_wrongly_is_told_at_its_field_and_nothing_has_changed,
    without_a_good_token_no_call_of_a_session_is_answered,
    after_five_wrong_ones_the_password_typed_again_has_to_wait,
);

/// `field` is empty where the refusal is about none.
fn assert_refused(status: &Status, code: Code, reason: &str, field: &str) {
    let refusal = refusal(status);
    let fields: Vec<(String, String)> = match field {
        "" => Vec::new(),
        field => vec![(field.to_owned(), reason.to_owned())],
    };
    assert_eq!(
        (refusal.code, refusal.reason.as_str(), refusal.fields),
        (code, reason, fields)
    );
}

async fn inspect(world: &World, link: &str) -> Status {
    let link_token = link.to_owned();
    let request = proto::InspectLinkRequest { link_token };
    world.passwords().inspect_link(request).await.unwrap_err()
}

async fn what_is_typed_wrongly_is_told_at_its_field_and_nothing_has_changed(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world.request_reset(&user.email).await.unwrap();
    let link = newest_link(&world.mails(&user.email, 3).await);
    let hash = "SELECT hash FROM passwords";
    let before: String = world.value(hash).await;
    let (bad, missing) = (Code::InvalidArgument, Code::NotFound);
    let no_password = "not the password";
    let nobody = Uuid::now_v7().to_string();
    for (status, code, reason, field) in [
        (
            world.guess(&user.email, ADDRESS).await,
            bad,
            "sign_in.failed",
            "",
        ),
        (
            session.confirm(no_password).await.unwrap_err(),
            bad,
            "password.wrong",
            "password",
        ),
        (
            session
                .change(no_password, OTHER_PASSWORD)
                .await
                .unwrap_err(),
            bad,
            "password.wrong",
            "current_password",
        ),
        (
            session.revoke("7").await.unwrap_err(),
            missing,
            "session.not_found",
            "",
        ),
        (
            session.revoke(&nobody).await.unwrap_err(),
            missing,
            "session.not_found",
            "",
        ),
        (
            world
                .set_by_link("spl_nobody-made-this", OTHER_PASSWORD)
                .await
                .unwrap_err(),
            missing,
            "link.invalid",
            "",
        ),
        (inspect(&world, "").await, missing, "link.invalid", ""),
    ] {
        assert_refused(&status, code, reason, field);
    }
    let long = "ø".repeat(257);
    for (chosen, reason, (key, value)) in [
        ("fourteen fishe", "password.too_short", ("minimum", "15")),
        (long.as_str(), "password.too_long", ("maximum", "256")),
        ("passwordpassword", "password.common", ("", "")),
        ("Norrland-Timber-1", "password.context_word", ("", "")),
    ] {
        let changed = session.change(PASSWORD, chosen).await.unwrap_err();
        assert_refused(&changed, bad, reason, "new_password");
        let set = world.set_by_link(&link, chosen).await.unwrap_err();
        assert_refused(&set, bad, reason, "password");
        for status in [changed, set] {
            assert_eq!(refusal(&status).get(key).unwrap_or_default(), value);
        }
    }
    assert_eq!(world.value::<String>(hash).await, before);
    assert_eq!(session.list().await.unwrap().len(), 1);
    // The link stands as it was.
    world.set_by_link(&link, OTHER_PASSWORD).await.unwrap();
    world.end().await;
}

async fn without_a_good_token_no_call_of_a_session_is_answered(world: World) {
    let user = world.user("ada").await;
    let ended = world.sign_in(&user).await;
    ended.sign_out().await.unwrap();
    for (token, reason) in [
        ("", "session.required"),
        (ended.token.as_str(), "session.expired"),
    ] {
        let session = world.session(token);
        for answer in [
            session.who().await.map(drop),
            session.list().await.map(drop),
            session.revoke("").await.map(drop),
            session.confirm(PASSWORD).await.map(drop),
            session.change(PASSWORD, OTHER_PASSWORD).await.map(drop),
        ] {
            assert_refused(&answer.unwrap_err(), Code::Unauthenticated, reason, "");
        }
    }
    world.sign_in(&user).await;
    world.end().await;
}

async fn after_five_wrong_ones_the_password_typed_again_has_to_wait(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    for _ in 0..5 {
        let wrong = session.confirm("not the password").await.unwrap_err();
        assert_refused(&wrong, Code::InvalidArgument, "password.wrong", "password");
    }
    for status in [
        session.confirm(PASSWORD).await.unwrap_err(),
        session.change(PASSWORD, OTHER_PASSWORD).await.unwrap_err(),
    ] {
        assert_refused(&status, Code::ResourceExhausted, "sign_in.delayed", "");
        let wait = refusal(&status).retry_after;
        assert_eq!(wait, Some(Duration::from_secs(5)));
    }
    session.who().await.unwrap();
    world.advance(5);
    session.confirm(PASSWORD).await.unwrap();
    world.end().await;
}
