use std::time::Duration;

use sallyport_chassis::Peer;
use sallyport_proto::admin::v1 as pb;
use sallyport_proto::identity::v1::SessionStage;
use sea_orm::ConnectionTrait;
use tonic::{Code, Request, Status};

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by, creation, event};

on_both!(
    only_the_table_s_peers_reach_the_peers_rpcs,
    administration_needs_its_permission,
    administration_needs_the_second_factor_of_who_has_one,
    a_session_that_is_not_good_reaches_nothing,
    an_administrators_events_need_a_permission_of_their_own,
    sessions_are_asked_for_again_after_a_second,
);

/// Every RPC of administration, as the token's owner.
async fn administration(world: &World, token: &str, org: &Org) -> Vec<(&'static str, Status)> {
    let other = pb::ListEventsRequest {
        user_id: org.admin.clone(),
        ..Default::default()
    };
    let get = pb::GetUserRequest {
        user_id: org.admin.clone(),
    };
    let reset = pb::StartPasswordResetRequest {
        user_id: org.admin.clone(),
    };
    let assign = pb::AssignLicenceRequest {
        user_id: org.admin.clone(),
        plan_id: String::new(),
    };
    let front = || Peer::service("gateway");
    let user_id = org.admin.clone();
    let update = pb::UpdateUserRequest {
        user_id: user_id.clone(),
        fields: Some(pb::UserFields {
            profile: Some(pb::ProfileFields::default()),
            ..Default::default()
        }),
        version: 1,
    };
    let delete = pb::DeleteUserRequest {
        user_id: user_id.clone(),
        email: String::new(),
    };
    let restore = pb::RestoreUserRequest { user_id };
    let groups = pb::ListRoleGroupsRequest {};
    vec![
        (
            "update",
            error(world.users().update_user(by(token, update)).await),
        ),
        (
            "delete",
            error(world.users().delete_user(by(token, delete)).await),
        ),
        (
            "restore",
            error(world.users().restore_user(by(token, restore)).await),
        ),
        (
            "groups",
            error(world.users().list_role_groups(by(token, groups)).await),
        ),
        (
            "list",
            error(
                world
                    .users()
                    .list_users(by(token, pb::ListUsersRequest::default()))
                    .await,
            ),
        ),
        ("get", error(world.users().get_user(by(token, get)).await)),
        (
            "reset",
            error(world.users().start_password_reset(by(token, reset)).await),
        ),
        (
            "add",
            error(
                world
                    .users()
                    .add_user(by(token, addition(org, "new")))
                    .await,
            ),
        ),
        (
            "plans",
            error(
                world
                    .licences()
                    .list_plans(by(token, pb::ListPlansRequest {}))
                    .await,
            ),
        ),
        (
            "assign",
            error(world.licences().assign_licence(by(token, assign)).await),
        ),
        (
            "domains",
            error(
                world
                    .domains(front())
                    .list_domains(by(token, pb::ListDomainsRequest {}))
                    .await,
            ),
        ),
        (
            "events",
            error(world.events(front()).list_events(by(token, other)).await),
        ),
    ]
}

/// Every RPC about oneself.
async fn own(world: &World, token: &str) -> Vec<Result<(), Status>> {
    let fields = pb::ValidateProfileRequest::default();
    let update = pb::UpdateProfileRequest::default();
    let events = pb::ListEventsRequest::default();
    let front = Peer::service("gateway");
    vec![
        world
            .profiles()
            .get_profile(by(token, pb::GetProfileRequest {}))
            .await
            .map(drop),
        world
            .profiles()
            .validate_profile(by(token, fields))
            .await
            .map(drop),
        world
            .profiles()
            .update_profile(by(token, update))
            .await
            .map(drop),
        world
            .events(front)
            .list_events(by(token, events))
            .await
            .map(drop),
    ]
}

fn error<T: std::fmt::Debug>(result: Result<T, Status>) -> Status {
    result.expect_err("a refusal")
}

