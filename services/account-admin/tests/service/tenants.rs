use sallyport_chassis::Peer;
use sallyport_proto::admin::v1 as pb;

use crate::on_both;
use crate::world::{Reason, World, addition, by};

on_both!(another_organisations_ids_are_not_found_on_every_rpc);

async fn another_organisations_ids_are_not_found_on_every_rpc(world: World) {
    let org = world.organisation("acme.example", 5).await;
    let rival = world.organisation("rival.example", 5).await;
    let theirs = world.add(&rival, "bo").await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let token = org.token.as_str();

    // What is another's and what is nobody's get the same answer.
    for id in [
        theirs.as_str(),
        &nobody,
        "not-an-id",
        "'; DROP TABLE users; --",
    ] {
        let get = by(token, pb::GetUserRequest { user_id: id.into() });
        assert_eq!(world.users().get_user(get).await.reason(), "user.not_found");
        let reset = by(token, pb::StartPasswordResetRequest { user_id: id.into() });
        assert_eq!(
            world.users().start_password_reset(reset).await.reason(),
            "user.not_found"
        );
        let update = pb::UpdateUserRequest {
            user_id: id.into(),
            fields: Some(pb::UserFields {
                profile: Some(pb::ProfileFields::default()),
                ..Default::default()
            }),
            version: 1,
        };
        assert_eq!(
            world.users().update_user(by(token, update)).await.reason(),
            "user.not_found"
        );
        let deleted = world.delete(token, id, "bo@rival.example").await;
        assert_eq!(deleted.reason(), "user.not_found");
        let restore = by(token, pb::RestoreUserRequest { user_id: id.into() });
        assert_eq!(
            world.users().restore_user(restore).await.reason(),
            "user.not_found"
        );
        let assign = by(
            token,
            pb::AssignLicenceRequest {
                user_id: id.into(),
                plan_id: org.plan.clone(),
            },
        );
        assert_eq!(
            world.licences().assign_licence(assign).await.reason(),
            "user.not_found"
        );
        let events = by(
            token,
            pb::ListEventsRequest {
                user_id: id.into(),
                ..Default::default()
            },
        );
        let listed = world
            .events(Peer::service("gateway"))
            .list_events(events)
            .await;
        assert_eq!(listed.reason(), "user.not_found");
    }
    let mine = world.add(&org, "cy").await;
    let assign = pb::AssignLicenceRequest {
        user_id: mine,
        plan_id: rival.plan.clone(),
    };
    let assigned = world.licences().assign_licence(by(token, assign)).await;
    assert_eq!(assigned.reason(), "plan.not_found");
    let mut add = addition(&org, "di");
    add.plan_id = rival.plan.clone();
    assert_eq!(
        world.users().add_user(by(token, add)).await.reason(),
        "plan.not_found"
    );

    let users = world
        .users()
        .list_users(by(token, pb::ListUsersRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .users;
    assert!(
        users
            .iter()
            .all(|user| user.email.ends_with("@acme.example"))
    );
    let plans = world
        .licences()
        .list_plans(by(token, pb::ListPlansRequest {}))
        .await
        .unwrap()
        .into_inner()
        .plans;
    assert!(plans.iter().all(|plan| plan.plan_id == org.plan));
    let domains = world
        .domains(Peer::service("gateway"))
        .list_domains(by(token, pb::ListDomainsRequest {}))
        .await
        .unwrap()
        .into_inner()
        .domains;
    assert_eq!(domains.len(), 1);

    // The same key in two organisations is two keys.
    world
        .users()
        .add_user(by(&rival.token, addition(&rival, "cy")))
        .await
        .unwrap();
    // A session that names another organisation than the user's reaches nothing.
    let crossed = world.sign_in(&rival.id, &org.admin, 2);
    let profile = world
        .profiles()
        .get_profile(by(&crossed, pb::GetProfileRequest {}))
        .await;
    assert_eq!(profile.reason(), "session.expired");

    // The tries stand in the log of who made them, and nothing in the other's.
    let refused: Vec<pb::Event> = world
        .log_of(&org, &org.admin)
        .await
        .into_iter()
        .filter_map(|e| e.event)
        .filter(|e| e.r#type == "authz_fail")
        .collect();
    assert_eq!(refused.len(), 28);
    assert!(refused.iter().all(|e| e.reason == "user.not_found"));
    assert!(refused.iter().any(|e| e.target == theirs));
    let their_log = world.log_of(&rival, &theirs).await;
    assert!(
        their_log
            .iter()
            .all(|e| e.event.as_ref().unwrap().r#type != "authz_fail")
    );
    assert!(world.verify(&org).await.is_intact());
    assert!(world.verify(&rival).await.is_intact());
}
