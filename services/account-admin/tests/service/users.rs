use std::collections::BTreeMap;

use sallyport_proto::admin::v1 as pb;
use sea_orm::{ConnectionTrait, Statement};
use tonic::Code;

use crate::on_both;
use crate::world::{Org, Reason, World, addition, by, event};

on_both!(
    an_added_user_is_invited_and_told_to_identity,
    adding_is_idempotent_by_key,
    a_reset_is_logged_and_reaches_identity_also_after_it_was_away,
    a_reset_that_identity_refuses_for_good_is_asked_for_once,
    who_cannot_be_added_is_refused_and_nothing_is_left,
    users_are_found_by_the_start_of_address_and_names,
    pages_are_complete_and_without_overlap_while_users_are_added,
);

async fn list(
    world: &World,
    org: &Org,
    search: &str,
    size: u32,
    token: &str,
) -> pb::ListUsersResponse {
    let request = pb::ListUsersRequest {
        search: search.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
        ..pb::ListUsersRequest::default()
    };
    world
        .users()
        .list_users(by(&org.token, request))
        .await
        .unwrap()
        .into_inner()
}

async fn an_added_user_is_invited_and_told_to_identity(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let mut request = addition(&org, "Bo");
    request.plan_id = org.plan.clone();
    let added = world
        .users()
        .add_user(by(&org.token, request))
        .await
        .unwrap()
        .into_inner();
    let user = added.user.unwrap();
    assert_eq!(added.link_token, "spl_1");
    assert_eq!(user.email, "bo@acme.example");
    assert_eq!(user.state(), pb::UserState::Invited);
    assert_eq!(user.licence.as_ref().unwrap().plan_name, "Standard");
    assert!(user.role_groups.is_empty());
    let told = world.identity.state().users[&user.user_id].clone();
    assert!(told.permissions.is_empty());
    assert!(told.licensed);
    assert_eq!(told.locale, "fr");
    let log = world.log_of(&org, &user.user_id).await;
    let kinds: Vec<&str> = log
        .iter()
        .map(|e| e.event.as_ref().unwrap().r#type.as_str())
        .collect();
    assert_eq!(kinds, ["licence_assigned", "user_created"]);
    assert_eq!(
        (log[0].actor_name.as_str(), log[0].target_name.as_str()),
        ("Ada Roy", "First Bo Last")
    );
    let got = world
        .users()
        .get_user(by(
            &org.token,
            pb::GetUserRequest {
                user_id: user.user_id.clone(),
            },
        ))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.user.unwrap(), user);
}

async fn adding_is_idempotent_by_key(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let mut request = addition(&org, "bo");
    request.plan_id = org.plan.clone();
    let tries = (0..6).map(|_| {
        let (mut users, request) = (world.users(), by(&org.token, request.clone()));
        async move { users.add_user(request).await.unwrap().into_inner() }
    });
    let answers = futures::future::join_all(tries).await;
    assert!(answers.windows(2).all(|pair| pair[0].user == pair[1].user));
    let links = answers
        .iter()
        .filter(|answer| !answer.link_token.is_empty());
    assert_eq!(links.count(), 1, "the link is shown once");
    assert_eq!(list(&world, &org, "", 0, "").await.users.len(), 2);
    let user = answers[0].user.clone().unwrap();
    let mails = world.identity.state().mails;
    assert_eq!(
        mails.values().filter(|whom| **whom == user.user_id).count(),
        1
    );
    assert_eq!(world.log_of(&org, &user.user_id).await.len(), 2);

    request.last_name = "Other".into();
    let other = world
        .users()
        .add_user(by(&org.token, request.clone()))
        .await;
    assert_eq!(other.reason(), "idempotency.conflict");
    let too_long = "k".repeat(129);
    for (key, reason) in [
        ("", "idempotency.required"),
        ("two words", "idempotency.invalid"),
        (too_long.as_str(), "idempotency.invalid"),
    ] {
        request.idempotency_key = key.to_owned();
        let refused = world
            .users()
            .add_user(by(&org.token, request.clone()))
            .await
            .refusal();
        let field = ("idempotency_key".to_owned(), reason.to_owned());
        assert_eq!(
            (refused.reason, refused.fields),
            (field.1.clone(), vec![field])
        );
    }
}

