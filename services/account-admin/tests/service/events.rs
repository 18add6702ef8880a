use std::collections::BTreeSet;
use std::time::Duration;

use account_admin::chain::Finding;
use sallyport_chassis::Peer;
use sallyport_proto::admin::v1 as pb;
use sea_orm::ConnectionTrait;

use crate::on_both;
use crate::world::{Reason, World, by, event};

on_both!(
    events_that_come_twice_and_at_once_are_chained_once,
    events_bring_the_users_row_in_line_in_any_order,
    a_log_bent_in_the_store_is_found,
    malformed_events_are_refused_and_nothing_of_their_request_is_kept,
    what_callers_make_up_is_cut_and_cleaned_and_never_refused,
    events_of_nobody_known_have_a_chain_of_their_own,
    pages_of_events_are_complete_while_events_arrive,
    a_user_sees_no_address_of_another_in_his_own_log,
);

async fn events_that_come_twice_and_at_once_are_chained_once(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let rival = world.organisation("rival.example", 3).await;
    let now = world.clock_now();
    let batches: Vec<Vec<pb::Event>> = (0..8)
        .map(|_| {
            let mut batch: Vec<pb::Event> = (0..10)
                .map(|_| event(&org, "authn_login_success", &org.admin, now))
                .collect();
            batch.push(event(&rival, "authn_login_fail", &rival.admin, now));
            // One event twice in one request.
            batch.push(batch[0].clone());
            batch
        })
        .collect();
    // Every batch is sent three times, all at once.
    let sends = batches
        .iter()
        .flat_map(|batch| [batch; 3])
        .map(|batch| world.append(batch.clone()));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    let ids: BTreeSet<String> = world
        .log_of(&org, &org.admin)
        .await
        .into_iter()
        .filter_map(|e| e.event)
        .filter(|e| e.r#type == "authn_login_success")
        .map(|e| e.event_id)
        .collect();
    assert_eq!(ids.len(), 80);
    // Two for the organisation's making name its administrator, two name other rows.
    let report = world.verify(&org).await;
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.rows, 84);
    let report = world.verify(&rival).await;
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.rows, 12);
}

async fn events_bring_the_users_row_in_line_in_any_order(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let user = world.add(&org, "bo").await;
    let at = |seconds: i64| world.clock_now() + jiff::SignedDuration::from_secs(seconds);
    let row = async || {
        let get = by(
            &org.token,
            pb::GetUserRequest {
                user_id: user.clone(),
            },
        );
        world
            .users()
            .get_user(get)
            .await
            .unwrap()
            .into_inner()
            .user
            .unwrap()
    };
    let mut failed = event(&org, "authn_login_success", &user, at(1));
    failed.set_result(pb::EventResult::Refused);
    world.append(vec![failed]).await.unwrap();
    assert_eq!(
        row().await.state(),
        pb::UserState::Invited,
        "a refused one changes nothing"
    );
    world
        .append(vec![event(&org, "authn_password_change", &user, at(2))])
        .await
        .unwrap();
    assert_eq!(row().await.state(), pb::UserState::Active);
    assert_eq!(row().await.last_sign_in_at, None);

    world
        .append(vec![event(&org, "authn_login_success", &user, at(20))])
        .await
        .unwrap();
    world
        .append(vec![event(&org, "authn_login_success", &user, at(10))])
        .await
        .unwrap();
    assert_eq!(
        row().await.last_sign_in_at,
        Some(sallyport_chassis::clock::to_proto(at(20)))
    );

    world
        .append(vec![event(&org, "two_factor_enabled", &user, at(30))])
        .await
        .unwrap();
    assert!(row().await.two_factor_active);
    // Wrong tries that disabled the factor do not lower what sign-in asks.
    world
        .append(vec![event(
            &org,
            "authn_second_factor_disabled",
            &user,
            at(31),
        )])
        .await
        .unwrap();
    assert!(row().await.two_factor_active);
    world
        .append(vec![event(&org, "two_factor_disabled", &user, at(50))])
        .await
        .unwrap();
    world
        .append(vec![event(&org, "two_factor_enabled", &user, at(40))])
        .await
        .unwrap();
    assert!(
        !row().await.two_factor_active,
        "the newest counts, not the last to come"
    );

    // Another organisation's user is out of reach of an event.
    let rival = world.organisation("rival.example", 3).await;
    world
        .append(vec![event(&rival, "two_factor_enabled", &user, at(60))])
        .await
        .unwrap();
    assert!(!row().await.two_factor_active);
}

