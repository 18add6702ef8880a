use sallyport_proto::admin::v1 as pb;
use tonic::Status;

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by};

on_both!(
    twenty_race_for_the_last_three_seats,
    twenty_additions_race_for_the_last_three_seats,
    a_seat_is_changed_and_taken_back_and_the_events_stay,
);

fn assign(
    world: &World,
    org: &Org,
    user: &str,
    plan: &str,
) -> impl Future<Output = Result<tonic::Response<pb::AssignLicenceResponse>, Status>> + use<> {
    let request = pb::AssignLicenceRequest {
        user_id: user.into(),
        plan_id: plan.into(),
    };
    let (mut licences, request) = (world.licences(), by(&org.token, request));
    async move { licences.assign_licence(request).await }
}

async fn plan(world: &World, org: &Org) -> pb::Plan {
    let request = by(&org.token, pb::ListPlansRequest {});
    let plans = world
        .licences()
        .list_plans(request)
        .await
        .unwrap()
        .into_inner()
        .plans;
    plans
        .into_iter()
        .find(|plan| plan.plan_id == org.plan)
        .unwrap()
}

async fn holders(world: &World, org: &Org) -> usize {
    let request = pb::ListUsersRequest {
        page_size: 200,
        ..pb::ListUsersRequest::default()
    };
    let users = world
        .users()
        .list_users(by(&org.token, request))
        .await
        .unwrap()
        .into_inner()
        .users;
    users.iter().filter(|user| user.licence.is_some()).count()
}

async fn twenty_race_for_the_last_three_seats(world: World) {
    let org = world.organisation("acme.example", 4).await;
    let mut users = Vec::new();
    for n in 0..20 {
        users.push(world.add(&org, &format!("u{n}")).await);
    }
    let tries = users
        .iter()
        .map(|user| assign(&world, &org, user, &org.plan));
    let mut won = 0;
    for outcome in futures::future::join_all(tries).await {
        match outcome {
            Ok(_) => won += 1,
            refused => assert_eq!(refused.reason(), "licence.none_available"),
        }
    }
    assert_eq!(won, 3);
    let plan = plan(&world, &org).await;
    assert_eq!((plan.purchased, plan.assigned), (4, 4));
    assert_eq!(holders(&world, &org).await, 4);
    assert!(world.verify(&org).await.is_intact());
}

async fn twenty_additions_race_for_the_last_three_seats(world: World) {
    let org = world.organisation("acme.example", 4).await;
    let tries = (0..20).map(|n| {
        let mut request = addition(&org, &format!("u{n}"));
        request.plan_id = org.plan.clone();
        let (mut users, request) = (world.users(), by(&org.token, request));
        async move { users.add_user(request).await }
    });
    let mut won = 0;
    for outcome in futures::future::join_all(tries).await {
        match outcome {
            Ok(_) => won += 1,
            refused => assert_eq!(refused.reason(), "licence.none_available"),
        }
    }
    assert_eq!(won, 3);
    assert_eq!(plan(&world, &org).await.assigned, 4);
    assert_eq!(holders(&world, &org).await, 4);
    let request = by(&org.token, pb::ListUsersRequest::default());
    let users = world
        .users()
        .list_users(request)
        .await
        .unwrap()
        .into_inner()
        .users;
    assert_eq!(users.len(), 4, "who got no seat was not added either");
}

async fn a_seat_is_changed_and_taken_back_and_the_events_stay(world: World) {
    let org = world.organisation("acme.example", 2).await;
    let user = world.add(&org, "bo").await;
    let other = world.add(&org, "cy").await;
    assign(&world, &org, &user, &org.plan).await.unwrap();
    // Again is harmless and takes no second seat.
    assign(&world, &org, &user, &org.plan).await.unwrap();
    assert_eq!(plan(&world, &org).await.assigned, 2);
    world
        .identity
        .until("licensed", |state| state.users[&user].licensed)
        .await;
    assert_eq!(
        assign(&world, &org, &other, &org.plan).await.reason(),
        "licence.none_available"
    );
    // A change to a plan that is not there leaves the seat as it is.
    let unknown = uuid::Uuid::now_v7().to_string();
    assert_eq!(
        assign(&world, &org, &user, &unknown).await.reason(),
        "plan.not_found"
    );
    assert_eq!(plan(&world, &org).await.assigned, 2);
    assign(&world, &org, &user, "").await.unwrap();
    assign(&world, &org, &user, "").await.unwrap();
    assert_eq!(plan(&world, &org).await.assigned, 1);
    world
        .identity
        .until("not licensed", |state| !state.users[&user].licensed)
        .await;
    assign(&world, &org, &other, &org.plan).await.unwrap();
    let kinds: Vec<String> = world
        .log_of(&org, &user)
        .await
        .into_iter()
        .map(|e| e.event.unwrap().r#type)
        .collect();
    assert_eq!(
        kinds,
        ["licence_removed", "licence_assigned", "user_created"]
    );
}
