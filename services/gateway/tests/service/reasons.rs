//! Which call can be refused for which reason, by the services' error tables and use cases. Tests
//! make a service refuse only what it can refuse.

use std::collections::BTreeSet;

use tonic::Code;

use crate::sources::{calls, error_tables, method, reasons_in, text, told};

/// A call of the pages.
pub struct Rpc {
    pub name: &'static str,
    /// Whether it changes something, sends something, or counts a try.
    pub changes: bool,
    /// Why it is refused, in groups.
    refuses: &'static [&'static [&'static str]],
}

impl Rpc {
    pub fn refuses(&self, reason: &str) -> bool {
        self.reasons().any(|own| own == reason)
    }

    fn reasons(&self) -> impl Iterator<Item = &'static str> {
        self.refuses.iter().flat_map(|group| group.iter().copied())
    }
}

/// The row of a call.
pub fn rpc(name: &str) -> &'static Rpc {
    let found = RPCS.iter().find(|rpc| rpc.name == name);
    found.unwrap_or_else(|| panic!("no row for {name}"))
}

const SESSION: &[&str] = &["session.required", "session.expired"];
const BOTH_STEPS: &[&str] = &["second_factor_required"];
const FRESH: &[&str] = &["password_confirmation_required", "step_up_required"];
const ADMINISTRATION: &[&str] = &["permission.denied", "step_up_required"];
const GUESS: &[&str] = &["sign_in.delayed", "sign_in.busy"];
const WEAK: &[&str] = &[
    "password.too_short",
    "password.too_long",
    "password.common",
    "password.context_word",
];
const CLOSED: &[&str] = &["second_factor.locked", "second_factor.disabled"];
const NOT_ACTIVE: &[&str] = &["two_factor.not_active"];
const NO_NUMBER: &[&str] = &["two_factor.no_number"];
/// Where the portal has an address and no name.
const PASSKEYS: &[&str] = &["passkey.unavailable"];
const SETTLED: &[&str] = &["two_factor.number_changed_lately"];
const KEY: &[&str] = &["idempotency.required", "idempotency.invalid"];
/// What otp-api says to a send; identity passes it on.
const SEND: &[&str] = &[
    "idempotency.conflict",
    "code.ended",
    "phone.country_not_served",
];
/// A number without a country picked beside it.
const NUMBER: &[&str] = &[
    "phone.country_required",
    "phone.invalid",
    "phone.not_sms_capable",
];
const FIELDS: &[&str] = &[
    "field.required",
    "field.too_long",
    "field.invalid",
    "country.unknown",
    "time_zone.unknown",
    "date_format.unknown",
    "locale.unknown",
];
const SEAT: &[&str] = &["plan.not_found", "licence.none_available"];

macro_rules! rpcs {
    ($($name:ident $changes:literal [$($group:expr),*];)*) => {
        &[$(Rpc {
            name: stringify!($name),
            changes: $changes,
            refuses: &[$($group),*],
        }),*]
    };
}

