//! Users are deleted, and brought back within the window.

use std::time::Duration;

use sallyport_proto::admin::v1 as pb;
use sallyport_proto::identity::v1::UserStatus;

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by, event};

on_both!(
    a_deleted_user_loses_seat_and_sessions_and_keeps_his_events,
    a_deletion_is_undone_within_its_window_and_not_behind_it,
    who_was_disabled_comes_back_disabled_and_who_was_invited_invited,
    nobody_is_deleted_without_his_address_typed_again,
);

const DAY: Duration = Duration::from_secs(86_400);

async fn list(world: &World, org: &Org, state: pb::UserState) -> Vec<pb::UserRow> {
    let request = pb::ListUsersRequest {
        state: state.into(),
        ..Default::default()
    };
    let users = world.users().list_users(by(&org.token, request)).await;
    users.unwrap().into_inner().users
}

fn restore(
    world: &World,
    org: &Org,
    user: &str,
) -> impl Future<Output = Result<pb::UserRow, tonic::Status>> + use<> {
    let user_id = user.to_owned();
    let request = by(&org.token, pb::RestoreUserRequest { user_id });
    let mut users = world.users();
    async move {
        let restored = users.restore_user(request).await?;
        Ok(restored.into_inner().user.unwrap())
    }
}

/// Adds a user with a seat who has set a password; id and token.
async fn active(world: &World, org: &Org, local: &str) -> (String, String) {
    let mut request = addition(org, local);
    request.plan_id = org.plan.clone();
    let added = world.users().add_user(by(&org.token, request)).await;
    let id = added.unwrap().into_inner().user.unwrap().user_id;
    let set = event(org, "authn_password_change", &id, world.clock_now());
    world.append(vec![set]).await.unwrap();
    let token = world.sign_in(&org.id, &id, 1);
    (id, token)
}

async fn assigned(world: &World, org: &Org) -> u32 {
    let request = by(&org.token, pb::ListPlansRequest {});
    let plans = world.licences().list_plans(request).await.unwrap();
    plans.into_inner().plans[0].assigned
}

async fn a_deleted_user_loses_seat_and_sessions_and_keeps_his_events(world: World) {
    let org = world.organisation("acme.example", 2).await;
    let (user, token) = active(&world, &org, "bo").await;
    assert_eq!(assigned(&world, &org).await, 2);
    // In any case and with blanks around it.
    world
        .delete(&org.token, &user, " BO@Acme.example ")
        .await
        .unwrap();
    assert_eq!(assigned(&world, &org).await, 1);
    let own = by(&token, pb::GetProfileRequest {});
    let refused = world.profiles().get_profile(own).await;
    assert_eq!(refused.reason(), "session.expired");
    world
        .identity
        .until("identity ends his sessions", |state| {
            state.users[&user].status() == UserStatus::Deleted
        })
        .await;
    let get = pb::GetUserRequest {
        user_id: user.clone(),
    };
    let gone = world.users().get_user(by(&org.token, get)).await;
    assert_eq!(gone.reason(), "user.not_found");
    let again = world.delete(&org.token, &user, "bo@acme.example").await;
    assert_eq!(again.reason(), "user.not_found");
    let left = list(&world, &org, pb::UserState::Unspecified).await;
    assert!(left.iter().all(|row| row.user_id != user));
    // Events stay, and name him no more.
    let log = world.log_of(&org, &org.admin).await;
    let about: Vec<_> = log
        .iter()
        .filter(|logged| logged.event.as_ref().unwrap().target == user)
        .collect();
    let kinds: Vec<&str> = about
        .iter()
        .map(|logged| logged.event.as_ref().unwrap().r#type.as_str())
        .filter(|kind| *kind != "authz_fail")
        .collect();
    assert_eq!(
        kinds,
        [
            "user_deleted",
            "licence_removed",
            "licence_assigned",
            "user_created"
        ]
    );
    assert!(about.iter().all(|logged| logged.target_name.is_empty()));
    assert!(world.verify(&org).await.is_intact());
}

async fn a_deletion_is_undone_within_its_window_and_not_behind_it(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (bo, token) = active(&world, &org, "bo").await;
    let (cy, _) = active(&world, &org, "cy").await;
    for (user, email) in [(&bo, "bo@acme.example"), (&cy, "cy@acme.example")] {
        world.delete(&org.token, user, email).await.unwrap();
    }
    // The address is kept for him meanwhile.
    let added = world
        .users()
        .add_user(by(
            &org.token,
            pb::AddUserRequest {
                idempotency_key: "again".into(),
                ..addition(&org, "bo")
            },
        ))
        .await;
    assert_eq!(added.reason(), "email.exists");
    world.clock.advance(30 * DAY - Duration::from_millis(1));
    let deleted = list(&world, &org, pb::UserState::Deleted).await;
    assert_eq!(deleted.len(), 2);
    assert!(deleted.iter().all(|row| row.restorable_until.is_some()));
    let row = restore(&world, &org, &bo).await.unwrap();
    assert_eq!(row.state(), pb::UserState::Active);
    assert!(row.licence.is_none() && row.restorable_until.is_none());
    let own = by(&token, pb::GetProfileRequest {});
    world.profiles().get_profile(own).await.unwrap();
    world
        .identity
        .until("identity lets him in", |state| {
            state.users[&bo].status() == UserStatus::Active
        })
        .await;
    assert_eq!(restore(&world, &org, &bo).await.reason(), "user.not_found");
    let log = world.log_of(&org, &bo).await;
    assert_eq!(log[1].event.as_ref().unwrap().r#type, "user_restored");
    world.clock.advance(Duration::from_millis(1));
    assert!(list(&world, &org, pb::UserState::Deleted).await.is_empty());
    assert_eq!(restore(&world, &org, &cy).await.reason(), "user.not_found");
}

async fn who_was_disabled_comes_back_disabled_and_who_was_invited_invited(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (disabled, _) = active(&world, &org, "bo").await;
    let mut read = world.read(&org.token, &disabled).await;
    read.fields.as_mut().unwrap().disabled = true;
    world.edit(&org.token, &disabled, &read).await.unwrap();
    let invited = world.add(&org, "cy").await;
    for (user, email, state) in [
        (&disabled, "bo@acme.example", pb::UserState::Disabled),
        (&invited, "cy@acme.example", pb::UserState::Invited),
    ] {
        world.delete(&org.token, user, email).await.unwrap();
        let row = restore(&world, &org, user).await.unwrap();
        assert_eq!(row.state(), state);
    }
    // The link of the first invitation has ended.
    world.let_time_run();
    world
        .identity
        .until("another invitation", |state| {
            state.mails.values().filter(|w| **w == invited).count() == 2
        })
        .await;
    let mails = world.identity.state().mails;
    assert_eq!(mails.values().filter(|w| **w == disabled).count(), 1);
}

async fn nobody_is_deleted_without_his_address_typed_again(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    for typed in ["", "bo", "cy@acme.example", "admin@acme.example"] {
        let refusal = world.delete(&org.token, &user, typed).await.refusal();
        let field = ("email".to_owned(), "email.mismatch".to_owned());
        assert_eq!(refusal.fields, [field], "{typed}");
    }
    assert_eq!(list(&world, &org, pb::UserState::Invited).await.len(), 2);
}