async fn only_the_table_s_peers_reach_the_peers_rpcs(world: World) {
    let org = world.organisation("acme.example", 3).await;
    for peer in [
        Peer::Anonymous,
        Peer::service("gateway"),
        Peer::Operator("mia".into()),
    ] {
        let events = vec![event(
            &org,
            "authn_login_success",
            &org.admin,
            world.clock_now(),
        )];
        let appended = world
            .events(peer)
            .append_events(by(&org.token, pb::AppendEventsRequest { events }))
            .await;
        assert_eq!(appended.reason(), "caller.denied");
    }
    for peer in [
        Peer::Anonymous,
        Peer::service("gateway"),
        Peer::service("identity"),
    ] {
        let mut organisations = pb::organisation_service_client::OrganisationServiceClient::new(
            world.channel(peer.clone()),
        );
        let create = by(&org.token, creation("new.example", 1));
        assert_eq!(
            organisations.create_organisation(create).await.reason(),
            "caller.denied"
        );
        let list = by(&org.token, pb::ListOrganisationsRequest {});
        assert_eq!(
            organisations.list_organisations(list).await.reason(),
            "caller.denied"
        );
        let approve = pb::ApproveDomainRequest {
            organisation_id: org.id.clone(),
            domain: "new.example".into(),
            note: "x".into(),
        };
        let approved = world
            .domains(peer)
            .approve_domain(by(&org.token, approve))
            .await;
        assert_eq!(approved.reason(), "caller.denied");
    }
    let bare = world
        .profiles()
        .get_profile(Request::new(pb::GetProfileRequest {}))
        .await;
    assert_eq!(bare.reason(), "session.required");
}

async fn administration_needs_its_permission(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (member, token) = world.member(&org, "bo").await;
    for (rpc, status) in administration(&world, &token, &org).await {
        assert_eq!(status.code(), Code::PermissionDenied, "{rpc}");
        assert_eq!(Err::<(), _>(status).reason(), "permission.denied", "{rpc}");
    }
    // Each try is in the log of the organisation.
    let log = world.log_of(&org, &member).await;
    let refused = log.iter().filter_map(|e| e.event.as_ref()).filter(|e| {
        e.r#type == "authz_fail"
            && e.result() == pb::EventResult::Refused
            && e.reason == "permission.denied"
            && e.actor == member
            && e.client_ip == "198.51.100.4"
    });
    assert_eq!(refused.count(), 12);
    let own = world
        .events(Peer::service("gateway"))
        .list_events(by(&token, pb::ListEventsRequest::default()))
        .await
        .unwrap();
    assert!(
        !own.into_inner().events.is_empty(),
        "one's own events need no permission"
    );
    let users = world
        .users()
        .list_users(by(&org.token, pb::ListUsersRequest::default()))
        .await;
    assert_eq!(
        users.unwrap().into_inner().users.len(),
        2,
        "nobody was added"
    );

    // A permission taken away acts on the open session at once.
    let database = world.database().await;
    database
        .connection()
        .execute_unprepared("DELETE FROM user_role_groups")
        .await
        .unwrap();
    let late = world
        .users()
        .list_users(by(&org.token, pb::ListUsersRequest::default()))
        .await;
    assert_eq!(late.reason(), "permission.denied");
}

async fn administration_needs_the_second_factor_of_who_has_one(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let remembered = world.sign_in(&org.id, &org.admin, 1);
    // Without a second factor there is none to ask.
    world
        .users()
        .list_users(by(&remembered, pb::ListUsersRequest::default()))
        .await
        .unwrap();
    // What counts is what identity says, also before our own copy has heard of it.
    world.identity.change(|state| {
        let session = state.sessions.get_mut(&remembered).unwrap();
        session.second_factor_active = true;
    });
    world.clock.advance(Duration::from_secs(1));
    let mut others = org.clone();
    others.admin = world.add(&org, "bo").await;
    for (rpc, status) in administration(&world, &remembered, &others).await {
        assert_eq!(status.code(), Code::FailedPrecondition, "{rpc}");
        assert_eq!(Err::<(), _>(status).reason(), "step_up_required", "{rpc}");
    }
    let enabled = event(&org, "two_factor_enabled", &org.admin, world.clock_now());
    world.append(vec![enabled]).await.unwrap();
    let profile = world
        .profiles()
        .get_profile(by(&remembered, pb::GetProfileRequest {}))
        .await;
    assert!(
        profile
            .unwrap()
            .into_inner()
            .profile
            .unwrap()
            .two_factor_active
    );
    world
        .users()
        .list_users(by(&org.token, pb::ListUsersRequest::default()))
        .await
        .unwrap();
    let log = world.log_of(&org, &org.admin).await;
    let stepped = log
        .iter()
        .filter(|e| e.event.as_ref().unwrap().reason == "step_up_required");
    assert_eq!(stepped.count(), 12);
    // A copy that is late the other way asks for nothing.
    world.identity.change(|state| {
        let session = state.sessions.get_mut(&remembered).unwrap();
        session.second_factor_active = false;
    });
    world.clock.advance(Duration::from_secs(1));
    world
        .users()
        .list_users(by(&remembered, pb::ListUsersRequest::default()))
        .await
        .unwrap();
}

