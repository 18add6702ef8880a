//! The list of User Management: filters, orders and pages.

use std::time::Duration;

use sallyport_proto::admin::v1 as pb;

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by, event};

on_both!(
    the_list_is_filtered_by_state_plan_factor_and_group,
    each_order_is_complete_page_by_page,
);

async fn list(world: &World, org: &Org, asked: pb::ListUsersRequest) -> pb::ListUsersResponse {
    let listed = world.users().list_users(by(&org.token, asked)).await;
    listed.unwrap().into_inner()
}

fn locals(users: &[pb::UserRow]) -> Vec<&str> {
    users
        .iter()
        .map(|user| user.email.split('@').next().unwrap())
        .collect()
}

async fn the_list_is_filtered_by_state_plan_factor_and_group(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let bo = world.add(&org, "bo").await;
    let mut with_seat = addition(&org, "cy");
    with_seat.plan_id = org.plan.clone();
    let added = world.users().add_user(by(&org.token, with_seat)).await;
    let cy = added.unwrap().into_inner().user.unwrap().user_id;
    world.administrator(&org, "di").await;
    let mut disabled = world.read(&org.token, &cy).await;
    disabled.fields.as_mut().unwrap().disabled = true;
    world.edit(&org.token, &cy, &disabled).await.unwrap();
    let enabled = event(&org, "two_factor_enabled", &bo, world.clock_now());
    world.append(vec![enabled]).await.unwrap();

    let all = pb::ListUsersRequest::default;
    let in_state = |state: pb::UserState| pb::ListUsersRequest {
        state: state.into(),
        ..all()
    };
    let with_factor = |active| pb::ListUsersRequest {
        two_factor_active: Some(active),
        ..all()
    };
    let of_plan = pb::ListUsersRequest {
        plan_id: org.plan.clone(),
        ..all()
    };
    let administrators = pb::ListUsersRequest {
        role_group_id: world.administrators(&org).await,
        ..all()
    };
    let disabled_of_plan = pb::ListUsersRequest {
        state: pb::UserState::Disabled.into(),
        search: "c".into(),
        ..of_plan.clone()
    };
    for (asked, expected) in [
        (all(), vec!["admin", "bo", "cy", "di"]),
        (in_state(pb::UserState::Invited), vec!["admin", "bo"]),
        (in_state(pb::UserState::Active), vec!["di"]),
        (in_state(pb::UserState::Disabled), vec!["cy"]),
        (in_state(pb::UserState::Deleted), vec![]),
        (with_factor(true), vec!["bo"]),
        (with_factor(false), vec!["admin", "cy", "di"]),
        (of_plan, vec!["admin", "cy"]),
        (administrators, vec!["admin", "di"]),
        (disabled_of_plan, vec!["cy"]),
    ] {
        let users = list(&world, &org, asked.clone()).await.users;
        assert_eq!(locals(&users), expected, "{asked:?}");
    }
    // A filter by what is another organisation's finds nobody.
    let rival = world.organisation("rival.example", 1).await;
    let theirs = pb::ListUsersRequest {
        plan_id: rival.plan,
        ..all()
    };
    assert!(list(&world, &org, theirs).await.users.is_empty());
}

async fn each_order_is_complete_page_by_page(world: World) {
    let org = world.organisation("acme.example", 1).await;
    for (local, last) in [("a", "Zola"), ("b", "Roy"), ("c", "Abel"), ("d", "Roy")] {
        let request = pb::AddUserRequest {
            last_name: last.into(),
            ..addition(&org, local)
        };
        let added = world.users().add_user(by(&org.token, request)).await;
        let user = added.unwrap().into_inner().user.unwrap().user_id;
        // Two sign in, "b" later than "d" is added.
        if ["b", "d"].contains(&local) {
            world.clock.advance(Duration::from_secs(1));
            let signed_in = event(&org, "authn_login_success", &user, world.clock_now());
            world.append(vec![signed_in]).await.unwrap();
        }
    }
    for (sort, expected) in [
        (pb::UserSort::Unspecified, ["a", "admin", "b", "c", "d"]),
        (pb::UserSort::LastName, ["c", "admin", "b", "d", "a"]),
        (pb::UserSort::LastSignIn, ["d", "b", "a", "admin", "c"]),
    ] {
        for page_size in [1, 2, 5] {
            let mut asked = pb::ListUsersRequest {
                sort: sort.into(),
                page_size,
                ..Default::default()
            };
            let mut seen = Vec::new();
            loop {
                let page = list(&world, &org, asked.clone()).await;
                seen.extend(page.users);
                asked.page_token = page.next_page_token;
                if asked.page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(locals(&seen), expected, "{sort:?} by {page_size}");
        }
    }
    // A token of one order is no place in another, nor of one filter in another.
    let first = pb::ListUsersRequest {
        page_size: 1,
        ..Default::default()
    };
    let page_token = list(&world, &org, first).await.next_page_token;
    for asked in [
        pb::ListUsersRequest {
            sort: pb::UserSort::LastName.into(),
            page_token: page_token.clone(),
            ..Default::default()
        },
        pb::ListUsersRequest {
            two_factor_active: Some(false),
            page_token,
            ..Default::default()
        },
    ] {
        let listed = world.users().list_users(by(&org.token, asked)).await;
        assert_eq!(listed.reason(), "page_token.invalid");
    }
}
