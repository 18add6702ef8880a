//! Who may call, what is read, and what leaves no trace.

use sallyport_proto::otp::v1::sms_inbox_service_client::SmsInboxServiceClient;

use super::*;

#[tokio::test]
async fn only_the_named_peers_are_answered() {
    let service = Service::start(&[]).await;
    for peer in [
        Peer::Anonymous,
        Peer::service("gateway"),
        Peer::service("account-admin"),
        Peer::Operator("mia".to_owned()),
    ] {
        let mut client = ChallengeServiceClient::new(service.dialler.channel(peer.clone()));
        let status = client.create_challenge(create("key-1")).await.unwrap_err();
        assert_eq!(
            refusal(&status),
            (Code::PermissionDenied, "caller.denied".to_owned()),
            "{peer:?}"
        );
        let mut client = NoticeServiceClient::new(service.dialler.channel(peer.clone()));
        let status = client
            .send_notice(pb::SendNoticeRequest::default())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{peer:?}");
    }
    for (peer, allowed) in [
        ("gateway", true),
        ("identity", true),
        ("account-admin", true),
        ("x", false),
    ] {
        let mut client = NumberServiceClient::new(service.channel(peer));
        let answer = client.list_countries(pb::ListCountriesRequest {}).await;
        assert_eq!(answer.is_ok(), allowed, "{peer}");
    }
    assert_eq!(service.waiting().await, 0);
    service.end().await;
}

#[tokio::test]
async fn malformed_fields_are_named() {
    let service = Service::start(&[]).await;
    let bound = |change: fn(&mut pb::Binding)| {
        let mut request = create("key-1");
        change(request.binding.as_mut().unwrap());
        request
    };
    let untrusted = |client_ip: &str| pb::CreateChallengeRequest {
        trusted: false,
        client_ip: client_ip.to_owned(),
        ..create("key-1")
    };
    for (request, field, reason) in [
        (
            bound(|b| b.user_id.clear()),
            "binding.user_id",
            "field.required",
        ),
        (
            bound(|b| b.session_id = "a b".to_owned()),
            "binding.session_id",
            "field.malformed",
        ),
        (
            bound(|b| b.session_id = "a".repeat(201)),
            "binding.session_id",
            "field.too_long",
        ),
        (
            bound(|b| b.purpose = 0),
            "binding.purpose",
            "field.required",
        ),
        (
            bound(|b| b.purpose = 99),
            "binding.purpose",
            "field.required",
        ),
        (
            bound(|b| b.number = "0612345678".to_owned()),
            "mobile_number",
            "phone.invalid",
        ),
        (untrusted(""), "client_ip", "field.required"),
        (untrusted("localhost"), "client_ip", "field.malformed"),
    ] {
        let status = service.create(request).await.unwrap_err();
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.fields, [(field.to_owned(), reason.to_owned())]);
    }
    assert_eq!(service.waiting().await, 0);
    service.end().await;
}

#[tokio::test]
async fn numbers_are_read_by_the_rules_and_the_countries_served() {
    let service = Service::start(&[]).await;
    let validate = async |input: &str, country: &str| {
        let (input, country) = (input.to_owned(), country.to_owned());
        service
            .numbers()
            .validate_number(pb::ValidateNumberRequest { input, country })
            .await
    };
    let number = validate("06 12 34 56 78", "FR").await.unwrap().into_inner();
    assert_eq!(number.e164, NUMBER);
    assert_eq!(
        (number.international.as_str(), number.country.as_str()),
        ("+33 6 12 34 56 78", "FR")
    );
    for (input, country, reason) in [
        ("06 12 34 56 78", "", "phone.country_required"),
        ("+33 6 12 34 56 78", "BE", "phone.country_mismatch"),
        ("06 12", "FR", "phone.invalid"),
        ("01 42 68 53 00", "FR", "phone.not_sms_capable"),
        ("06 12 34 56 78", "QQ", "country.unknown"),
        (&"6".repeat(101), "FR", "phone.invalid"),
    ] {
        let status = validate(input, country).await.unwrap_err();
        assert_eq!(
            refusal(&status),
            (Code::InvalidArgument, reason.to_owned()),
            "{input}"
        );
    }
    service.end().await;
}