async fn a_log_bent_in_the_store_is_found(world: World) {
    let org = world.organisation("acme.example", 3).await;
    for _ in 0..4 {
        let sent = event(&org, "authn_login_success", &org.admin, world.clock_now());
        world.append(vec![sent]).await.unwrap();
    }
    let database = world.database().await;
    let run = async |sql: &str| {
        database.connection().execute_unprepared(sql).await.unwrap();
    };
    assert_eq!(world.verify(&org).await.rows, 8);
    // The nil organisation's chain is empty, so sequences name rows of this organisation only.
    run(
        "UPDATE event_persons SET salt = '', client_ip = '', user_agent = '', actor_name = '', \
         actor_email = '', target_name = '', target_email = '', erased_at = 1 \
         WHERE event_id = (SELECT event_id FROM events WHERE sequence = 2)",
    )
    .await;
    let report = world.verify(&org).await;
    assert!(report.is_intact());
    assert_eq!(report.erased, 1);
    run("UPDATE event_persons SET client_ip = '192.0.2.8' \
         WHERE event_id = (SELECT event_id FROM events WHERE sequence = 5)")
    .await;
    run("UPDATE events SET details = '{\"plan_id\":\"x\"}' WHERE sequence = 4").await;
    run("DELETE FROM events WHERE sequence = 6").await;
    run("DELETE FROM events WHERE sequence = 8").await;
    assert_eq!(
        world.verify(&org).await.findings,
        [
            Finding::Edited { sequence: 4 },
            Finding::PersonEdited { sequence: 5 },
            Finding::Removed { first: 6, last: 6 },
            Finding::CutOff { first: 8, last: 8 },
        ]
    );
}