/// Every call of the pages.
const RPCS: &[Rpc] = rpcs! {
    SignIn true [&["sign_in.failed"], GUESS];
    SignOut true [&["session.required"]];
    GetSession false [SESSION];
    ListSessions false [SESSION, BOTH_STEPS];
    RevokeSessions true [SESSION, BOTH_STEPS, &[
        "password_confirmation_required", "session.not_found"
    ]];
    SendSignInCode true [SESSION, KEY, NOT_ACTIVE, NO_NUMBER, CLOSED, SEND, &[
        "session.signed_in", "sms.quota"
    ]];
    SendStepUpCode true [SESSION, BOTH_STEPS, KEY, NOT_ACTIVE, NO_NUMBER, CLOSED, SEND, &[
        "sms.quota"
    ]];
    GetChallenge false [SESSION, &["code.none"]];
    WatchChallenge false [SESSION, &["code.none", "watch.busy"]];
    VerifyCode true [SESSION, NOT_ACTIVE, CLOSED, &[
        "code.format", "code.wrong", "code.expired", "code.used", "code.ended", "code.none",
        "phone.in_use"
    ]];
    ResendCode true [SESSION, KEY, CLOSED, SEND, &[
        "code.none", "code.resend_too_early", "code.no_sends_left", "sms.quota", "sms.limit"
    ]];
    CancelChallenge true [SESSION];
    UseRecoveryCode true [SESSION, NOT_ACTIVE, &["recovery_code.wrong", "recovery_code.limit"]];
    ListFactors false [SESSION];
    UseAuthenticatorCode true [SESSION, NOT_ACTIVE, CLOSED, &[
        "code.format", "authenticator.wrong", "authenticator.used", "authenticator.not_active"
    ]];
    BeginPasskeyUse false [SESSION, NOT_ACTIVE, PASSKEYS, &["passkey.not_active", "passkey.limit"]];
    UsePasskey true [SESSION, NOT_ACTIVE, PASSKEYS, &[
        "passkey.format", "passkey.wrong", "passkey.counter", "passkey.ended", "passkey.not_active"
    ]];
    ReportPhoneLost true [SESSION, NOT_ACTIVE, &["session.signed_in"]];
    SendEnrolmentLink true [SESSION, &[
        "session.signed_in", "second_factor.not_disabled", "link.password_by_mail", "link.limit"
    ]];
    UseEnrolmentLink true [SESSION, &[
        "session.signed_in", "second_factor.not_disabled", "link.password_by_mail", "link.invalid"
    ]];
    GetTwoFactor false [SESSION, BOTH_STEPS];
    EnableTwoFactor true [SESSION, BOTH_STEPS, FRESH, KEY, NUMBER, CLOSED, SEND, &[
        "two_factor.already_active", "phone.in_use", "sms.limit"
    ]];
    ChangeNumber true [SESSION, BOTH_STEPS, FRESH, KEY, NUMBER, CLOSED, SEND, NOT_ACTIVE, &[
        "two_factor.already_active", "phone.in_use", "sms.limit"
    ]];
    DisableTwoFactor true [SESSION, BOTH_STEPS, FRESH, NOT_ACTIVE, SETTLED, &[
        "two_factor.required_by_policy", "two_factor.password_too_short"
    ]];
    RemakeRecoveryCodes true [SESSION, BOTH_STEPS, FRESH, NOT_ACTIVE, SETTLED];
    BeginAuthenticator false [SESSION, BOTH_STEPS, FRESH, SETTLED];
    ConfirmAuthenticator true [SESSION, BOTH_STEPS, &[
        "code.format", "authenticator.wrong", "authenticator.enrolment_ended"
    ]];
    RemoveAuthenticator true [SESSION, BOTH_STEPS, FRESH, NOT_ACTIVE, SETTLED, &[
        "authenticator.not_active", "authenticator.last_factor"
    ]];
    BeginPasskey false [SESSION, BOTH_STEPS, FRESH, SETTLED, PASSKEYS, &[
        "passkey.limit", "passkey.too_many"
    ]];
    ConfirmPasskey true [SESSION, BOTH_STEPS, PASSKEYS, &[
        "passkey.name", "passkey.format", "passkey.wrong", "passkey.ended", "passkey.exists",
        "passkey.too_many"
    ]];
    RenamePasskey true [SESSION, BOTH_STEPS, &["passkey.name", "passkey.not_found"]];
    RemovePasskey true [SESSION, BOTH_STEPS, FRESH, NOT_ACTIVE, SETTLED, &[
        "passkey.not_found", "passkey.last_factor"
    ]];
    ListBrowsers false [SESSION, BOTH_STEPS];
    RevokeBrowsers true [SESSION, BOTH_STEPS, &["browser.not_found"]];
    ConfirmPassword true [SESSION, BOTH_STEPS, GUESS, &["password.wrong"]];
    ChangePassword true [SESSION, BOTH_STEPS, GUESS, WEAK, &["password.wrong"]];
    RequestPasswordReset true [];
    InspectLink false [&["link.invalid"]];
    SetPasswordByLink true [&["link.invalid", "sign_in.busy"], WEAK];
    ListMails false [];
    ValidateNumber false [NUMBER, &[
        "phone.country_mismatch", "phone.country_not_served", "country.unknown"
    ]];
    ListCountries false [];
    ListSms false [&["phone.invalid"]];
    GetProfile false [SESSION, BOTH_STEPS];
    ValidateProfile false [SESSION, BOTH_STEPS, FIELDS, NUMBER];
    UpdateProfile true [SESSION, BOTH_STEPS, FIELDS, NUMBER, &["edit.conflict"]];
    ListUsers false [SESSION, BOTH_STEPS, ADMINISTRATION, &[
        "field.invalid", "page_token.invalid"
    ]];
    GetUser false [SESSION, BOTH_STEPS, ADMINISTRATION, &["user.not_found"]];
    AddUser true [SESSION, BOTH_STEPS, ADMINISTRATION, KEY, SEAT, &[
        "idempotency.conflict", "email.invalid", "email.exists", "email.domain_not_approved",
        "field.required", "field.too_long", "field.invalid", "locale.unknown", "time_zone.unknown"
    ]];
    UpdateUser true [SESSION, BOTH_STEPS, ADMINISTRATION, FIELDS, NUMBER, &[
        "user.not_found", "edit.conflict", "admin.last", "role_group.unknown",
        "two_factor.number_locked"
    ]];
    DeleteUser true [SESSION, BOTH_STEPS, ADMINISTRATION, &[
        "user.not_found", "email.mismatch", "admin.last"
    ]];
    RestoreUser true [SESSION, BOTH_STEPS, ADMINISTRATION, &["user.not_found"]];
    ListRoleGroups false [SESSION, BOTH_STEPS, ADMINISTRATION];
    StartPasswordReset true [SESSION, BOTH_STEPS, ADMINISTRATION, &[
        "user.not_found", "user.not_active"
    ]];
    ListPlans false [SESSION, BOTH_STEPS, ADMINISTRATION];
    AssignLicence true [SESSION, BOTH_STEPS, ADMINISTRATION, SEAT, &["user.not_found"]];
    ListDomains false [SESSION, BOTH_STEPS, ADMINISTRATION];
    ListEvents false [SESSION, BOTH_STEPS, ADMINISTRATION, &[
        "user.not_found", "page_token.invalid"
    ]];
};

