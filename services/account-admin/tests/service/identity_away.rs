use sallyport_chassis::Refusal;
use sallyport_proto::admin::v1 as pb;
use sea_orm::ConnectionTrait;
use tonic::Code;

use crate::on_both;
use crate::world::{World, by, creation};

on_both!(
    what_identity_missed_is_delivered_when_it_is_back,
    an_invitation_survives_identitys_absence_and_is_made_once,
    a_link_that_was_shown_is_not_replaced,
    without_identity_nobody_is_let_in,
);

/// Identity is gone while a user is changed three times: when it is back it is told of the newest
/// state, under the newest version, and of nothing older afterwards.
async fn what_identity_missed_is_delivered_when_it_is_back(world: World) {
    let org = world.organisation("acme.example", 9).await;
    let get = || by(&org.token, pb::GetProfileRequest {});
    let profile = world
        .profiles()
        .get_profile(get())
        .await
        .unwrap()
        .into_inner()
        .profile
        .unwrap();
    world.identity.stop().await;
    let mut fields = profile.fields.unwrap();
    // The clock stands, so the session is still good for the service.
    for n in 1..=3 {
        fields.last_name = format!("Name {n}");
        let update = pb::UpdateProfileRequest {
            fields: Some(fields.clone()),
            version: profile.version + n - 1,
        };
        world
            .profiles()
            .update_profile(by(&org.token, update))
            .await
            .unwrap();
    }
    let before = world.identity.state().users[&org.admin].clone();
    assert_eq!(
        (before.version, before.context_words[1].as_str()),
        (1, "Roy")
    );
    world.identity.start_again();
    world.let_time_run();
    world
        .identity
        .until("the newest name", |state| {
            state.users[&org.admin].context_words[1] == "Name 3"
        })
        .await;
    let state = world.identity.state();
    assert_eq!(state.users[&org.admin].version, 4);
    let puts = &state.puts[&org.admin];
    assert!(
        puts.iter().all(|version| [1, 4].contains(version)),
        "{puts:?}"
    );
}

/// Making an organisation while identity is gone: the caller is told that it failed; the user is
/// there and is invited by the outbox once; the same key finds him and has a link made.
async fn an_invitation_survives_identitys_absence_and_is_made_once(world: World) {
    world.identity.stop().await;
    let mut organisations = world.organisations();
    let status = organisations
        .create_organisation(creation("acme.example", 9))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "unavailable",
        "nothing of the cause goes out"
    );
    assert_eq!(Refusal::from_status(&status), None);
    world.identity.start_again();
    world.let_time_run();
    world
        .identity
        .until("the outbox invites", |state| state.mails.len() == 1)
        .await;
    let made = organisations
        .create_organisation(creation("acme.example", 9))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.link_token, "spl_1");
    let state = world.identity.state();
    assert_eq!(
        state.mails[&format!("invite:{}", made.user_id)],
        made.user_id
    );
    assert_eq!(state.users.len(), 1);
}

/// A request that showed its link leaves nothing for the outbox: no later invitation ends the link.
async fn a_link_that_was_shown_is_not_replaced(world: World) {
    let org = world.organisation("acme.example", 9).await;
    let user = world.add(&org, "bo").await;
    // The invitation of a later user, which did not get through, comes behind the first's.
    let later = world.add(&org, "cy").await;
    world.identity.change(|state| state.mails.clear());
    let database = world.database().await;
    let lost = "UPDATE users SET invited_at = NULL WHERE email LIKE 'cy@%'";
    database
        .connection()
        .execute_unprepared(lost)
        .await
        .unwrap();
    world.let_time_run();
    world
        .identity
        .until("the outbox comes to cy", |state| !state.mails.is_empty())
        .await;
    let mails = world.identity.state().mails;
    assert!(
        mails.values().all(|whom| *whom == later),
        "{user}: {mails:?}"
    );
}

/// Without identity nobody is let in, and the answer says nothing of why.
async fn without_identity_nobody_is_let_in(world: World) {
    let org = world.organisation("acme.example", 9).await;
    let fresh = world.sign_in(&org.id, &org.admin, 2);
    world.identity.stop().await;
    let status = world
        .profiles()
        .get_profile(by(&fresh, pb::GetProfileRequest {}))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "unavailable")
    );
}
