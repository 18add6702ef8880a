//! A challenge's life.

use jiff::ToSpan;
use otp_dispatch::ports::Claim;

use super::*;

#[tokio::test]
async fn a_code_goes_to_the_number_and_works_once() {
    let mut service = Service::start(&[]).await;
    let challenge = service.create(create("key-1")).await.unwrap();
    assert_eq!((challenge.tries_left, challenge.sends_left), (5, 2));
    assert_eq!(challenge.message_state(), pb::MessageState::Queued);
    let seconds = |at: &Option<prost_types::Timestamp>| {
        at.as_ref().unwrap().seconds - service.clock.now().as_second()
    };
    assert_eq!(
        (
            seconds(&challenge.expires_at),
            seconds(&challenge.resend_at)
        ),
        (600, 60)
    );

    let sms = service.phone.next().await;
    assert_eq!(sms.number, NUMBER);
    assert_eq!(sms.message.message_id, challenge.message_id);
    assert!(sms.text.contains(&challenge.reference), "{}", sms.text);
    let (id, code) = (challenge.challenge_id, sms.code());

    assert_eq!(
        service.verify(&id, &wrong(&code), "request-1").await,
        (pb::Verdict::Wrong, 4)
    );
    // What is no code costs no try.
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    for typed in ["", "12345", "1234567", "abcdef", &spaced] {
        let status = service
            .challenges()
            .verify_challenge(verify(&id, typed, "request-2"))
            .await
            .unwrap_err();
        assert_eq!(
            refusal(&status),
            (Code::InvalidArgument, "code.format".to_owned())
        );
    }
    assert_eq!(
        service.verify(&id, &wrong(&code), "request-3").await,
        (pb::Verdict::Wrong, 3)
    );
    assert_eq!(
        service.verify(&id, &code, "request-4").await,
        (pb::Verdict::Right, 0)
    );
    assert_eq!(
        service.verify(&id, &code, "request-4").await,
        (pb::Verdict::Right, 0)
    );
    assert_eq!(
        service.verify(&id, &code, "request-5").await,
        (pb::Verdict::Used, 0)
    );
    service.end().await;
}

#[tokio::test]
async fn a_code_is_bound_to_session_user_number_and_purpose() {
    let mut service = Service::start(&[]).await;
    let id = service.create(create("key-1")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    let others = [
        pb::Binding {
            session_id: "session-2".to_owned(),
            ..binding()
        },
        pb::Binding {
            user_id: "user-2".to_owned(),
            ..binding()
        },
        pb::Binding {
            number: "+33612345679".to_owned(),
            ..binding()
        },
        pb::Binding {
            purpose: pb::Purpose::StepUp.into(),
            ..binding()
        },
    ];
    for (n, other) in others.into_iter().enumerate() {
        let mut request = verify(&id, &code, &format!("request-{n}"));
        request.binding = Some(other.clone());
        let answer = service
            .challenges()
            .verify_challenge(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.verdict(), pb::Verdict::NotFound, "{other:?}");
        let request = pb::GetChallengeRequest {
            challenge_id: id.clone(),
            binding: Some(other),
        };
        let status = service
            .challenges()
            .get_challenge(request)
            .await
            .unwrap_err();
        assert_eq!(refusal(&status), (Code::NotFound, "code.none".to_owned()));
    }
    for unknown in [
        "k1.AAAAAAAAAAAAAAAAAAAAAA",
        "k9.AAAAAAAAAAAAAAAAAAAAAA",
        "nonsense",
    ] {
        assert_eq!(
            service.verify(unknown, &code, "request-9").await.0,
            pb::Verdict::NotFound
        );
    }
    assert_eq!(
        service.verify(&id, &code, "request-r").await.0,
        pb::Verdict::Right
    );
    service.end().await;
}

#[tokio::test]
async fn five_wrong_codes_or_ten_minutes_end_it() {
    let mut service = Service::start(&[]).await;
    let guessed = service.create(create("key-1")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    for n in 0..5 {
        let verdict = service
            .verify(&guessed, &wrong(&code), &format!("request-{n}"))
            .await;
        assert_eq!(verdict, (pb::Verdict::Wrong, 4 - n));
    }
    assert_eq!(
        service.verify(&guessed, &code, "request-r").await.0,
        pb::Verdict::Ended
    );

    let late = service.create(create("key-2")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    service.clock.advance(10.minutes());
    assert_eq!(
        service.verify(&late, &wrong(&code), "request-w").await,
        (pb::Verdict::Wrong, 4)
    );
    assert_eq!(
        service.verify(&late, &code, "request-r").await.0,
        pb::Verdict::Expired
    );
    service.end().await;
}

#[tokio::test]
async fn a_key_makes_one_challenge_and_one_sms() {
    let mut service = Service::start(&[]).await;
    let first = service.create(create("key-1")).await.unwrap();
    // From another address, as when the network changed between the two clicks.
    let moved = pb::CreateChallengeRequest {
        client_ip: "192.0.2.1".to_owned(),
        ..create("key-1")
    };
    for request in [create("key-1"), moved] {
        assert_eq!(service.create(request).await.unwrap(), first);
    }
    assert_eq!(service.waiting().await, 1);
    let status = service
        .create(pb::CreateChallengeRequest {
            locale: "fr".to_owned(),
            ..create("key-1")
        })
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::AlreadyExists, "idempotency.conflict".to_owned())
    );
    let too_long = "k".repeat(129);
    for (key, reason) in [
        ("", "idempotency.required"),
        ("two words", "idempotency.invalid"),
        (too_long.as_str(), "idempotency.invalid"),
    ] {
        let status = service.create(create(key)).await.unwrap_err();
        assert_eq!(
            refusal(&status),
            (Code::InvalidArgument, reason.to_owned()),
            "{key}"
        );
    }
    // A key is its user's own.
    let mut other = create("key-1");
    other.binding = Some(pb::Binding {
        user_id: "user-2".to_owned(),
        ..binding()
    });
    assert_ne!(
        service.create(other).await.unwrap().challenge_id,
        first.challenge_id
    );
    assert_eq!(
        service.phone.next().await.message.message_id,
        first.message_id
    );
    let waiting = service.waiting().await;
    // Once the challenge is over, its key is refused: no second SMS, and no dead challenge.
    let cancel = pb::CancelChallengeRequest {
        challenge_id: first.challenge_id.clone(),
        binding: Some(binding()),
    };
    service.challenges().cancel_challenge(cancel).await.unwrap();
    let status = service.create(create("key-1")).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::FailedPrecondition, "code.ended".to_owned())
    );
    assert_eq!(service.waiting().await, waiting);
    service.end().await;
}