/// Reasons with a sentence for which no service refuses a call of the pages.
pub const OF_NO_CALL: &[&str] = &[
    // The gateway's own.
    "form.refused",
    "form.too_large",
    "body.invalid",
    "page.not_found",
    "password.mismatch",
    "code.not_sent",
    // Why an attempt was not right, in the log alone.
    "code.undecided",
    // Otp-api to identity, which would pass it on.
    "field.malformed",
];

/// Reasons of the error tables for services and operators, whose calls no page makes.
const OF_OTHER_CALLS: &[&str] = &[
    "user.has_password",
    "organisation.not_found",
    "domain.taken",
    "guard.no_override",
];

/// The code that a reason comes with.
pub fn code(reason: &str) -> Code {
    match reason {
        "session.required" | "session.expired" => Code::Unauthenticated,
        "permission.denied" => Code::PermissionDenied,
        "session.not_found" | "browser.not_found" | "passkey.not_found" | "link.invalid"
        | "code.none" | "user.not_found" | "plan.not_found" => Code::NotFound,
        "idempotency.conflict" | "email.exists" | "passkey.exists" => Code::AlreadyExists,
        "edit.conflict" => Code::Aborted,
        "second_factor_required"
        | "password_confirmation_required"
        | "step_up_required"
        | "session.signed_in"
        | "second_factor.disabled"
        | "second_factor.not_disabled"
        | "link.password_by_mail"
        | "code.expired"
        | "code.used"
        | "code.ended"
        | "code.no_sends_left"
        | "authenticator.not_active"
        | "authenticator.enrolment_ended"
        | "authenticator.last_factor"
        | "passkey.ended"
        | "passkey.not_active"
        | "passkey.unavailable"
        | "passkey.last_factor"
        | "passkey.too_many"
        | "licence.none_available"
        | "user.not_active"
        | "admin.last" => Code::FailedPrecondition,
        "two_factor.number_locked" => Code::InvalidArgument,
        reason if reason.starts_with("two_factor.") => Code::FailedPrecondition,
        "sign_in.delayed"
        | "sign_in.busy"
        | "passkey.limit"
        | "second_factor.locked"
        | "link.limit"
        | "recovery_code.limit"
        | "sms.quota"
        | "sms.limit"
        | "code.resend_too_early"
        | "watch.busy" => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    }
}

