//! The table, and what it believes of a call.

use super::*;

fn service() -> CallerService<()> {
    let table = CallerTable::new(
        "gateway",
        &[
            ("/a/Public", Access::Public),
            ("/a/Bearer", Access::Bearer),
            ("/a/Peers", Access::Services(&["identity"])),
            ("/a/Operator", Access::Operator),
        ],
    );
    CallerService { inner: (), table }
}

fn request(peer: Peer, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder();
    for (key, value) in headers {
        request = request.header(*key, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let remote = Some("192.0.2.9:1".parse().unwrap());
    request.extensions_mut().insert(ConnInfo::new(peer, remote));
    request
}

fn reason(path: &str, peer: Peer, headers: &[(&str, &str)]) -> Option<String> {
    service()
        .decide(path, &request(peer, headers))
        .err()
        .map(|r| r.reason)
}

#[test]
fn what_callers_make_up_becomes_no_label() {
    let table = CallerTable::new("gateway", &[("/a/Known", Access::Public)]);
    assert_eq!(table.label("/a/Known"), "a/Known");
    assert_eq!(table.label("/grpc.health.v1.Health/Check"), "health");
    assert_eq!(table.label("/grpc.health.v1.Health/Made-Up"), "health");
    for made_up in [
        "/a/Known/",
        "/a/other",
        "/x/1",
        "",
        "/grpc.reflection.v1.X/Y",
    ] {
        assert_eq!(table.label(made_up), "unknown");
    }
}

#[test]
fn the_table_decides_and_what_it_does_not_name_is_closed() {
    let token = &[("authorization", "Bearer sps_abcdefgh")];
    let identity = Peer::service("identity");
    let operator = Peer::Operator("mia".into());
    assert_eq!(reason("/a/Public", Peer::Anonymous, &[]), None);
    assert_eq!(reason("/a/Bearer", Peer::Anonymous, token), None);
    assert_eq!(
        reason("/a/Bearer", identity.clone(), &[]).unwrap(),
        "session.required"
    );
    assert_eq!(reason("/a/Peers", identity.clone(), &[]), None);
    assert_eq!(
        reason("/a/Peers", Peer::Anonymous, token).unwrap(),
        "caller.denied"
    );
    assert_eq!(
        reason("/a/Peers", Peer::service("gateway"), token).unwrap(),
        "caller.denied"
    );
    assert_eq!(
        reason("/a/Peers", Peer::Operator("identity".into()), &[]).unwrap(),
        "caller.denied"
    );
    assert_eq!(reason("/a/Operator", operator, &[]), None);
    assert_eq!(
        reason("/a/Operator", identity, token).unwrap(),
        "caller.denied"
    );
    assert_eq!(
        reason("/a/Other", Peer::service("gateway"), token).unwrap(),
        "rpc.unknown"
    );
}

#[test]
fn only_the_front_is_believed_about_the_client() {
    let headers = &[("x-client-ip", "203.0.113.7"), ("x-user-agent", "Firefox")];
    let decide = |peer| {
        service()
            .decide("/a/Public", &request(peer, headers))
            .unwrap()
            .unwrap()
    };
    let fronted = decide(Peer::service("gateway"));
    assert_eq!(fronted.client_ip, "203.0.113.7".parse().ok());
    assert_eq!(fronted.user_agent, "Firefox");
    for peer in [
        Peer::Anonymous,
        Peer::service("identity"),
        Peer::Operator("mia".into()),
    ] {
        assert_eq!(decide(peer).client_ip, "192.0.2.9".parse().ok());
    }
}

#[test]
fn a_request_id_that_events_could_not_take_is_replaced() {
    let id = |given: &str| {
        let request = request(Peer::Anonymous, &[("x-request-id", given)]);
        let caller = service().decide("/a/Public", &request).unwrap().unwrap();
        caller.request_id
    };
    let longest = "a".repeat(64);
    for good in ["abcd-123", "A.b_C-d.9", &longest, &new_request_id()] {
        assert_eq!(id(good), good);
    }
    let too_long = "a".repeat(65);
    for bad in [
        "abcd\tefgh",
        "abcd efgh",
        "abcd/efgh",
        "short",
        "",
        &too_long,
    ] {
        let made = id(bad);
        assert!(is_request_id(&made), "{bad:?} became {made:?}");
        assert_ne!(made, bad);
    }
}

#[test]
fn uris_of_other_forms_name_nobody() {
    for uri in [
        "sallyport://service/",
        "sallyport://service/a/b",
        "sallyport://robot/x",
        "https://service/x",
        "sallyport://operator/a b",
    ] {
        assert_eq!(Peer::from_uri(uri), None, "{uri}");
    }
    assert_eq!(
        Peer::from_uri("sallyport://operator/mia"),
        Some(Peer::Operator("mia".into()))
    );
}
