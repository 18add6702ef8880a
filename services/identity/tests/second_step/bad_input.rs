//! Bad input: each refusal by code, reason and field, and that it has changed nothing.

use std::time::Duration;

use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{GetTwoFactorResponse, SessionStage};
use sea_orm::ConnectionTrait;
use tonic::Code;

use crate::fake_otp::Fault;
use crate::world::{NUMBER, OTHER_NUMBER, Session, WRONG, World, new_key, refusal, refused};

on_both_databases!(
    what_a_signed_in_session_asks_wrongly_is_told_and_not_done,
    what_is_not_fresh_is_asked_for_and_nothing_is_done,
    a_code_that_is_not_taken_signs_nobody_in,
    a_recovery_code_that_is_not_one_costs_none,
    what_otp_api_refuses_is_told_as_it_said_it,
    without_two_factor_there_is_nothing_to_change,
);

const BAD: Code = Code::InvalidArgument;
const FIRST: Code = Code::FailedPrecondition;
const SLOWER: Code = Code::ResourceExhausted;

/// `field` is empty where the refusal is about none.
fn assert_refused(told: Refusal, code: Code, reason: &str, field: &str) {
    let fields: Vec<(String, String)> = match field {
        "" => Vec::new(),
        field => vec![(field.to_owned(), reason.to_owned())],
    };
    assert_eq!(
        (told.code, told.reason.as_str(), told.fields),
        (code, reason, fields)
    );
}

/// What a refused request must leave as it is: the factor, its rows, and what was sent.
async fn kept(world: &World, session: &Session) -> (GetTwoFactorResponse, [i64; 3], usize) {
    let rows = [
        world.rows("factors").await,
        world.rows("recovery_codes").await,
        world.rows("pending_enrolments").await,
    ];
    let state = session.two_factor_state().await.unwrap();
    (state, rows, world.otp.sent().len())
}

async fn what_a_signed_in_session_asks_wrongly_is_told_and_not_done(world: World) {
    let (_, mut session, _) = world.enrolled("ada").await;
    let before = kept(&world, &session).await;
    let long = "k".repeat(129);
    let (phone, key) = ("mobile_number", "idempotency_key");
    for (told, code, reason, field) in [
        (
            refusal(session.verify("12 34").await),
            BAD,
            "code.format",
            "code",
        ),
        (
            refusal(session.verify("123456").await),
            Code::NotFound,
            "code.none",
            "",
        ),
        (
            refusal(session.resend().await),
            Code::NotFound,
            "code.none",
            "",
        ),
        (
            refusal(session.challenge().await),
            Code::NotFound,
            "code.none",
            "",
        ),
        (
            refusal(session.send_sign_in(&new_key()).await),
            FIRST,
            "session.signed_in",
            "",
        ),
        (
            refusal(session.recover("nonsense").await),
            BAD,
            "recovery_code.wrong",
            "recovery_code",
        ),
        (
            refusal(session.enable(NUMBER, &new_key()).await),
            FIRST,
            "two_factor.already_active",
            "",
        ),
        (
            refusal(session.change_number(NUMBER).await),
            FIRST,
            "two_factor.already_active",
            "",
        ),
        (
            refusal(session.enable(NUMBER, "").await),
            BAD,
            "idempotency.required",
            key,
        ),
        (
            refusal(session.enable(NUMBER, &long).await),
            BAD,
            "idempotency.invalid",
            key,
        ),
        (
            refusal(session.send_step_up_as("two words").await),
            BAD,
            "idempotency.invalid",
            key,
        ),
        (
            refusal(session.change_number("06 98 76 54 32").await),
            BAD,
            "phone.country_required",
            "country",
        ),
        (
            refusal(session.change_number("+33 6 98").await),
            BAD,
            "phone.invalid",
            phone,
        ),
        (
            refusal(session.change_number("+33 1 40 20 50 50").await),
            BAD,
            "phone.not_sms_capable",
            phone,
        ),
    ] {
        assert_refused(told, code, reason, field);
    }
    assert_eq!(kept(&world, &session).await, before);
    world.end().await;
}

async fn what_is_not_fresh_is_asked_for_and_nothing_is_done(world: World) {
    let (mut user, mut session, _) = world.enrolled("ada").await;
    let before = kept(&world, &session).await;
    world.advance_minutes(6);
    for reason in ["password_confirmation_required", "step_up_required"] {
        for told in [
            refusal(session.disable().await),
            refusal(session.remake_codes().await),
            refusal(session.change_number(OTHER_NUMBER).await),
        ] {
            assert_refused(told, FIRST, reason, "");
        }
        session.confirm_password().await;
    }
    assert_eq!(kept(&world, &session).await, before);
    user.projection.two_factor_required = true;
    user.projection.version += 1;
    world.put(&user).await;
    session.step_up(&world, NUMBER).await;
    let told = refusal(session.disable().await);
    assert_refused(told, FIRST, "two_factor.required_by_policy", "");
    world.signed_in_twice(&user, NUMBER).await;
    world.end().await;
}