async fn malformed_events_are_refused_and_nothing_of_their_request_is_kept(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let good = || event(&org, "authn_login_success", &org.admin, world.clock_now());
    type Bend = Box<dyn Fn(&mut pb::Event)>;
    let bent: Vec<(&str, Bend)> = vec![
        ("event_id", Box::new(|e| e.event_id = "x".into())),
        (
            "organisation_id",
            Box::new(|e| e.organisation_id = "x".into()),
        ),
        ("occurred_at", Box::new(|e| e.occurred_at = None)),
        ("type", Box::new(|e| e.r#type = "Login!".into())),
        ("result", Box::new(|e| e.result = 0)),
        ("actor", Box::new(|e| e.actor = "x".repeat(201))),
        ("target", Box::new(|e| e.target = "a\u{0}b".into())),
        ("reason", Box::new(|e| e.reason = "a\nb".into())),
        ("client_ip", Box::new(|e| e.client_ip = "x".repeat(46))),
        (
            "details",
            Box::new(|e| drop(e.details.insert("a".into(), "x".repeat(1_000)))),
        ),
    ];
    for (field, bend) in bent {
        let mut bad = good();
        bend(&mut bad);
        let refusal = world.append(vec![good(), bad]).await.refusal();
        assert_eq!(
            (refusal.reason.as_str(), refusal.fields[0].0.as_str()),
            ("event.invalid", field)
        );
    }
    assert_eq!(world.verify(&org).await.rows, 4);
    // An unknown organisation is told, and holds up no other's events.
    let mut stray = good();
    stray.organisation_id = uuid::Uuid::now_v7().to_string();
    let outcome = world.append(vec![stray, good()]).await;
    assert_eq!(outcome.reason(), "organisation.not_found");
    assert_eq!(world.verify(&org).await.rows, 5);
}

async fn what_callers_make_up_is_cut_and_cleaned_and_never_refused(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let mut odd = event(&org, "authn_login_fail", &org.admin, world.clock_now());
    odd.user_agent = format!("a\u{0}\n{}", "b".repeat(400));
    odd.request_id = "abcd\tefgh".into();
    let mut long = event(&org, "authn_login_fail", &org.admin, world.clock_now());
    long.request_id = "é".repeat(65);
    world.append(vec![odd, long]).await.unwrap();
    let log = world.log_of(&org, &org.admin).await;
    let [long, odd] = [&log[0], &log[1]].map(|logged| logged.event.as_ref().unwrap());
    assert_eq!(odd.user_agent, format!("a{}", "b".repeat(255)));
    assert_eq!(odd.request_id, "abcdefgh");
    assert_eq!(long.request_id, "é".repeat(64));
    assert!(world.verify(&org).await.is_intact());
}

async fn events_of_nobody_known_have_a_chain_of_their_own(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let mut nobody = event(&org, "authn_login_fail", "", world.clock_now());
    nobody.organisation_id.clear();
    nobody.set_result(pb::EventResult::Refused);
    world.append(vec![nobody.clone(), nobody]).await.unwrap();
    let database = world.database().await;
    let report = account_admin::verify_chain(&database, uuid::Uuid::nil(), None)
        .await
        .unwrap()
        .unwrap();
    assert!(report.is_intact());
    assert_eq!(report.rows, 1);
    assert_eq!(world.verify(&org).await.rows, 4);
}

async fn pages_of_events_are_complete_while_events_arrive(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (user, token) = world.member(&org, "bo").await;
    for n in 0..11 {
        let mut sent = event(&org, "authn_login_success", &user, world.clock_now());
        // By him, about him, or both: each is his, once.
        match n % 3 {
            0 => sent.actor = org.admin.clone(),
            1 => sent.target = org.admin.clone(),
            _ => {}
        }
        world.append(vec![sent]).await.unwrap();
    }
    let mut sequences: Vec<u64> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListEventsRequest {
            user_id: String::new(),
            page_size: 4,
            page_token,
        };
        let page = world
            .events(Peer::service("gateway"))
            .list_events(by(&token, request))
            .await
            .unwrap()
            .into_inner();
        sequences.extend(page.events.iter().map(|e| e.sequence));
        let late = event(&org, "authn_login_success", &user, world.clock_now());
        world.append(vec![late]).await.unwrap();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sequences.len(), 12, "eleven, and his making");
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    let foreign = pb::ListEventsRequest {
        user_id: String::new(),
        page_size: 4,
        page_token: "00".into(),
    };
    let refused = world
        .events(Peer::service("gateway"))
        .list_events(by(&token, foreign))
        .await;
    assert_eq!(refused.reason(), "page_token.invalid");
}

async fn a_user_sees_no_address_of_another_in_his_own_log(world: World) {
    let org = world.organisation("acme.example", 3).await;
    let (user, token) = world.member(&org, "bo").await;
    let mut attack = event(&org, "authn_login_fail", &user, world.clock_now());
    attack.actor = String::new();
    attack.set_result(pb::EventResult::Refused);
    let own = event(&org, "authn_login_success", &user, world.clock_now());
    world.append(vec![attack, own]).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    let seen = world.log_of(&org, &user).await;
    assert!(
        seen.iter()
            .all(|e| !e.event.as_ref().unwrap().client_ip.is_empty())
    );
    let listed = world
        .events(Peer::service("gateway"))
        .list_events(by(&token, pb::ListEventsRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .events;
    let addresses: Vec<(&str, &str)> = listed
        .iter()
        .map(|e| e.event.as_ref().unwrap())
        .map(|e| (e.r#type.as_str(), e.client_ip.as_str()))
        .collect();
    assert_eq!(
        addresses,
        [
            ("log_read", ""),
            ("authn_login_success", "192.0.2.7"),
            ("authn_login_fail", "192.0.2.7"),
            ("user_created", ""),
        ]
    );
    assert_eq!(listed[0].actor_name, "Ada Roy", "who did it is told");
}
