//! An administrator edits, disables and enables users.

use sallyport_proto::admin::v1 as pb;
use sallyport_proto::identity::v1::UserStatus;
use sea_orm::ConnectionTrait;
use tonic::{Code, Status};

use crate::on_both;
use crate::world::{Org, Reason, World, by, event};

on_both!(
    a_user_is_edited_and_identity_is_told,
    an_edit_over_a_newer_one_is_refused_with_what_differs,
    each_bad_field_of_a_user_is_named_and_none_is_saved,
    an_active_factor_keeps_its_number_from_an_administrator,
    a_disabled_user_reaches_nothing_until_he_is_enabled,
    who_had_no_password_yet_is_invited_anew_when_enabled,
    nobody_gives_or_takes_what_he_does_not_hold,
);

fn kinds(log: &[pb::LoggedEvent]) -> Vec<&str> {
    log.iter()
        .map(|logged| logged.event.as_ref().unwrap().r#type.as_str())
        .collect()
}

async fn a_user_is_edited_and_identity_is_told(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    let mut read = world.read(&org.token, &user).await;
    let fields = read.fields.as_mut().unwrap();
    fields.two_factor_required = true;
    fields.role_group_ids = vec![world.administrators(&org).await];
    let profile = fields.profile.as_mut().unwrap();
    profile.first_name = " Béa ".into();
    profile.mobile_number = "+33 6 12 34 56 78".into();
    profile.locale = "en".into();
    let saved = world.edit(&org.token, &user, &read).await.unwrap();
    let now = world.read(&org.token, &user).await;
    assert_eq!(
        (saved.user, saved.fields, saved.version),
        (now.user.clone(), now.fields.clone(), now.version)
    );
    assert_eq!(now.version, read.version + 1);
    assert_eq!(now.user.unwrap().role_groups, ["Administrators"]);
    let profile = now.fields.unwrap().profile.unwrap();
    assert_eq!(profile.first_name, "Béa");
    assert_eq!(profile.mobile_number, "+33612345678");
    world
        .identity
        .until("identity is told", |state| {
            let told = &state.users[&user];
            told.two_factor_required && told.locale == "en" && told.permissions.len() == 9
        })
        .await;
    let log = world.log_of(&org, &user).await;
    assert_eq!(
        kinds(&log)[..2],
        ["privilege_permissions_changed", "user_updated"]
    );
    let updated = log[1].event.as_ref().unwrap();
    assert_eq!(updated.actor, org.admin);
    assert_eq!(
        updated.details["fields"],
        "first_name,mobile_number,locale,two_factor_required"
    );
    assert!(!format!("{log:?}").contains("612345678"));
    // The second click of a double click.
    let again = world.edit(&org.token, &user, &read).await.unwrap();
    assert_eq!(again.version, now.version);
    assert_eq!(
        world.log_of(&org, &user).await.len(),
        log.len() + 1,
        "log_read"
    );
}

async fn an_edit_over_a_newer_one_is_refused_with_what_differs(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (user, token) = world.member(&org, "bo").await;
    let read = world.read(&org.token, &user).await;
    // He edits himself meanwhile.
    let mut own = read.fields.clone().unwrap().profile;
    own.as_mut().unwrap().last_name = "Roy-Martin".into();
    let update = pb::UpdateProfileRequest {
        fields: own,
        version: read.version,
    };
    world
        .profiles()
        .update_profile(by(&token, update))
        .await
        .unwrap();
    let mut stale = read.clone();
    stale.fields.as_mut().unwrap().disabled = true;
    let refusal = world.edit(&org.token, &user, &stale).await.refusal();
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Aborted, "edit.conflict")
    );
    assert_eq!(refusal.get("fields"), Some("last_name,disabled"));
    let now = world.read(&org.token, &user).await;
    assert!(!now.fields.unwrap().disabled);
    // Of many who read the same version one saves.
    let current = world.read(&org.token, &user).await;
    let edits = (0..8).map(|n| {
        let mut read = current.clone();
        let profile = read.fields.as_mut().unwrap().profile.as_mut().unwrap();
        profile.first_name = format!("Name {n}");
        let (world, org, user) = (&world, &org, &user);
        async move { world.edit(&org.token, user, &read).await }
    });
    let mut saved = 0;
    for outcome in futures::future::join_all(edits).await {
        match outcome {
            Ok(_) => saved += 1,
            refused => assert_eq!(refused.reason(), "edit.conflict"),
        }
    }
    assert_eq!(saved, 1);
}