async fn a_session_that_is_not_good_reaches_nothing(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let unknown = "sps_nobody-opened-this".to_owned();
    let awaiting = world.sign_in(&org.id, &org.admin, 1);
    world.identity.change(|state| {
        let session = state.sessions.get_mut(&awaiting).unwrap();
        session.set_stage(SessionStage::AwaitingSecondFactor);
    });
    let (member, disabled) = world.member(&org, "bo").await;
    let database = world.database().await;
    let disable = "UPDATE users SET status = 'disabled' WHERE email LIKE 'bo@%'";
    database
        .connection()
        .execute_unprepared(disable)
        .await
        .unwrap();
    for (token, reason) in [
        (unknown, "session.expired"),
        (awaiting, "second_factor_required"),
        (disabled, "session.expired"),
    ] {
        for outcome in own(&world, &token).await {
            assert_eq!(outcome.reason(), reason);
        }
        for (rpc, status) in administration(&world, &token, &org).await {
            assert_eq!(Err::<(), _>(status).reason(), reason, "{rpc}");
        }
    }
    let row = world
        .users()
        .get_user(by(&org.token, pb::GetUserRequest { user_id: member }))
        .await
        .unwrap();
    assert_eq!(
        row.into_inner().user.unwrap().state(),
        pb::UserState::Disabled
    );
}

async fn sessions_are_asked_for_again_after_a_second(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let questions = |world: &World| world.identity.state().session_questions;
    let get = || by(&org.token, pb::GetProfileRequest {});
    let before = questions(&world);
    world.profiles().get_profile(get()).await.unwrap();
    world.profiles().get_profile(get()).await.unwrap();
    assert_eq!(
        questions(&world),
        before,
        "kept since the organisation was made"
    );
    world.clock.advance(Duration::from_millis(999));
    world.profiles().get_profile(get()).await.unwrap();
    assert_eq!(questions(&world), before);
    world
        .identity
        .change(|state| state.sessions.remove(&org.token));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(
        world.profiles().get_profile(get()).await.reason(),
        "session.expired"
    );
    assert_eq!(questions(&world), before + 1);
}

async fn an_administrators_events_need_a_permission_of_their_own(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    let (reader, token) = world.member(&org, "cy").await;
    let database = world.database().await;
    // A group with "logs" alone, for cy.
    let run = async |sql: String| {
        database
            .connection()
            .execute_unprepared(&sql)
            .await
            .unwrap();
    };
    let groups = "FROM role_groups WHERE built_in";
    let id = match database.backend() {
        sea_orm::DbBackend::Sqlite => "randomblob(16)",
        _ => "gen_random_uuid()",
    };
    run(format!(
        "INSERT INTO role_groups (id, organisation_id, name, built_in, permissions) \
         SELECT {id}, organisation_id, 'Readers', false, 'logs' {groups}"
    ))
    .await;
    run(
        "INSERT INTO user_role_groups (user_id, role_group_id, organisation_id) \
         SELECT u.id, g.id, g.organisation_id FROM users u, role_groups g \
         WHERE u.email LIKE 'cy@%' AND g.name = 'Readers'"
            .into(),
    )
    .await;
    let list = |user_id: &str| {
        let request = pb::ListEventsRequest {
            user_id: user_id.into(),
            ..Default::default()
        };
        let mut events = world.events(Peer::service("gateway"));
        let request = by(&token, request);
        async move { events.list_events(request).await }
    };
    list(&user).await.unwrap();
    list(&reader).await.unwrap();
    assert_eq!(list(&org.admin).await.reason(), "permission.denied");
}
