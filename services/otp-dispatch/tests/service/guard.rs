//! The pumping guard (rule 31), as its callers meet it.

use jiff::ToSpan;
use otp_dispatch::store::SCHEMA;
use otp_dispatch::store::guard::totals_from;
use sallyport_proto::otp::v1::guard_service_client::GuardServiceClient;
use sallyport_sql::Database;

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
    format!("+3361{n}345678")
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

    fn guard(&self) -> GuardServiceClient<Outgoing> {
        let operator = Peer::Operator("mia".to_owned());
        GuardServiceClient::new(self.dialler.channel(operator))
    }

    /// Decisions are stored beside the requests: asks until there are as many.
    async fn decisions(&self, count: usize, outcome: pb::GuardOutcome) -> Vec<pb::GuardDecision> {
        loop {
            let wanted = pb::ListDecisionsRequest {
                outcome: outcome.into(),
                ..pb::ListDecisionsRequest::default()
            };
            let answer = self.guard().list_decisions(wanted).await.unwrap();
            let decisions = answer.into_inner().decisions;
            if decisions.len() >= count {
                assert_eq!(decisions.len(), count);
                return decisions;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn set(&self, target: &str, rule: pb::GuardRule) -> pb::GuardOverride {
        let request = pb::SetOverrideRequest {
            target: target.to_owned(),
            rule: rule.into(),
            note: " on trial ".to_owned(),
        };
        let answer = self.guard().set_override(request).await.unwrap();
        answer.into_inner().guard_override.unwrap()
    }

    async fn remove(&self, target: &str) -> Result<(), Status> {
        let target = target.to_owned();
        let request = pb::RemoveOverrideRequest { target };
        self.guard().remove_override(request).await.map(drop)
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

#[tokio::test]
async fn operators_see_every_decision_with_its_reasons_and_no_number() {
    let service = Service::start(&[]).await;
    service.pump().await;
    service.reason(stranger(5, &french(5))).await;
    // What the guard does not look at is no decision.
    service.create(create("key-t")).await.unwrap();
    let all = service.decisions(4, pb::GuardOutcome::Unspecified).await;
    let blocked = &all[0];
    assert_eq!(blocked.outcome(), pb::GuardOutcome::Blocked);
    assert_eq!(blocked.reason(), pb::GuardReason::OverBudget);
    assert_eq!(blocked.purpose(), pb::Purpose::Enrolment);
    assert_eq!(
        (blocked.country.as_str(), blocked.prefix.as_str()),
        ("FR", "+3361534")
    );
    let use_of = |scope: pb::GuardScope, window: pb::GuardWindow| {
        let found = blocked
            .uses
            .iter()
            .find(|used| used.scope() == scope && used.window() == window);
        let used = found.unwrap();
        (used.counted, used.budget)
    };
    let (hour, day) = (pb::GuardWindow::Hour, pb::GuardWindow::Day);
    assert_eq!(use_of(pb::GuardScope::Country, hour), (3, 3));
    assert_eq!(use_of(pb::GuardScope::Country, day), (3, 20));
    assert_eq!(use_of(pb::GuardScope::Prefix, hour), (0, 3));
    assert!(all[1..].iter().all(|decision| {
        decision.outcome() == pb::GuardOutcome::Allowed
            && decision.reason() == pb::GuardReason::WithinBudget
    }));
    assert!(!format!("{all:?}").contains("345678"), "{all:?}");

    // By outcome, by country, page by page.
    let only = service.decisions(1, pb::GuardOutcome::Blocked).await;
    assert_eq!(only[0], *blocked);
    let mut listed = Vec::new();
    let mut before = String::new();
    loop {
        let page = pb::ListDecisionsRequest {
            country: "fr".to_owned(),
            limit: 3,
            before,
            ..pb::ListDecisionsRequest::default()
        };
        let page = service.guard().list_decisions(page).await.unwrap();
        let page = page.into_inner().decisions;
        let Some(last) = page.last() else {
            break;
        };
        before = last.decision_id.clone();
        listed.extend(page);
    }
    assert_eq!(listed, all);
    service.end().await;
}

#[tokio::test]
async fn an_operators_word_holds_at_once_and_until_it_is_taken_back() {
    let service = Service::start(&[]).await;
    service.pump().await;
    assert_eq!(service.reason(stranger(4, &french(4))).await, "sms.limit");

    let set = service.set("+33614", pb::GuardRule::Allow).await;
    assert_eq!(
        (set.target.as_str(), set.rule(), set.note.as_str()),
        ("+33614", pb::GuardRule::Allow, "on trial")
    );
    assert_eq!(set.set_by, "mia");
    service.create(stranger(4, &french(4))).await.unwrap();
    assert_eq!(service.reason(stranger(5, &french(5))).await, "sms.limit");

    service.set("fr", pb::GuardRule::Observe).await;
    service.create(stranger(5, &french(5))).await.unwrap();
    let observed = service.decisions(1, pb::GuardOutcome::Observed).await;
    assert_eq!(observed[0].prefix, "+3361534");

    // A block refuses licensed users too, and nobody who has a factor.
    service.set("+33616", pb::GuardRule::Block).await;
    assert_eq!(service.reason(stranger(6, &french(6))).await, "sms.limit");
    let mut licensed = stranger(7, &french(6));
    licensed.trusted = true;
    assert_eq!(service.reason(licensed.clone()).await, "sms.limit");
    let mut signing_in = licensed.clone();
    signing_in.binding.as_mut().unwrap().purpose = pb::Purpose::SignIn.into();
    signing_in.idempotency_key = "key-s".to_owned();
    service.create(signing_in).await.unwrap();

    let answer = service
        .guard()
        .list_overrides(pb::ListOverridesRequest {})
        .await
        .unwrap();
    let overrides = answer.into_inner().overrides;
    let targets: Vec<&str> = overrides.iter().map(|o| o.target.as_str()).collect();
    assert_eq!(targets, ["+33614", "+33616", "FR"]);

    service.remove("+33616").await.unwrap();
    service.create(licensed).await.unwrap();
    service.remove("FR").await.unwrap();
    assert_eq!(service.reason(stranger(8, &french(8))).await, "sms.limit");
    let status = service.remove("FR").await.unwrap_err();
    assert_eq!(
        refusal(&status),
        (Code::NotFound, "guard.no_override".to_owned())
    );
    service.end().await;
}

#[tokio::test]
async fn overrides_that_name_nothing_are_refused_and_only_operators_set_any() {
    let service = Service::start(&[]).await;
    let request = |target: &str, rule: pb::GuardRule, note: &str| pb::SetOverrideRequest {
        target: target.to_owned(),
        rule: rule.into(),
        note: note.to_owned(),
    };
    let block = pb::GuardRule::Block;
    for (request, field) in [
        (request("", block, ""), "target"),
        (request("France", block, ""), "target"),
        (request("+33 6", block, ""), "target"),
        (request("FR", pb::GuardRule::Unspecified, ""), "rule"),
        (request("FR", block, &"x".repeat(201)), "note"),
        (request("FR", block, "seen\0by the carrier"), "note"),
    ] {
        let status = service.guard().set_override(request).await.unwrap_err();
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.fields[0].0, field);
    }
    for peer in ["gateway", "identity", "account-admin"] {
        let mut client = GuardServiceClient::new(service.channel(peer));
        let status = client
            .set_override(request("FR", block, ""))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{peer}");
    }
    service.end().await;
}

/// PostgreSQL knows no text with a NUL, so such a one would look like a database that is away.
#[tokio::test]
async fn decisions_are_not_looked_for_by_what_can_be_no_country() {
    let service = Service::start(&[]).await;
    let wanted = pb::ListDecisionsRequest {
        country: "F\0".to_owned(),
        ..pb::ListDecisionsRequest::default()
    };
    let status = service.guard().list_decisions(wanted).await.unwrap_err();
    let refusal = Refusal::from_status(&status).unwrap();
    assert_eq!(refusal.code, Code::InvalidArgument);
    assert_eq!(refusal.fields[0].0, "country");
    service.end().await;
}

/// Days of history are not lost with Redis: they are counted in SQL too, and told again.
#[tokio::test]
async fn what_was_verified_outlives_the_store() {
    let server = sallyport_testkit::redis().await.unwrap();
    let settings = [
        ("CHALLENGES__URL", server.url.as_str()),
        ("OTP__GUARD__DAY__LEAST", "1"),
        ("OTP__GUARD__DAY__PERCENT", "100"),
    ];
    let mut service = Service::start(&settings).await;
    for n in 0..9 {
        let mut request = stranger(n, &french(n));
        request.trusted = true;
        let id = service.create(request.clone()).await.unwrap().challenge_id;
        let verified = pb::VerifyChallengeRequest {
            binding: request.binding,
            ..verify(&id, &service.phone.next().await.code(), "r1")
        };
        let answer = service.challenges().verify_challenge(verified).await;
        assert_eq!(answer.unwrap().into_inner().verdict(), pb::Verdict::Right);
    }
    // Answered once the schema is there.
    let listed = service
        .guard()
        .list_overrides(pb::ListOverridesRequest {})
        .await
        .unwrap();
    assert!(listed.into_inner().overrides.is_empty());
    let database = Database::connect(&service.config.database, SCHEMA)
        .await
        .unwrap();
    loop {
        let totals = totals_from(database.connection(), 0).await.unwrap();
        // The country, and nine blocks.
        if totals.iter().any(|total| total.verified == 9) {
            assert_eq!(totals.len(), 10, "{totals:?}");
            assert!(!format!("{totals:?}").contains("+336"), "{totals:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHDB")
        .exec_async(&mut connection)
        .await
        .unwrap();
    while !service.backends.guard.is_seeded().await.unwrap() {
        tokio::task::yield_now().await;
    }
    service.create(stranger(9, &french(9))).await.unwrap();
    let decided = service.decisions(1, pb::GuardOutcome::Allowed).await;
    let day = decided[0].uses.iter().find(|used| {
        used.scope() == pb::GuardScope::Country && used.window() == pb::GuardWindow::Day
    });
    assert_eq!(day.unwrap().budget, 9);
    service.end().await;
}
