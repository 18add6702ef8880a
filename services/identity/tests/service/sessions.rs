//! Sessions: how they live, and how they end.

use sallyport_proto::identity::v1::{SessionStage, UserStatus};
use tokio::task::JoinSet;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{PASSWORD, World, reason, refusal};

on_both_databases!(
    a_session_ends_an_hour_after_its_last_use,
    a_session_ends_a_day_after_it_began_whatever_its_use,
    sessions_are_listed_and_ended,
    what_ends_in_one_process_ends_in_another_within_a_second,
    ending_other_sessions_needs_the_password_fresh,
    whoever_may_not_sign_in_has_no_session_at_once,
    permissions_change_in_open_sessions,
    a_session_that_awaits_its_second_factor_reaches_nothing_else,
    what_is_no_token_is_refused,
    a_confirmed_password_kills_the_old_token,
    one_token_is_renewed_once,
    what_has_ended_is_deleted,
);

async fn a_session_ends_an_hour_after_its_last_use(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let used = "SELECT last_used_at FROM sessions";
    let at_first: i64 = world.value(used).await;
    world.advance(59);
    session.who().await.unwrap();
    assert_eq!(
        world.value::<i64>(used).await,
        at_first,
        "written at most once a minute"
    );
    world.advance(1);
    session.who().await.unwrap();
    assert_eq!(world.value::<i64>(used).await, at_first + 60_000);
    world.advance(3_599);
    session.who().await.unwrap();
    world.advance(3_600);
    let status = session.who().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(refusal(&status).reason, "session.expired");
    world.end().await;
}

async fn a_session_ends_a_day_after_it_began_whatever_its_use(world: World) {
    let user = world.user("ada").await;
    let mut session = world.sign_in(&user).await;
    for _ in 0..47 {
        world.advance(1_800);
        session.who().await.unwrap();
    }
    // Typing the password again makes a new token, not a longer session.
    session.token = session.confirm(PASSWORD).await.unwrap();
    world.advance(1_799);
    session.who().await.unwrap();
    world.advance(1);
    assert_eq!(reason(session.who().await), "session.expired");
    world.end().await;
}

async fn what_ends_in_one_process_ends_in_another_within_a_second(world: World) {
    let other = world.beside();
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let there = other.session(&session.token);
    there.who().await.unwrap();
    session.who().await.unwrap();
    session.sign_out().await.unwrap();
    assert_eq!(reason(session.who().await), "session.expired");
    // What is done in the session is looked up each time.
    assert_eq!(reason(there.list().await), "session.expired");
    world.advance(1);
    assert_eq!(reason(there.who().await), "session.expired");
    other.end().await;
    world.end().await;
}

async fn sessions_are_listed_and_ended(world: World) {
    let user = world.user("ada").await;
    let (here, there, third) = (
        world.sign_in(&user).await,
        world.sign_in(&user).await,
        world.sign_in(&user).await,
    );
    let stranger = world.user("eve").await;
    let strange = world.sign_in(&stranger).await;
    let listed = here.list().await.unwrap();
    assert_eq!(listed.len(), 3);
    let current: Vec<_> = listed.iter().filter(|session| session.current).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0].session_id, here.who().await.unwrap().session_id);
    assert_eq!(current[0].user_agent, "Firefox");

    let that = there.who().await.unwrap().session_id;
    let no_such = strange.revoke(&that).await.unwrap_err();
    assert_eq!(
        no_such.code(),
        Code::NotFound,
        "another user's session is not there"
    );
    assert_eq!(
        strange.revoke("7").await.unwrap_err().code(),
        Code::NotFound
    );
    there.who().await.unwrap();
    assert_eq!(here.revoke(&that).await.unwrap(), 1);
    assert_eq!(reason(there.who().await), "session.expired");
    assert_eq!(here.revoke("").await.unwrap(), 1);
    assert_eq!(reason(third.who().await), "session.expired");
    here.who().await.unwrap();
    strange.who().await.unwrap();
    here.sign_out().await.unwrap();
    assert_eq!(reason(here.who().await), "session.expired");
    here.sign_out().await.unwrap();
    let ended = world.log.wait_for("session_ended", 3).await;
    assert!(
        ended
            .iter()
            .all(|event| event.target == user.id.to_string())
    );
    world.end().await;
}