#[tokio::test]
async fn a_country_that_is_not_served_gets_no_sms() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[]);
    config.otp.countries = vec!["FR".to_owned(), "BE".to_owned()];
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let backends = Backends::open(&config, Arc::clone(&clock)).await.unwrap();
    let (dialler, listener) = Listener::memory();
    let stop = CancellationToken::new();
    let task = tokio::spawn(run_api(
        config,
        backends.clone(),
        listener,
        clock,
        stop.clone(),
    ));
    let channel = dialler.channel(Peer::service("identity"));
    let countries = NumberServiceClient::new(channel.clone())
        .list_countries(pb::ListCountriesRequest {})
        .await
        .unwrap()
        .into_inner()
        .countries;
    let countries: Vec<_> = countries
        .iter()
        .map(|c| (c.country.as_str(), c.calling_code))
        .collect();
    assert_eq!(countries, [("BE", 32), ("FR", 33)]);
    let typed = pb::ValidateNumberRequest {
        input: "07400 123456".to_owned(),
        country: "GB".to_owned(),
    };
    let mut request = create("key-1");
    request.binding.as_mut().unwrap().number = "+447400123456".to_owned();
    for status in [
        NumberServiceClient::new(channel.clone())
            .validate_number(typed)
            .await
            .unwrap_err(),
        ChallengeServiceClient::new(channel)
            .create_challenge(request)
            .await
            .unwrap_err(),
    ] {
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.reason, "phone.country_not_served");
        assert_eq!(refusal.fields[0].0, "mobile_number");
        assert_eq!(refusal.get("country"), Some("GB"));
    }
    assert_eq!(backends.queue.depth(Class::Code).await.unwrap(), 0);
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_notice_is_sent_once_and_outside_the_caps() {
    let mut service = Service::start(&[]).await;
    let notice = |key: &str| pb::SendNoticeRequest {
        idempotency_key: key.to_owned(),
        notice: pb::Notice::NumberChanged.into(),
        number: NUMBER.to_owned(),
        locale: "fr".to_owned(),
    };
    let mut notices = service.notices();
    let first = notices
        .send_notice(notice("key-1"))
        .await
        .unwrap()
        .into_inner()
        .message_id;
    let again = notices
        .send_notice(notice("key-1"))
        .await
        .unwrap()
        .into_inner()
        .message_id;
    assert_eq!(first, again);
    let sms = service.phone.next().await;
    assert_eq!(sms.message.message_id, first);
    assert_eq!(
        (sms.message.class, sms.number.as_str()),
        (Class::Notice, NUMBER)
    );
    assert!(
        sms.text.starts_with("localhost : le numéro"),
        "{}",
        sms.text
    );
    assert_eq!(
        service.backends.queue.depth(Class::Notice).await.unwrap(),
        0
    );

    let other = pb::SendNoticeRequest {
        locale: "en".to_owned(),
        ..notice("key-1")
    };
    let status = notices.send_notice(other).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::AlreadyExists, "idempotency.conflict".to_owned())
    );
    let status = notices.send_notice(notice("")).await.unwrap_err();
    assert_eq!(refusal(&status).1, "idempotency.required");
    for n in 0..30 {
        notices
            .send_notice(notice(&format!("many-{n}")))
            .await
            .unwrap();
    }
    service.end().await;
}