async fn who_cannot_be_added_is_refused_and_nothing_is_left(world: World) {
    let org = world.organisation("acme.example", 1).await;
    let rival = world.organisation("rival.example", 1).await;
    let with = |change: &dyn Fn(&mut pb::AddUserRequest)| {
        let mut request = addition(&org, "bo");
        change(&mut request);
        let mut users = world.users();
        let request = by(&org.token, request);
        async move { users.add_user(request).await.refusal() }
    };
    for (email, reason) in [
        ("bo@sub.acme.example", "email.domain_not_approved"),
        ("bo@\u{430}cme.example", "email.domain_not_approved"),
        ("bo@rival.example", "email.domain_not_approved"),
        ("bo@gmail.com", "email.domain_not_approved"),
        ("bo", "email.invalid"),
        ("bö@acme.example", "email.invalid"),
    ] {
        let refusal = with(&|r| r.email = email.to_owned()).await;
        assert_eq!(refusal.reason, reason, "{email}");
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.fields[0].0, "email");
    }
    let exists = with(&|r| r.email = "ADMIN@Acme.Example".into()).await;
    assert_eq!(
        (exists.reason.as_str(), exists.code),
        ("email.exists", Code::AlreadyExists)
    );
    let faults = with(&|r| {
        r.first_name.clear();
        r.locale = "de".into();
        r.time_zone = "x".into();
    })
    .await;
    assert_eq!(faults.fields.len(), 3);
    // The one seat is the administrator's.
    let none = with(&|r| r.plan_id = org.plan.clone()).await;
    assert_eq!(
        (none.reason.as_str(), none.code),
        ("licence.none_available", Code::FailedPrecondition)
    );
    for plan in [&rival.plan, "x"] {
        assert_eq!(
            with(&|r| r.plan_id = plan.to_owned()).await.reason,
            "plan.not_found"
        );
    }
    assert_eq!(list(&world, &org, "", 0, "").await.users.len(), 1);
    assert_eq!(world.identity.state().users.len(), 2);
    // The address and the key are as free as before.
    with_success(&world, &org).await;
    assert!(world.verify(&org).await.is_intact());
}

async fn with_success(world: &World, org: &Org) {
    world
        .users()
        .add_user(by(&org.token, addition(org, "bo")))
        .await
        .unwrap();
}