async fn ending_other_sessions_needs_the_password_fresh(world: World) {
    let user = world.user("ada").await;
    let there = world.sign_in(&user).await;
    let mut here = world.sign_in(&user).await;
    let that = there.who().await.unwrap().session_id;
    world.advance(301);
    for named in [that.as_str(), ""] {
        let status = here.revoke(named).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(refusal(&status).reason, "password_confirmation_required");
    }
    there.who().await.unwrap();
    here.token = here.confirm(PASSWORD).await.unwrap();
    world.advance(300);
    assert_eq!(here.revoke(&that).await.unwrap(), 1);
    assert_eq!(reason(there.who().await), "session.expired");

    // His own session he ends without it, by its id as by signing out.
    let other = world.sign_in(&user).await;
    world.advance(301);
    let own = here.who().await.unwrap().session_id;
    assert_eq!(here.revoke(&own).await.unwrap(), 1);
    assert_eq!(reason(here.who().await), "session.expired");
    other.sign_out().await.unwrap();
    assert_eq!(reason(other.who().await), "session.expired");
    world.end().await;
}

async fn whoever_may_not_sign_in_has_no_session_at_once(world: World) {
    for status in [UserStatus::Disabled, UserStatus::Deleted] {
        let mut user = world.user(&format!("user{}", status as i32)).await;
        let session = world.sign_in(&user).await;
        session.who().await.unwrap();
        world
            .change(&mut user, |user| user.set_status(status))
            .await;
        assert_eq!(reason(session.who().await), "session.expired");
        assert_eq!(reason(session.confirm(PASSWORD).await), "session.expired");
        // Enabling again revives nothing.
        world
            .change(&mut user, |user| user.set_status(UserStatus::Active))
            .await;
        assert_eq!(reason(session.who().await), "session.expired");
        world.sign_in(&user).await.who().await.unwrap();
    }
    world.end().await;
}

async fn permissions_change_in_open_sessions(world: World) {
    let mut user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world
        .change(&mut user, |user| user.permissions = vec!["logs".to_owned()])
        .await;
    assert_eq!(session.who().await.unwrap().permissions, ["logs"]);
    world.end().await;
}

async fn a_session_that_awaits_its_second_factor_reaches_nothing_else(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world
        .execute("UPDATE sessions SET stage = 'awaiting_second_factor'")
        .await;
    let who = session.who().await.unwrap();
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    for answer in [
        session.list().await.map(|_| ()),
        session.revoke("").await.map(|_| ()),
        session.confirm(PASSWORD).await.map(|_| ()),
        session
            .change(PASSWORD, "another long password")
            .await
            .map(|_| ()),
    ] {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(refusal(&status).reason, "second_factor_required");
    }
    session.sign_out().await.unwrap();
    assert_eq!(reason(session.who().await), "session.expired");
    world.end().await;
}

async fn what_is_no_token_is_refused(world: World) {
    let user = world.user("ada").await;
    let link = world.all_mails(&user.email).await;
    let link = crate::world::link_of(&link[0]);
    for (token, expected) in [
        ("", "session.required"),
        ("sps_short", "session.expired"),
        (link.as_str(), "session.expired"),
        (
            "sps_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "session.expired",
        ),
    ] {
        assert_eq!(
            reason(world.session(token).who().await),
            expected,
            "{token}"
        );
    }
    world.end().await;
}

async fn a_confirmed_password_kills_the_old_token(world: World) {
    let user = world.user("ada").await;
    let old = world.sign_in(&user).await;
    let before = old.who().await.unwrap();
    world.advance(600);
    let new = world.session(&old.confirm(PASSWORD).await.unwrap());
    assert_ne!(new.token, old.token);
    assert_eq!(reason(old.who().await), "session.expired");
    let after = new.who().await.unwrap();
    assert_eq!(after.session_id, before.session_id);
    assert_eq!(after.expires_at, before.expires_at);
    let fresher = after.password_at.unwrap().seconds - before.password_at.unwrap().seconds;
    assert_eq!(fresher, 600);
    world.end().await;
}

async fn one_token_is_renewed_once(world: World) {
    let user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    let mut confirms = JoinSet::new();
    // Fewer than the failures that make a network wait: each counts until it has been judged.
    for _ in 0..4 {
        let session = session.clone();
        confirms.spawn(async move { session.confirm(PASSWORD).await });
    }
    let mut tokens = Vec::new();
    while let Some(answer) = confirms.join_next().await {
        match answer.unwrap() {
            Ok(token) => tokens.push(token),
            Err(status) => assert_eq!(refusal(&status).reason, "session.expired"),
        }
    }
    assert_eq!(tokens.len(), 1);
    world.session(&tokens[0]).who().await.unwrap();
    world.end().await;
}

async fn what_has_ended_is_deleted(mut world: World) {
    let user = world.user("ada").await;
    world.sign_in(&user).await;
    world.guess(&user.email, "192.0.2.9").await;
    world.advance(40 * 86_400);
    // The first sweep comes with the start.
    world.restart(|_| {}).await;
    for table in [
        "sessions",
        "links",
        "guess_subjects",
        "guess_networks",
        "guess_addresses",
    ] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        while world.value::<i64>(&count).await > 0 {
            tokio::task::yield_now().await;
        }
    }
    world.end().await;
}
