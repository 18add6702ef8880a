//! The pumping guard (rule 31), as its callers meet it.

use jiff::ToSpan;

use super::*;

/// Somebody unknown who enrols, or changes a number.
fn stranger(n: u32, number: &str) -> pb::CreateChallengeRequest {
    pb::CreateChallengeRequest {
        binding: Some(pb::Binding {
            purpose: pb::Purpose::Enrolment.into(),
            user_id: format!("user-{n}"),
            session_id: format!("session-{n}"),
            number: number.to_owned(),
        }),
        client_ip: format!("192.0.2.{n}"),
        trusted: false,
        ..create(&format!("key-{n}"))
    }
}

/// A number in a block of its own.
fn french(n: u32) -> String {
    format!("+3361234{n}678")
}

impl Service {
    /// Three codes to three blocks that nobody verifies, and the ten minutes after them.
    async fn pump(&self) {
        for n in 0..3 {
            self.create(stranger(n, &french(n))).await.unwrap();
        }
        self.clock.advance(10.minutes());
    }

    async fn reason(&self, request: pb::CreateChallengeRequest) -> String {
        refusal(&self.create(request).await.unwrap_err()).1
    }
}

#[tokio::test]
async fn codes_that_nobody_verifies_close_their_country_and_no_other() {
    let service = Service::start(&[]).await;
    service.pump().await;
    let before = service.waiting().await;
    let status = service.create(stranger(5, &french(5))).await.unwrap_err();
    // The word of a full cap: what stops him is not told.
    assert_eq!(
        refusal(&status),
        (Code::ResourceExhausted, "sms.limit".to_owned())
    );
    assert_eq!(retry_after(&status), Duration::from_secs(50 * 60));
    assert_eq!(service.waiting().await, before);
    let elsewhere = stranger(6, "+32470123456");
    service.create(elsewhere).await.unwrap();
    service.clock.advance(50.minutes());
    service.create(stranger(5, &french(5))).await.unwrap();
    service.end().await;
}

/// Nobody who has a factor or a licence pays for somebody else's pumping.
#[tokio::test]
async fn in_a_closed_country_people_sign_in_and_licensed_users_enrol() {
    let service = Service::start(&[]).await;
    service.pump().await;
    assert_eq!(service.reason(stranger(5, &french(5))).await, "sms.limit");
    for (n, purpose) in [
        (6, pb::Purpose::SignIn),
        (7, pb::Purpose::StepUp),
        (8, pb::Purpose::Enrolment),
        (9, pb::Purpose::NumberChange),
    ] {
        let mut trusted = stranger(n, &french(n));
        trusted.trusted = true;
        trusted.binding.as_mut().unwrap().purpose = purpose.into();
        service.create(trusted).await.unwrap();
    }
    service.end().await;
}

#[tokio::test]
async fn a_number_that_was_verified_passes_where_others_do_not() {
    let mut service = Service::start(&[]).await;
    let request = stranger(8, &french(8));
    let id = service.create(request.clone()).await.unwrap().challenge_id;
    let code = service.phone.next().await.code();
    let verified = pb::VerifyChallengeRequest {
        binding: request.binding,
        ..verify(&id, &code, "r1")
    };
    let answer = service.challenges().verify_challenge(verified).await;
    assert_eq!(answer.unwrap().into_inner().verdict(), pb::Verdict::Right);
    service.pump().await;
    assert_eq!(service.reason(stranger(5, &french(5))).await, "sms.limit");
    service.create(stranger(9, &french(8))).await.unwrap();
    service.end().await;
}

#[tokio::test]
async fn a_code_is_not_sent_again_once_its_country_is_closed() {
    let service = Service::start(&[("OTP__RESEND_SECONDS", "1")]).await;
    for n in 0..3 {
        service.create(stranger(n, &french(n))).await.unwrap();
    }
    service.clock.advance(5.minutes());
    let live = stranger(5, &french(5));
    let id = service.create(live.clone()).await.unwrap().challenge_id;
    let again = |key: &str| pb::ResendChallengeRequest {
        binding: live.binding.clone(),
        client_ip: live.client_ip.clone(),
        trusted: false,
        ..resend(&id, key)
    };
    service.clock.advance(1.minute());
    service.resend(again("r1")).await.unwrap();
    service.clock.advance(4.minutes());
    let status = service.resend(again("r2")).await.unwrap_err();
    assert_eq!(refusal(&status).1, "sms.limit");
    service.end().await;
}

#[tokio::test]
async fn a_guard_that_does_not_block_lets_codes_through() {
    let service = Service::start(&[("OTP__GUARD__BLOCKS", "false")]).await;
    service.pump().await;
    service.create(stranger(5, &french(5))).await.unwrap();
    service.end().await;
}
