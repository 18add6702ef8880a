//! Bad input: each refusal by code, reason and field, and that it has changed nothing.

use super::*;

/// `field` is empty where the refusal is about none.
fn assert_refused(status: &Status, code: Code, reason: &str, field: &str) {
    let refusal = Refusal::from_status(status).unwrap_or_else(|| panic!("a failure: {status:?}"));
    let fields: Vec<(String, String)> = match field {
        "" => Vec::new(),
        field => vec![(field.to_owned(), reason.to_owned())],
    };
    assert_eq!(
        (refusal.code, refusal.reason.as_str(), refusal.fields),
        (code, reason, fields)
    );
}

#[tokio::test]
async fn every_bad_number_is_refused_at_its_field() {
    let service = Service::start(&[]).await;
    let too_long = "6".repeat(101);
    let from = |typed: &'static str, code: &'static str, picked: &'static str| {
        vec![("typed", typed), ("typed_code", code), ("picked", picked)]
    };
    let mut bad = vec![
        ("", "", "phone.country_required", vec![]),
        ("06 12 34 56 78", "", "phone.country_required", vec![]),
        (
            "+33 6 12 34 56 78",
            "BE",
            "phone.country_mismatch",
            from("FR", "33", "BE"),
        ),
        (
            "0033 6 12 34 56 78",
            "BE",
            "phone.country_mismatch",
            from("FR", "33", "BE"),
        ),
        (
            "+1 613 555 0111",
            "US",
            "phone.country_mismatch",
            from("CA", "1", "US"),
        ),
    ];
    for typed in [
        "",
        "06 12",
        "06 12 CALL",
        "06 12 34 56 78 ext 5",
        "06 12 34 56 78;ext=5",
        "+33 6 12 34 56 78 9",
        "+33 6 12 34 56 78 / 06 98 76 54 32",
        &too_long,
    ] {
        bad.push((typed, "FR", "phone.invalid", vec![]));
    }
    for (typed, picked) in [
        ("01 23 45 67 89", "FR"),
        ("0 801 23 45 67", "FR"),
        ("0 891 23 45 67", "FR"),
        ("0 884 01 23 45", "FR"),
        ("076 4012 3456", "GB"),
        ("0 177 99 1234567", "DE"),
    ] {
        bad.push((typed, picked, "phone.not_sms_capable", vec![]));
    }
    for (typed, picked, reason, values) in bad {
        let request = pb::ValidateNumberRequest {
            input: typed.to_owned(),
            country: picked.to_owned(),
        };
        let status = service
            .numbers()
            .validate_number(request)
            .await
            .expect_err(typed);
        assert_refused(&status, Code::InvalidArgument, reason, "mobile_number");
        let told = Refusal::from_status(&status).unwrap();
        for (key, value) in values {
            assert_eq!(told.get(key), Some(value), "{typed}: {key}");
        }
        let own: String = typed.chars().filter(char::is_ascii_digit).collect();
        let secret = own.len() > 4 && format!("{told:?}").contains(&own);
        assert!(!secret, "a refusal tells no number: {told:?}");
    }
    let request = pb::ValidateNumberRequest {
        input: "06 12 34 56 78".to_owned(),
        country: "QQ".to_owned(),
    };
    let status = service.numbers().validate_number(request).await;
    let status = status.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "country.unknown", "country");
    service.end().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_of_a_live_challenge_leaves_it_as_it_is() {
    let mut service = Service::start(&[]).await;
    let created = service.create(create("key-1")).await.unwrap();
    let id = created.challenge_id.clone();
    let creating = async |change: fn(&mut pb::CreateChallengeRequest)| {
        let mut request = create("key-1");
        change(&mut request);
        service.create(request).await.unwrap_err()
    };
    let verifying = async |change: fn(&mut pb::VerifyChallengeRequest)| {
        let mut request = verify(&id, "123456", "request-1");
        change(&mut request);
        let answer = service.challenges().verify_challenge(request).await;
        answer.unwrap_err()
    };
    let resending = async |change: fn(&mut pb::ResendChallengeRequest)| {
        let mut request = resend(&id, "key-2");
        change(&mut request);
        service.resend(request).await.unwrap_err()
    };
    let required = "field.required";
    for (status, reason, field) in [
        (creating(|r| r.binding = None).await, required, "binding"),
        (
            creating(|r| r.locale = "x".repeat(201)).await,
            "field.too_long",
            "locale",
        ),
        (
            creating(|r| r.organisation_id = "a b".to_owned()).await,
            "field.malformed",
            "organisation_id",
        ),
        (creating(|r| r.trusted = false).await, required, "client_ip"),
        (
            creating(|r| r.idempotency_key.clear()).await,
            "idempotency.required",
            "idempotency_key",
        ),
        (
            creating(|r| r.idempotency_key = "k".repeat(129)).await,
            "idempotency.invalid",
            "idempotency_key",
        ),
        (
            // A number that somebody has just typed passes every rule.
            creating(|r| {
                r.binding.as_mut().unwrap().number = "+33142685300".to_owned();
                r.client_ip = "192.0.2.1".to_owned();
                r.trusted = false;
            })
            .await,
            "phone.not_sms_capable",
            "mobile_number",
        ),
        (
            verifying(|r| r.code = "12345".to_owned()).await,
            "code.format",
            "code",
        ),
        (
            verifying(|r| r.code = "12 345a".to_owned()).await,
            "code.format",
            "code",
        ),
        (
            verifying(|r| r.challenge_id.clear()).await,
            required,
            "challenge_id",
        ),
        (
            verifying(|r| r.request_id.clear()).await,
            required,
            "request_id",
        ),
        (
            verifying(|r| r.request_id = "a b".to_owned()).await,
            "field.malformed",
            "request_id",
        ),
        (verifying(|r| r.binding = None).await, required, "binding"),
        (
            resending(|r| r.challenge_id.clear()).await,
            required,
            "challenge_id",
        ),
        (
            resending(|r| r.idempotency_key.clear()).await,
            "idempotency.required",
            "idempotency_key",
        ),
        (
            resending(|r| r.idempotency_key = "two words".to_owned()).await,
            "idempotency.invalid",
            "idempotency_key",
        ),
        (
            resending(|r| {
                r.trusted = false;
                r.client_ip = "localhost".to_owned();
            })
            .await,
            "field.malformed",
            "client_ip",
        ),
    ] {
        assert_refused(&status, Code::InvalidArgument, reason, field);
    }
    for (status, code, reason) in [
        (
            creating(|r| r.locale = "fr".to_owned()).await,
            Code::AlreadyExists,
            "idempotency.conflict",
        ),
        (
            resending(|_| {}).await,
            Code::ResourceExhausted,
            "code.resend_too_early",
        ),
        (
            resending(|r| r.challenge_id = "k1.AAAAAAAAAAAAAAAAAAAAAA".to_owned()).await,
            Code::NotFound,
            "code.none",
        ),
    ] {
        assert_refused(&status, code, reason, "");
    }
    let read = pb::GetChallengeRequest {
        challenge_id: id.clone(),
        binding: Some(binding()),
    };
    let stands = service.challenges().get_challenge(read).await.unwrap();
    assert_eq!(stands.into_inner().challenge.unwrap(), created);
    assert_eq!(service.waiting().await, 1, "one message, of the one send");
    let code = service.phone.next().await.code();
    assert_eq!(
        service.verify(&id, &code, "request-r").await.0,
        pb::Verdict::Right
    );
    service.end().await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_no_notice_is_sent() {
    let service = Service::start(&[]).await;
    let mut challenges = service.challenges();
    let get = pb::GetChallengeRequest {
        challenge_id: String::new(),
        binding: Some(binding()),
    };
    let cancel = pb::CancelChallengeRequest {
        challenge_id: String::new(),
        binding: Some(binding()),
    };
    let watch = pb::WatchChallengeRequest {
        challenge_id: String::new(),
        binding: Some(binding()),
    };
    for status in [
        challenges.get_challenge(get).await.unwrap_err(),
        challenges.cancel_challenge(cancel).await.unwrap_err(),
        challenges.watch_challenge(watch).await.unwrap_err(),
    ] {
        let missing = "field.required";
        assert_refused(&status, Code::InvalidArgument, missing, "challenge_id");
    }
    let good = || pb::SendNoticeRequest {
        idempotency_key: "key-1".to_owned(),
        notice: pb::Notice::TwoFactorOn.into(),
        number: NUMBER.to_owned(),
        locale: "en".to_owned(),
    };
    for (request, reason, field) in [
        (
            pb::SendNoticeRequest {
                notice: 0,
                ..good()
            },
            "field.required",
            "notice",
        ),
        (
            pb::SendNoticeRequest {
                number: "06 12 34 56 78".to_owned(),
                ..good()
            },
            "phone.invalid",
            "mobile_number",
        ),
        (
            pb::SendNoticeRequest {
                idempotency_key: String::new(),
                ..good()
            },
            "idempotency.required",
            "idempotency_key",
        ),
    ] {
        let status = service.notices().send_notice(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, field);
    }
    let sent = service.backends.queue.depth(Class::Notice).await.unwrap();
    assert_eq!(sent, 0);
    service.end().await;
}

#[tokio::test]
async fn beyond_a_cap_nothing_is_sent_and_the_time_is_told() {
    let service = Service::start(&[("OTP__LIMITS__IP__PER_HOUR", "1")]).await;
    let from_one_address = |key: &str| pb::CreateChallengeRequest {
        trusted: false,
        client_ip: "192.0.2.1".to_owned(),
        ..create(key)
    };
    service.create(from_one_address("key-1")).await.unwrap();
    let status = service.create(from_one_address("key-2")).await.unwrap_err();
    assert_refused(&status, Code::ResourceExhausted, "sms.limit", "");
    assert_eq!(retry_after(&status), Duration::from_secs(3_600));
    assert_eq!(service.waiting().await, 1);

    // A confirmed factor is told of its own quota: number and user take five an hour.
    service.end().await;
    let service = Service::start(&[]).await;
    for n in 0..5 {
        service.create(create(&format!("key-{n}"))).await.unwrap();
    }
    let status = service.create(create("key-5")).await.unwrap_err();
    assert_refused(&status, Code::ResourceExhausted, "sms.quota", "");
    assert_eq!(retry_after(&status), Duration::from_secs(3_600));
    assert_eq!(service.waiting().await, 5);
    service.end().await;
}