/// With the real dispatcher: from the request to the development inbox.
#[tokio::test]
async fn a_code_arrives_in_the_inbox_and_the_gateway_alone_reads_it() {
    let service = Service::start(&[]).await;
    let clock: Arc<dyn Clock> = Arc::new(service.clock.clone());
    let (config, backends) = (service.config.clone(), service.backends.clone());
    let dispatcher = tokio::spawn(run_dispatcher(
        config,
        backends,
        clock,
        service.stop.clone(),
    ));
    let challenge = service.create(create("key-1")).await.unwrap();
    let list = |to: &str, after: u32| pb::ListSmsRequest {
        to: to.to_owned(),
        wait_seconds: if after == 0 { 9 } else { 0 },
        after,
    };
    let mut inbox = SmsInboxServiceClient::new(service.channel("gateway"));
    let found = inbox
        .list_sms(list(NUMBER, 0))
        .await
        .unwrap()
        .into_inner()
        .messages;
    assert_eq!((found.len(), found[0].to.as_str()), (1, NUMBER));
    assert!(
        found[0].text.contains(&challenge.reference),
        "{}",
        found[0].text
    );
    let all = inbox
        .list_sms(list("", 0))
        .await
        .unwrap()
        .into_inner()
        .messages;
    assert_eq!(all, found);
    let later = inbox
        .list_sms(list("", found[0].sequence))
        .await
        .unwrap()
        .into_inner()
        .messages;
    assert!(later.is_empty());

    let code = found[0]
        .text
        .lines()
        .next_back()
        .unwrap()
        .strip_prefix("@localhost #")
        .unwrap();
    let verdict = service
        .verify(&challenge.challenge_id, code, "request-1")
        .await;
    assert_eq!(verdict.0, pb::Verdict::Right);
    let mut other = SmsInboxServiceClient::new(service.channel("identity"));
    let status = other.list_sms(list(NUMBER, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    service.end().await;
    dispatcher.await.unwrap().unwrap();
}

#[tokio::test]
async fn production_serves_no_inbox_and_makes_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[]);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let mut backends = Backends::open(&config, Arc::clone(&clock)).await.unwrap();
    config.profile = sallyport_chassis::config::Profile::Production;
    config.challenges.url = sallyport_chassis::SecretUrl::new("redis://127.0.0.1:1");
    let carrier = "kind = \"smpp\"\nname = \"a\"\nhost = \"smpp.example.net\"\nport = 2775\n\
                   system_id = \"s\"\npassword = \"p\"\nsource = \"S\"";
    config.otp.routes = vec![toml::from_str(carrier).unwrap()];
    let stop = CancellationToken::new();
    let run = |backends: &Backends| {
        let (dialler, listener) = Listener::memory();
        let clock = Arc::clone(&clock);
        let run = run_api(
            config.clone(),
            backends.clone(),
            listener,
            clock,
            stop.clone(),
        );
        (dialler, run)
    };
    // What development opened has an inbox.
    let told = format!("{:#}", run(&backends).1.await.unwrap_err());
    assert!(told.contains("the SMS inbox works with"), "{told}");

    backends.inbox = None;
    for ring in ["code.keys", "seal.keys", "lookup.keys"] {
        let told = format!("{:#}", run(&backends).1.await.unwrap_err());
        assert!(told.contains(&format!("keys.folder: {ring}")), "{told}");
        let path = config.keys.folder.join(ring);
        assert!(!path.exists(), "{ring} was made");
        Keyring::load_or_create(&path).unwrap();
    }

    let (dialler, served) = run(&backends);
    let task = tokio::spawn(served);
    let channel = dialler.channel(Peer::service("gateway"));
    NumberServiceClient::new(channel.clone())
        .list_countries(pb::ListCountriesRequest {})
        .await
        .unwrap();
    let status = SmsInboxServiceClient::new(channel)
        .list_sms(pb::ListSmsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    stop.cancel();
    task.await.unwrap().unwrap();
}

/// Rule 32: whoever copies Redis or the queue's file has neither a number nor a code.
#[tokio::test]
async fn neither_store_nor_queue_holds_a_number_or_a_code() {
    let server = sallyport_testkit::redis().await.unwrap();
    let mut service = Service::start(&[("CHALLENGES__URL", &server.url)]).await;
    let untrusted = pb::CreateChallengeRequest {
        trusted: false,
        client_ip: "192.0.2.77".to_owned(),
        ..create("key-1")
    };
    let challenge = service.create(untrusted).await.unwrap();
    let data = service
        .config
        .queue
        .url
        .expose()
        .strip_prefix("sqlite://")
        .unwrap()
        .to_owned();
    let stored = everything(&server.url, &data).await;
    let sms = service.phone.next().await;
    let code = sms.code();
    // The stores are really read: they hold the challenge's id.
    assert!(contains(&stored, challenge.challenge_id.as_bytes()));
    for secret in [
        code.as_bytes(),
        b"612345678",
        b"3361234",
        b"192.0.2.77",
        b"sign-in code",
        b"user-1",
    ] {
        assert!(
            !contains(&stored, secret),
            "{}",
            String::from_utf8_lossy(secret)
        );
    }
    let id = &challenge.challenge_id;
    assert_eq!(
        service.verify(id, &code, "request-1").await.0,
        pb::Verdict::Right
    );
    let stored = everything(&server.url, &data).await;
    for secret in [code.as_bytes(), b"3361234"] {
        assert!(!contains(&stored, secret));
    }
    service.end().await;
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Every key of Redis as DUMP gives it, and every file of the queue.
async fn everything(redis_url: &str, folder: &str) -> Vec<u8> {
    let client = redis::Client::open(redis_url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut bytes = Vec::new();
    for key in keys {
        bytes.extend(key.as_bytes());
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        let read = match kind.as_str() {
            "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
            "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).to_owned(),
            "string" => redis::cmd("GET").arg(&key).to_owned(),
            other => panic!("{key} is a {other}"),
        };
        let value: redis::Value = read.query_async(&mut connection).await.unwrap();
        let texts: Vec<Vec<u8>> = match value {
            redis::Value::BulkString(text) => vec![text],
            other => redis::from_redis_value(other).unwrap(),
        };
        bytes.extend(texts.concat());
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    bytes
}