#[tokio::test]
async fn a_resend_repeats_code_and_reference_in_the_language_of_the_page() {
    let mut service = Service::start(&[]).await;
    let created = service.create(create("key-1")).await.unwrap();
    let id = created.challenge_id.clone();
    let first = service.phone.next().await;
    service.clock.advance(20.seconds());
    let status = service.resend(resend(&id, "key-2")).await.unwrap_err();
    let early = (Code::ResourceExhausted, "code.resend_too_early".to_owned());
    assert_eq!(refusal(&status), early);
    assert_eq!(retry_after(&status), Duration::from_secs(40));

    service.clock.advance(40.seconds());
    let request = pb::ResendChallengeRequest {
        locale: "fr-CA".to_owned(),
        ..resend(&id, "key-2")
    };
    let resent = service.resend(request.clone()).await.unwrap();
    assert_eq!(resent.sends_left, 1);
    assert_ne!(resent.message_id, created.message_id);
    assert_eq!(service.resend(request).await.unwrap(), resent);
    let second = service.phone.next().await;
    assert_eq!(second.code(), first.code());
    assert!(
        second
            .text
            .starts_with(&format!("Référence {}", created.reference)),
        "{}",
        second.text
    );
    assert!(second.message.deadline_at <= first.message.deadline_at);

    service.clock.advance(1.minute());
    service.resend(resend(&id, "key-3")).await.unwrap();
    assert_eq!(service.phone.next().await.code(), first.code());
    service.clock.advance(1.minute());
    let status = service.resend(resend(&id, "key-4")).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::FailedPrecondition, "code.no_sends_left".to_owned())
    );
    assert_eq!(
        service.verify(&id, &first.code(), "request-r").await.0,
        pb::Verdict::Right
    );
    let status = service.resend(resend(&id, "key-5")).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::FailedPrecondition, "code.ended".to_owned())
    );
    let status = service
        .resend(resend("k1.AAAAAAAAAAAAAAAAAAAAAA", "key-6"))
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::NotFound, "code.none".to_owned()));
    service.end().await;
}

#[tokio::test]
async fn a_cancelled_challenge_ends_and_its_message_is_not_sent() {
    let mut service = Service::start(&[]).await;
    let challenge = service.create(create("key-1")).await.unwrap();
    let id = challenge.challenge_id;
    let request = pb::CancelChallengeRequest {
        challenge_id: id.clone(),
        binding: Some(binding()),
    };
    service
        .challenges()
        .cancel_challenge(request.clone())
        .await
        .unwrap();
    service
        .challenges()
        .cancel_challenge(request)
        .await
        .unwrap();
    assert_eq!(
        service.verify(&id, "000000", "request-1").await.0,
        pb::Verdict::Ended
    );
    let delivery = service.phone.consumer.next().await.unwrap();
    let (lease, now) = (Duration::from_secs(30), service.clock.now_ms());
    let claim = service
        .backends
        .messages
        .claim(delivery.message(), lease, now)
        .await
        .unwrap();
    assert_eq!(claim, Claim::Suppressed);
    service.end().await;
}

#[tokio::test]
async fn a_rotated_key_still_verifies_what_the_old_one_made() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().display().to_string();
    let settings = [("KEYS__FOLDER", keys.as_str())];
    let mut service = Service::start(&settings).await;
    let id = service.create(create("key-1")).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    for ring in ["code.keys", "lookup.keys"] {
        let path = folder.path().join(ring);
        let old = std::fs::read_to_string(&path).unwrap();
        let new = "k2 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
        std::fs::write(&path, format!("{new}\n{old}")).unwrap();
    }
    let backends = service.backends.clone();
    service.end().await;
    let service = Service::start_over(&settings, |_| backends).await;
    assert_eq!(
        service.verify(&id, &code, "request-r").await.0,
        pb::Verdict::Right
    );
    let id = service.create(create("key-2")).await.unwrap().challenge_id;
    assert!(id.starts_with("k2."), "{id}");
    service.end().await;
}
