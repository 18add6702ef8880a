//! The caps, as their callers meet them.

use jiff::ToSpan;

use super::*;

/// Somebody who is not known yet, at a new number.
fn stranger(n: u32, client_ip: &str) -> pb::CreateChallengeRequest {
    // All of one number block, as a company's often are.
    let number = format!("+33612{:06}", n * 10);
    pb::CreateChallengeRequest {
        binding: Some(pb::Binding {
            purpose: pb::Purpose::Enrolment.into(),
            user_id: format!("user-{n}"),
            session_id: format!("session-{n}"),
            number,
        }),
        client_ip: client_ip.to_owned(),
        trusted: false,
        ..create(&format!("key-{n}"))
    }
}

#[tokio::test]
async fn a_confirmed_factor_hears_of_its_quota_and_when_it_reopens() {
    let service = Service::start(&[]).await;
    for n in 0..5 {
        service.create(create(&format!("key-{n}"))).await.unwrap();
        service.clock.advance(1.minute());
    }
    let status = service.create(create("key-5")).await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::ResourceExhausted, "sms.quota".to_owned())
    );
    assert_eq!(retry_after(&status), Duration::from_secs(55 * 60));
    service.clock.advance(55.minutes());
    // The refused key was not used up.
    service.create(create("key-5")).await.unwrap();
    service.end().await;
}

#[tokio::test]
async fn whoever_enrols_a_number_over_and_over_keeps_its_owner_from_no_sign_in() {
    let service = Service::start(&[]).await;
    let enrol = |n: u32, user: &str| {
        let mut request = stranger(n, "192.0.2.1");
        let binding = request.binding.as_mut().unwrap();
        binding.number = NUMBER.to_owned();
        binding.user_id = user.to_owned();
        request
    };
    for n in 0..5 {
        service
            .create(enrol(n, &format!("other-{n}")))
            .await
            .unwrap();
    }
    // All together they have what enrolments may send to one number.
    let status = service.create(enrol(5, "other-5")).await.unwrap_err();
    assert_eq!(refusal(&status).0, Code::ResourceExhausted);
    for n in 0..5 {
        service.create(create(&format!("key-{n}"))).await.unwrap();
        service.clock.advance(1.minute());
    }
    let status = service.create(create("key-5")).await.unwrap_err();
    assert_eq!(refusal(&status).1, "sms.quota");
    service.end().await;
}

#[tokio::test]
async fn strangers_are_counted_by_address_and_users_are_not() {
    let service = Service::start(&[("OTP__LIMITS__IP__PER_HOUR", "3")]).await;
    for n in 0..3 {
        // One /64.
        service
            .create(stranger(n, &format!("2001:db8:1:2::{n}")))
            .await
            .unwrap();
    }
    let status = service
        .create(stranger(3, "2001:db8:1:2:ffff::1"))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::ResourceExhausted, "sms.limit".to_owned())
    );
    assert_eq!(retry_after(&status), Duration::from_secs(60 * 60));
    service
        .create(stranger(4, "2001:db8:1:3::1"))
        .await
        .unwrap();
    let trusted = pb::CreateChallengeRequest {
        client_ip: "2001:db8:1:2::1".to_owned(),
        ..create("key-t")
    };
    service.create(trusted).await.unwrap();
    service.end().await;
}

#[tokio::test]
async fn a_country_that_is_full_leaves_the_others_open() {
    let service = Service::start(&[("OTP__LIMITS__COUNTRY__PER_HOUR", "2")]).await;
    let to = |number: &str, n: u32| {
        let mut request = stranger(n, &format!("192.0.2.{n}"));
        request.binding.as_mut().unwrap().number = number.to_owned();
        request
    };
    // Canada and the United States share a calling code and no cap.
    service.create(to("+16135550111", 1)).await.unwrap();
    service.create(to("+16135550112", 2)).await.unwrap();
    let status = service.create(to("+16135550113", 3)).await.unwrap_err();
    assert_eq!(refusal(&status).1, "sms.limit");
    service.create(to("+12125550111", 4)).await.unwrap();
    service.end().await;
}

#[tokio::test]
async fn a_verified_code_makes_room_again() {
    let mut service = Service::start(&[("OTP__LIMITS__IP__PER_HOUR", "1")]).await;
    let first = stranger(1, "192.0.2.1");
    let id = service.create(first.clone()).await.unwrap().challenge_id;
    assert!(service.create(stranger(2, "192.0.2.1")).await.is_err());
    let code = service.phone.next().await.code();
    let request = pb::VerifyChallengeRequest {
        binding: first.binding,
        ..verify(&id, &code, "r1")
    };
    let answer = service
        .challenges()
        .verify_challenge(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.verdict(), pb::Verdict::Right);
    service.create(stranger(2, "192.0.2.1")).await.unwrap();
    service.end().await;
}

/// decisions.md: 300 enrolments and 300 sign-ins in half an hour behind one address, a tenth
/// abandoned, on an empty history: none refused.
#[tokio::test]
async fn a_company_behind_one_address_is_not_refused() {
    let mut service = Service::start(&[]).await;
    for n in 0..300 {
        // Enrolment of a licensed user, then sign-in: both trusted; every tenth is abandoned.
        for (purpose, key) in [(pb::Purpose::Enrolment, "e"), (pb::Purpose::SignIn, "s")] {
            let mut request = stranger(n, "192.0.2.1");
            request.trusted = true;
            request.idempotency_key = format!("{key}{n}");
            request.binding.as_mut().unwrap().purpose = purpose.into();
            let binding = request.binding.clone();
            let id = service.create(request).await.unwrap().challenge_id;
            let code = service.phone.next().await.code();
            if n % 10 != 0 {
                let request = pb::VerifyChallengeRequest {
                    binding,
                    ..verify(&id, &code, "r1")
                };
                let answer = service
                    .challenges()
                    .verify_challenge(request)
                    .await
                    .unwrap();
                assert_eq!(answer.into_inner().verdict(), pb::Verdict::Right);
            }
        }
        service.clock.advance(6.seconds());
    }
    service.end().await;
}
