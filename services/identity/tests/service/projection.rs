//! What account-admin tells, and who may call.

use sallyport_chassis::Peer;
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::UserStatus;
use sallyport_proto::identity::v1::mail_inbox_service_client::MailInboxServiceClient;
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use tokio::task::JoinSet;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{World, newest_link, reason, refusal};

on_both_databases!(
    only_a_newer_version_is_stored,
    a_new_user_told_by_many_calls_at_once_is_stored_by_all,
    an_email_leads_to_one_user_and_is_free_when_he_is_gone,
    another_mailbox_ends_the_links_of_the_first,
    malformed_projections_are_refused_by_field,
    control_characters_in_words_are_stored_as_blanks,
    invitations_need_an_active_user_and_a_key,
    only_the_named_services_may_call,
);

async fn a_new_user_told_by_many_calls_at_once_is_stored_by_all(world: World) {
    let template = world.invited("ada", |_| {}).await.projection;
    for round in 0..10 {
        let mut calls = JoinSet::new();
        let user = proto::UserProjection {
            user_id: uuid::Uuid::now_v7().to_string(),
            email: format!("bo{round}@example.com"),
            ..template.clone()
        };
        for _ in 0..8 {
            let (mut projections, user) = (world.projections(), user.clone());
            let request = proto::PutUserRequest { user: Some(user) };
            calls.spawn(async move { projections.put_user(request).await });
        }
        for answer in calls.join_all().await {
            assert_eq!(answer.unwrap().into_inner().version, user.version);
        }
    }
    world.end().await;
}

async fn only_a_newer_version_is_stored(world: World) {
    let mut user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world
        .change(&mut user, |user| {
            user.version = 7;
            user.permissions.clear();
        })
        .await;
    let mut late = user.projection.clone();
    late.permissions = vec!["billing".to_owned()];
    for version in [3, 6, 7] {
        late.version = version;
        assert_eq!(world.put(&late).await.unwrap(), 7);
        assert!(session.who().await.unwrap().permissions.is_empty());
    }
    // A late "disabled" disables nobody.
    late.set_status(UserStatus::Disabled);
    late.version = 6;
    assert_eq!(world.put(&late).await.unwrap(), 7);
    session.who().await.unwrap();
    late.set_status(UserStatus::Active);
    late.version = 8;
    assert_eq!(world.put(&late).await.unwrap(), 8);
    assert_eq!(session.who().await.unwrap().permissions, ["billing"]);
    world.end().await;
}

async fn an_email_leads_to_one_user_and_is_free_when_he_is_gone(world: World) {
    let mut first = world.user("ada").await;
    let mut second = world.invited("bob", |_| {}).await.projection;
    second.version = 2;
    second.email = "ADA@example.com".to_owned();
    let status = world.put(&second).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(refusal(&status).reason, "email.exists");
    world
        .change(&mut first, |user| user.set_status(UserStatus::Deleted))
        .await;
    assert_eq!(world.put(&second).await.unwrap(), 2);
    world.end().await;
}

async fn another_mailbox_ends_the_links_of_the_first(world: World) {
    let mut user = world.user("ada").await;
    world.request_reset(&user.email).await.unwrap();
    let link = newest_link(&world.mails(&user.email, 3).await);
    world
        .change(&mut user, |user| user.email = "ada@example.net".to_owned())
        .await;
    let set = world.set_by_link(&link, "a third way to begin").await;
    assert_eq!(reason(set), "link.invalid");
    world.end().await;
}

/// No line end makes two words of one, and no NUL keeps a user from being stored.
async fn control_characters_in_words_are_stored_as_blanks(world: World) {
    let mut user = world.user("ada").await;
    let session = world.sign_in(&user).await;
    world
        .change(&mut user, |user| {
            user.permissions = vec!["bill\0ing\nroles".to_owned()];
            user.context_words = vec!["Norr\0land\u{85}".to_owned()];
        })
        .await;
    assert_eq!(session.who().await.unwrap().permissions, ["bill ing roles"]);
    world.end().await;
}

async fn malformed_projections_are_refused_by_field(world: World) {
    let good = world.invited("ada", |_| {}).await.projection;
    let bad = |change: fn(&mut proto::UserProjection)| {
        let mut user = good.clone();
        user.version = 2;
        change(&mut user);
        user
    };
    for (user, field) in [
        (bad(|user| user.user_id.clear()), "user.user_id"),
        (
            bad(|user| user.organisation_id = "7".to_owned()),
            "user.organisation_id",
        ),
        (bad(|user| user.email = "ada".to_owned()), "user.email"),
        (bad(|user| user.version = 0), "user.version"),
        (bad(|user| user.status = 0), "user.status"),
        (bad(|user| user.locale = "x".repeat(17)), "user.locale"),
        (bad(|user| user.locale = "fr\0".to_owned()), "user.locale"),
    ] {
        let status = world.put(&user).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert_eq!(refusal(&status).fields[0].0, field);
    }
    assert_eq!(world.value::<i64>("SELECT version FROM users").await, 1);
    world.end().await;
}

async fn invitations_need_an_active_user_and_a_key(world: World) {
    let mut user = world.invited("ada", |_| {}).await;
    assert_eq!(
        reason(world.invite(&user, "").await),
        "idempotency.required"
    );
    for key in ["two words", &"k".repeat(129)] {
        assert_eq!(
            reason(world.invite(&user, key).await),
            "idempotency.invalid",
            "{key}"
        );
    }
    world
        .change(&mut user, |user| user.set_status(UserStatus::Disabled))
        .await;
    assert_eq!(reason(world.invite(&user, "key").await), "user.not_active");
    user.id = uuid::Uuid::now_v7();
    let status = world.invite(&user, "key").await.unwrap_err();
    assert_eq!(
        (status.code(), refusal(&status).reason.as_str()),
        (Code::NotFound, "user.not_found")
    );
    world.end().await;
}

async fn only_the_named_services_may_call(world: World) {
    let user = world.invited("ada", |_| {}).await;
    for peer in [
        Peer::Anonymous,
        Peer::service("gateway"),
        Peer::Operator("account-admin".into()),
    ] {
        let mut projections = ProjectionServiceClient::new(world.as_peer(peer.clone()));
        let user_id = user.id.to_string();
        let idempotency_key = "key".to_owned();
        let invite = proto::InviteUserRequest {
            user_id,
            idempotency_key,
        };
        let put = proto::PutUserRequest {
            user: Some(user.projection.clone()),
        };
        assert_eq!(
            reason(projections.invite_user(invite).await),
            "caller.denied"
        );
        assert_eq!(reason(projections.put_user(put).await), "caller.denied");
    }
    for peer in [Peer::Anonymous, Peer::service("account-admin")] {
        let mut inbox = MailInboxServiceClient::new(world.as_peer(peer));
        let list = proto::ListMailsRequest::default();
        assert_eq!(reason(inbox.list_mails(list).await), "caller.denied");
    }
    world.end().await;
}