async fn each_bad_field_of_a_user_is_named_and_none_is_saved(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let rival = world.organisation("rival.example", 3).await;
    let user = world.add(&org, "bo").await;
    let before = world.read(&org.token, &user).await;
    let mut bad = before.clone();
    let fields = bad.fields.as_mut().unwrap();
    // A group of another organisation is none of ours.
    fields.role_group_ids = vec![world.administrators(&rival).await];
    fields.two_factor_required = true;
    let profile = fields.profile.as_mut().unwrap();
    profile.first_name.clear();
    profile.mobile_number = "06 12 34 56 78".into();
    profile.time_zone = "Paris".into();
    let refusal = world.edit(&org.token, &user, &bad).await.refusal();
    assert_eq!(refusal.code, Code::InvalidArgument);
    let expected = [
        ("first_name", "field.required"),
        ("country", "phone.country_required"),
        ("time_zone", "time_zone.unknown"),
        ("role_group_ids", "role_group.unknown"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(field, reason)| ((*field).to_owned(), (*reason).to_owned()))
        .collect();
    assert_eq!(refusal.fields, expected);
    let mut none = before.clone();
    none.fields = None;
    let refused = world.edit(&org.token, &user, &none).await;
    assert_eq!(refused.reason(), "field.required");
    assert_eq!(world.read(&org.token, &user).await, before);
}

async fn an_active_factor_keeps_its_number_from_an_administrator(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    let enabled = event(&org, "two_factor_enabled", &user, world.clock_now());
    world.append(vec![enabled]).await.unwrap();
    let before = world.read(&org.token, &user).await;
    let with_number = |number: &str, first_name: &str| {
        let mut read = before.clone();
        let profile = read.fields.as_mut().unwrap().profile.as_mut().unwrap();
        profile.mobile_number = number.into();
        profile.first_name = first_name.into();
        read
    };
    for first_name in ["Bo", ""] {
        let moved = with_number("+33 6 12 34 56 78", first_name);
        let refusal = world.edit(&org.token, &user, &moved).await.refusal();
        let locked = ("mobile_number".into(), "two_factor.number_locked".into());
        assert!(refusal.fields.contains(&locked), "{refusal:?}");
        assert_eq!(refusal.code, Code::InvalidArgument);
    }
    assert_eq!(world.read(&org.token, &user).await, before);
    world
        .edit(&org.token, &user, &with_number("", "Bo"))
        .await
        .unwrap();
}

async fn a_disabled_user_reaches_nothing_until_he_is_enabled(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (user, token) = world.member(&org, "bo").await;
    let set = event(&org, "authn_password_change", &user, world.clock_now());
    world.append(vec![set]).await.unwrap();
    let set_disabled = async |disabled: bool| {
        let mut read = world.read(&org.token, &user).await;
        read.fields.as_mut().unwrap().disabled = disabled;
        let saved = world.edit(&org.token, &user, &read).await.unwrap();
        saved.user.unwrap().state()
    };
    let own = || by(&token, pb::GetProfileRequest {});
    world.profiles().get_profile(own()).await.unwrap();
    assert_eq!(set_disabled(true).await, pb::UserState::Disabled);
    // At once, whatever identity has heard of it.
    let refused = world.profiles().get_profile(own()).await;
    assert_eq!(refused.reason(), "session.expired");
    world
        .identity
        .until("identity ends his sessions", |state| {
            state.users[&user].status() == UserStatus::Disabled
        })
        .await;
    // What he does elsewhere does not bring him back.
    let late = event(&org, "authn_login_success", &user, world.clock_now());
    world.append(vec![late]).await.unwrap();
    let state = world.read(&org.token, &user).await.user.unwrap().state();
    assert_eq!(state, pb::UserState::Disabled);
    assert_eq!(set_disabled(false).await, pb::UserState::Active);
    world.profiles().get_profile(own()).await.unwrap();
    world
        .identity
        .until("identity lets him in", |state| {
            state.users[&user].status() == UserStatus::Active
        })
        .await;
    let log = world.log_of(&org, &user).await;
    let kinds = kinds(&log);
    let place = |kind: &str| kinds.iter().position(|other| *other == kind).unwrap();
    assert!(place("user_enabled") < place("user_disabled"));
    assert!(!kinds.contains(&"user_updated"));
}

async fn who_had_no_password_yet_is_invited_anew_when_enabled(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    let mails = |world: &World| {
        let mails = world.identity.state().mails;
        mails.values().filter(|whom| **whom == user).count()
    };
    assert_eq!(mails(&world), 1);
    for disabled in [true, false] {
        let mut read = world.read(&org.token, &user).await;
        read.fields.as_mut().unwrap().disabled = disabled;
        world.edit(&org.token, &user, &read).await.unwrap();
    }
    let state = world.read(&org.token, &user).await.user.unwrap().state();
    assert_eq!(state, pb::UserState::Invited);
    world.let_time_run();
    world
        .identity
        .until("another invitation", |state| {
            state.mails.values().filter(|whom| **whom == user).count() == 2
        })
        .await;
}

/// A group with these permissions in the store, with the user as its member.
async fn group(world: &World, name: &str, permissions: &str, member: &str) {
    let database = world.database().await;
    let id = match database.backend() {
        sea_orm::DbBackend::Sqlite => "randomblob(16)",
        _ => "gen_random_uuid()",
    };
    for sql in [
        format!(
            "INSERT INTO role_groups (id, organisation_id, name, built_in, permissions) \
             SELECT {id}, organisation_id, '{name}', false, '{permissions}' \
             FROM role_groups WHERE built_in"
        ),
        format!(
            "INSERT INTO user_role_groups (user_id, role_group_id, organisation_id) \
             SELECT u.id, g.id, g.organisation_id FROM users u, role_groups g \
             WHERE u.email LIKE '{member}@%' AND g.name = '{name}'"
        ),
    ] {
        database
            .connection()
            .execute_unprepared(&sql)
            .await
            .unwrap();
    }
}

async fn change(
    world: &World,
    token: &str,
    user: &str,
    change: &dyn Fn(&mut pb::UserFields),
) -> Result<pb::UpdateUserResponse, Status> {
    let mut read = world.read(token, user).await;
    change(read.fields.as_mut().unwrap());
    world.edit(token, user, &read).await
}

async fn nobody_gives_or_takes_what_he_does_not_hold(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let administrators = world.administrators(&org).await;
    let (manager, token) = world.member(&org, "cy").await;
    group(&world, "Managers", "user_management", "cy").await;
    let managers = role_group(&world, &org, "Managers").await;
    let user = world.add(&org, "bo").await;
    // Without "roles" no group is changed, one's own included.
    let join = |id: &str| {
        let id = id.to_owned();
        move |fields: &mut pb::UserFields| fields.role_group_ids.push(id.clone())
    };
    for (whom, id) in [
        (&user, &managers),
        (&user, &administrators),
        (&manager, &administrators),
    ] {
        let refused = change(&world, &token, whom, &join(id)).await;
        assert_eq!(refused.reason(), "permission.denied");
    }
    // Nor is anybody kept out or deleted who holds more, though his name may be corrected.
    let refused = change(&world, &token, &org.admin, &|fields| fields.disabled = true).await;
    assert_eq!(refused.reason(), "permission.denied");
    let refused = world.delete(&token, &org.admin, "admin@acme.example").await;
    assert_eq!(refused.reason(), "permission.denied");
    let rename = |fields: &mut pb::UserFields| {
        fields.profile.as_mut().unwrap().last_name = "Royer".into();
    };
    change(&world, &token, &org.admin, &rename).await.unwrap();
    change(&world, &token, &user, &|fields| fields.disabled = true)
        .await
        .unwrap();
    // With "roles" he gives what he holds and nothing more.
    group(&world, "Grantors", "roles", "cy").await;
    change(&world, &token, &user, &join(&managers))
        .await
        .unwrap();
    let refused = change(&world, &token, &user, &join(&administrators)).await;
    assert_eq!(refused.reason(), "permission.denied");
    // A group that is taken away acts on the open session at once.
    change(&world, &org.token, &manager, &|fields| {
        fields.role_group_ids.clear()
    })
    .await
    .unwrap();
    let list = by(&token, pb::ListUsersRequest::default());
    assert_eq!(
        world.users().list_users(list).await.reason(),
        "permission.denied"
    );
    assert!(world.verify(&org).await.is_intact());
}

async fn role_group(world: &World, org: &Org, name: &str) -> String {
    let request = by(&org.token, pb::ListRoleGroupsRequest {});
    let groups = world.users().list_role_groups(request).await.unwrap();
    let mut groups = groups.into_inner().role_groups.into_iter();
    groups
        .find(|group| group.name == name)
        .unwrap()
        .role_group_id
}