async fn a_code_that_is_not_taken_signs_nobody_in(world: World) {
    let (user, _, recovery) = world.enrolled("ada").await;
    let mut session = world.awaiting(&user).await;
    let told = refusal(session.verify(WRONG).await);
    assert_eq!(told.get("tries_left"), Some("4"));
    assert_refused(told, BAD, "code.wrong", "code");

    let right = world.otp.newest_code(NUMBER);
    world.advance_minutes(10);
    let told = refusal(session.verify(&right).await);
    assert_refused(told, FIRST, "code.expired", "");

    world.otp.set_tries(1);
    session.send_sign_in(&new_key()).await.unwrap();
    let told = refusal(session.verify(WRONG).await);
    assert_eq!(told.get("tries_left"), Some("0"));
    let right = world.otp.newest_code(NUMBER);
    let told = refusal(session.verify(&right).await);
    assert_refused(told, FIRST, "code.ended", "");

    // Decided, and nothing was heard of it: it is used up.
    world.otp.set_tries(1_000);
    session.send_sign_in(&new_key()).await.unwrap();
    let right = world.otp.newest_code(NUMBER);
    world.otp.fail_next(&[Fault::LostAnswer; 3]);
    assert_eq!(refused(session.verify(&right).await), "unavailable");
    let told = refusal(session.verify(&right).await);
    assert_refused(told, FIRST, "code.used", "");

    session.send_sign_in(&new_key()).await.unwrap();
    fail(&world, 14).await;
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    let right = world.otp.newest_code(NUMBER);
    for told in [
        refusal(session.verify(&right).await),
        refusal(session.resend().await),
        refusal(session.send_sign_in(&new_key()).await),
    ] {
        assert_eq!(told.retry_after, Some(Duration::from_secs(900)));
        assert_refused(told, SLOWER, "second_factor.locked", "");
    }
    fail(&world, 99).await;
    assert_eq!(refused(session.verify(WRONG).await), "code.wrong");
    for told in [
        refusal(session.verify(&right).await),
        refusal(session.resend().await),
        refusal(session.send_sign_in(&new_key()).await),
    ] {
        assert_refused(told, FIRST, "second_factor.disabled", "");
    }
    let who = session.who().await.unwrap();
    assert_eq!(who.stage(), SessionStage::AwaitingSecondFactor);
    assert_refused(
        refusal(session.two_factor_state().await),
        FIRST,
        "second_factor_required",
        "",
    );
    assert_eq!(session.recover(&recovery[0]).await.unwrap(), 9);
    world.end().await;
}

/// So many failures stand in the user's row, and no lock.
pub async fn fail(world: &World, failures: u32) {
    let sql = format!("UPDATE second_steps SET failures = {failures}, locked_until_at = NULL");
    let connection = world.database.connection();
    connection.execute_unprepared(&sql).await.unwrap();
}

async fn a_recovery_code_that_is_not_one_costs_none(world: World) {
    let (_, _, foreign) = world.enrolled("stranger").await;
    let (_, mut session, codes) = world.enrolled("ada").await;
    let before = kept(&world, &session).await;
    for typed in &foreign {
        let told = refusal(session.recover(typed).await);
        assert_refused(told, BAD, "recovery_code.wrong", "recovery_code");
    }
    let told = refusal(session.recover(&codes[0]).await);
    assert_eq!(told.retry_after, Some(Duration::from_secs(3_600)));
    assert_refused(told, SLOWER, "recovery_code.limit", "");
    assert_eq!(kept(&world, &session).await, before);
    world.end().await;
}

/// otp-api decides limits and resends; its refusal reaches the caller whole, and nothing is kept of
/// what it refused.
async fn what_otp_api_refuses_is_told_as_it_said_it(world: World) {
    let user = world.user("ada").await;
    let mut session = world.sign_in(&user).await;
    session.enable(NUMBER, "one").await.unwrap();
    let before = kept(&world, &session).await;
    let told = refusal(session.enable(OTHER_NUMBER, "one").await);
    assert_refused(told, Code::AlreadyExists, "idempotency.conflict", "");
    let told = refusal(session.resend().await);
    assert_eq!(told.retry_after, Some(Duration::from_secs(60)));
    assert_refused(told, SLOWER, "code.resend_too_early", "");
    assert_eq!(kept(&world, &session).await, before);
    for _ in 0..2 {
        world.advance_minutes(1);
        session.resend().await.unwrap();
    }
    world.advance_minutes(1);
    let told = refusal(session.resend().await);
    assert_refused(told, FIRST, "code.no_sends_left", "");
    assert_eq!(world.otp.sent().len(), 3);
    session.give(&world.otp.newest_code(NUMBER)).await.unwrap();
    let now = session.two_factor_state().await.unwrap();
    assert_eq!(now.confirmed_number, NUMBER);
    world.end().await;
}

async fn without_two_factor_there_is_nothing_to_change(world: World) {
    let (_, _, foreign) = world.enrolled("stranger").await;
    let user = world.user("ada").await;
    let mut session = world.sign_in(&user).await;
    let before = kept(&world, &session).await;
    for told in [
        refusal(session.send_step_up().await),
        refusal(session.remake_codes().await),
        refusal(session.disable().await),
        refusal(session.change_number(NUMBER).await),
        refusal(session.recover(&foreign[0]).await),
    ] {
        assert_refused(told, FIRST, "two_factor.not_active", "");
    }
    assert_eq!(kept(&world, &session).await, before);
    world.end().await;
}