#[test]
fn the_table_has_every_call_of_the_pages_and_no_other() {
    let pages = calls(&[
        "services/gateway/src/pages",
        "services/gateway/src/clients.rs",
    ]);
    let rows: BTreeSet<String> = RPCS.iter().map(|rpc| method(rpc.name)).collect();
    assert_eq!(pages, rows);
}

#[test]
fn every_reason_of_the_table_has_a_sentence_and_stands_in_a_service() {
    let told = told();
    let sources = text(&[
        "services/identity/src",
        "services/otp-dispatch/src",
        "services/account-admin/src",
        "crates/chassis/src",
        "crates/phone/src",
    ]);
    for rpc in RPCS {
        for reason in rpc.reasons() {
            let at = format!("{reason} of {}", rpc.name);
            assert!(told.contains(&reason), "{at} has no sentence");
            assert!(
                sources.contains(&format!("\"{reason}\"")),
                "{at}: no source"
            );
        }
    }
}

#[test]
fn every_reason_of_the_error_tables_is_in_this_one_or_for_nobodys_page() {
    let tables = error_tables();
    let given = reasons_in(&tables);
    assert!(given.len() > 40, "the error tables are not read: {given:?}");
    let known = |reason: &str| RPCS.iter().any(|rpc| rpc.refuses(reason));
    let missing: Vec<_> = given
        .iter()
        .filter(|reason| !known(reason) && !OF_OTHER_CALLS.contains(reason))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for reason in OF_OTHER_CALLS {
        assert!(given.contains(reason), "{reason} is given no more");
    }
}

#[test]
fn every_sentence_is_for_a_reason_that_somebody_gives() {
    for reason in told() {
        let given = RPCS.iter().any(|rpc| rpc.refuses(reason));
        let own = OF_NO_CALL.contains(&reason);
        assert!(given != own, "{reason}: given {given}, listed apart {own}");
    }
}

#[test]
fn codes_are_those_of_the_error_tables() {
    let tables: String = error_tables().split_whitespace().collect();
    let known = |reason: &str| RPCS.iter().any(|rpc| rpc.refuses(reason));
    let mut compared = 0;
    // `Code::NotFound,"code.none"`
    for rest in tables.split("Code::").skip(1) {
        let Some((name, rest)) = rest.split_once(",\"") else {
            continue;
        };
        let reason = rest.split('"').next().unwrap();
        if name.bytes().all(|b| b.is_ascii_alphabetic()) && known(reason) {
            assert_eq!(format!("{:?}", code(reason)), name, "{reason}");
            compared += 1;
        }
    }
    // `Refusal::field("code","code.format")`
    for rest in tables.split("Refusal::field(").skip(1) {
        let arguments = rest.split(')').next().unwrap();
        let Some((_, reason)) = arguments.split_once(",\"") else {
            continue;
        };
        let reason = reason.trim_end_matches('"');
        assert_eq!(code(reason), Code::InvalidArgument, "{reason}");
        compared += 1;
    }
    assert!(compared > 30, "the error tables are not read: {compared}");
}