async fn a_reset_is_logged_and_reaches_identity_also_after_it_was_away(world: World) {
    let org = world.organisation("acme.example", 2).await;
    let invited = world.add(&org, "bo").await;
    let start = |user_id: &str| {
        let user_id = user_id.to_owned();
        let request = by(&org.token, pb::StartPasswordResetRequest { user_id });
        let mut users = world.users();
        async move { users.start_password_reset(request).await }
    };
    // Whoever has no password is invited, not reset.
    assert_eq!(start(&invited).await.reason(), "user.not_active");
    assert!(world.identity.state().resets.is_empty());
    world
        .append(vec![event(
            &org,
            "authn_password_change",
            &invited,
            world.clock_now(),
        )])
        .await
        .unwrap();
    world.identity.stop().await;
    start(&invited).await.unwrap();
    let log = world.log_of(&org, &invited).await;
    let newest = log[0].event.as_ref().unwrap();
    assert_eq!(
        (newest.r#type.as_str(), newest.actor.as_str()),
        ("password_reset_started", org.admin.as_str())
    );
    world.identity.start_again();
    world.let_time_run();
    world
        .identity
        .until("the reset arrives", |state| {
            state.resets == [invited.clone()]
        })
        .await;
}

async fn a_reset_that_identity_refuses_for_good_is_asked_for_once(world: World) {
    let org = world.organisation("acme.example", 2).await;
    let active = async |local: &str| {
        let user = world.add(&org, local).await;
        let set = event(&org, "authn_password_change", &user, world.clock_now());
        world.append(vec![set]).await.unwrap();
        user
    };
    let start = async |user_id: &str| {
        let user_id = user_id.to_owned();
        let request = by(&org.token, pb::StartPasswordResetRequest { user_id });
        world.users().start_password_reset(request).await.unwrap();
    };
    let (gone, there) = (active("bo").await, active("cy").await);
    world
        .identity
        .change(|state| state.not_active.insert(gone.clone(), 0));
    start(&gone).await;
    world
        .identity
        .until("identity refuses", |state| state.not_active[&gone] > 0)
        .await;
    // What comes behind it finds that it was settled.
    start(&there).await;
    world
        .identity
        .until("the other reset arrives", |state| {
            state.resets == [there.clone()]
        })
        .await;
    let database = world.database().await;
    let waiting = "SELECT COUNT(*) FROM outbox WHERE topic = 'password_reset' AND attempts > 0";
    let statement = Statement::from_string(database.backend(), waiting);
    let row = database.connection().query_one_raw(statement).await;
    let count: i64 = row.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(count, 0);
}

async fn users_are_found_by_the_start_of_address_and_names(world: World) {
    let org = world.organisation("acme.example", 1).await;
    for (local, first, last) in [
        ("a_b", "Élodie", "Martin"),
        ("axb", "Zoé", "O'Neil"),
        ("c", "100%", "Marchand"),
    ] {
        let request = pb::AddUserRequest {
            first_name: first.into(),
            last_name: last.into(),
            ..addition(&org, local)
        };
        world
            .users()
            .add_user(by(&org.token, request))
            .await
            .unwrap();
    }
    for (search, expected) in [
        ("a_b", vec!["a_b"]),
        ("A", vec!["a_b", "admin", "axb"]),
        ("élo", vec!["a_b"]),
        ("ÉLO", vec!["a_b"]),
        ("mar", vec!["a_b", "c"]),
        ("100%", vec!["c"]),
        ("%", vec![]),
        ("_", vec![]),
        ("neil", vec![]),
        ("o'neil", vec!["axb"]),
    ] {
        let found: Vec<String> = list(&world, &org, search, 0, "")
            .await
            .users
            .into_iter()
            .map(|u| u.email.split('@').next().unwrap().to_owned())
            .collect();
        assert_eq!(found, expected, "{search}");
    }
    let bad = pb::ListUsersRequest {
        search: "a\u{0}".into(),
        ..pb::ListUsersRequest::default()
    };
    assert_eq!(
        world.users().list_users(by(&org.token, bad)).await.reason(),
        "field.invalid"
    );
}

async fn pages_are_complete_and_without_overlap_while_users_are_added(world: World) {
    let org = world.organisation("acme.example", 1).await;
    for n in 0..12 {
        world.add(&org, &format!("m{n:02}")).await;
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page = list(&world, &org, "", 5, &token).await;
        assert!(page.users.len() <= 5);
        for user in page.users {
            *seen.entry(user.email).or_default() += 1;
        }
        pages += 1;
        // One who sorts before every page, one who sorts behind.
        world.add(&org, &format!("a{pages}")).await;
        if pages < 3 {
            world.add(&org, &format!("z{pages}")).await;
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for n in 0..12 {
        assert!(seen.contains_key(&format!("m{n:02}@acme.example")));
    }
    assert!(seen.contains_key("z2@acme.example"));
    // A token of another search, or of another organisation, is no place in this list.
    let first = list(&world, &org, "m", 5, "").await.next_page_token;
    let rival = world.organisation("rival.example", 1).await;
    for (asker, search) in [(&org, ""), (&rival, "m")] {
        let request = pb::ListUsersRequest {
            search: search.into(),
            page_size: 5,
            page_token: first.clone(),
            ..pb::ListUsersRequest::default()
        };
        let refused = world.users().list_users(by(&asker.token, request)).await;
        assert_eq!(refused.reason(), "page_token.invalid");
    }
}
