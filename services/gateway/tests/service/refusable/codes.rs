//! Of codes and two-factor authentication.

use sallyport_proto::identity::v1::Purpose;

use super::{AWAITING, At, NUMBER, OWN, ROW, Row, enrolling, number};
use crate::fakes::World;

/// My account as it is stored, with the box ticked.
const TICKED: &[(&str, &str)] = &[
    ("two_factor", "1"),
    ("country", "CA"),
    ("mobile_number", "+1 416-555-0123"),
    ("default_sms_country", "CA"),
    ("first_name", "Ada"),
    ("last_name", "Marchand"),
    ("time_zone", "America/Toronto"),
    ("date_format", "iso"),
    ("locale", OWN),
];

/// The same without it.
const UNTICKED: &[(&str, &str)] = TICKED.split_at(1).1;

/// Why a code to the stored number is not sent.
const BINDING: &[&str] = &[
    "two_factor.",
    "second_factor.",
    "phone.in_use",
    "phone.invalid",
    "phone.not_sms_capable",
    "phone.country_not_served",
    "sms.",
    "code.",
    "idempotency.",
];

fn sent(world: &mut World) {
    world.send(Purpose::SignIn);
}

/// The profile is stored by then, and its number is not taken.
fn stored_number(reason: &str) -> At {
    match reason.split('.').next() {
        Some("phone") => At::NextField("mobile_number"),
        _ => At::Next,
    }
}

fn with_passkey(world: &mut World) {
    world.passkeys = vec![("a0".to_owned(), "Laptop".to_owned())];
}

pub const ROWS: &[Row] = &[
    Row {
        of: &["password_confirmation_required"],
        rpc: "RemakeRecoveryCodes",
        page: "/account",
        to: "/account/recovery-codes",
        at: |_| At::Way("confirm_title"),
        ..ROW
    },
    Row {
        of: &[
            "code.",
            "sms.",
            "second_factor.",
            "two_factor.",
            "phone.",
            "idempotency.",
        ],
        reader: AWAITING,
        rpc: "SendSignInCode",
        page: "/code",
        to: "/code/send",
        at: |_| At::Next,
        ..ROW
    },
    // Signed in meanwhile, on another page.
    Row {
        of: &["session.signed_in"],
        reader: AWAITING,
        rpc: "SendSignInCode",
        page: "/code",
        to: "/code/send",
        ..ROW
    },
    Row {
        of: &["code.", "sms.", "second_factor.", "two_factor.", "phone."],
        rpc: "SendStepUpCode",
        page: "/code?next=/users",
        to: "/code/send",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["code.", "sms.", "second_factor.", "phone."],
        reader: AWAITING,
        rpc: "ResendCode",
        world: sent,
        page: "/code",
        to: "/code/resend",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["code.", "second_factor.", "two_factor."],
        reader: AWAITING,
        rpc: "VerifyCode",
        world: sent,
        page: "/code",
        to: "/code",
        typed: &[("code", "731-904")],
        at: |reason| match reason {
            "code.format" | "code.wrong" => At::Field("code"),
            _ => At::Form,
        },
        ..ROW
    },
    // Others confirmed the number while its code was under way.
    Row {
        of: &["phone."],
        rpc: "VerifyCode",
        world: |world| {
            world.send(Purpose::Enrolment);
        },
        page: "/code",
        to: "/code",
        typed: &[("code", "731-904")],
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["two_factor."],
        reader: AWAITING,
        rpc: "ReportPhoneLost",
        page: "/lost",
        to: "/lost",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["authenticator.", "code.", "second_factor.", "two_factor."],
        reader: AWAITING,
        rpc: "UseAuthenticatorCode",
        world: |world| world.authenticator = true,
        page: "/authenticator",
        to: "/authenticator",
        typed: &[("code", "731-904")],
        at: |reason| match reason {
            "code.format" | "authenticator.wrong" | "authenticator.used" => At::Field("code"),
            _ => At::Form,
        },
        ..ROW
    },
    Row {
        of: &["two_factor."],
        rpc: "BeginAuthenticator",
        page: "/account",
        to: "/account/authenticator",
        at: |_| At::Next,
        ..ROW
    },
    // Begun too long ago, or in another session; a wrong code needs the seed beside it.
    Row {
        of: &["authenticator.enrolment_ended"],
        rpc: "ConfirmAuthenticator",
        page: "/account",
        to: "/account/authenticator/confirm",
        typed: &[("code", "731-904")],
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["authenticator.", "two_factor."],
        rpc: "RemoveAuthenticator",
        world: |world| world.authenticator = true,
        page: "/account",
        to: "/account/authenticator/remove",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["passkey.", "two_factor."],
        reader: AWAITING,
        rpc: "BeginPasskeyUse",
        world: with_passkey,
        page: "/passkey",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["passkey.", "two_factor."],
        reader: AWAITING,
        rpc: "UsePasskey",
        world: with_passkey,
        page: "/passkey",
        to: "/passkey",
        typed: &[("credential", "no-such-credential")],
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["passkey.", "two_factor."],
        rpc: "BeginPasskey",
        page: "/account/passkeys",
        to: "/account/passkeys",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["passkey."],
        rpc: "ConfirmPasskey",
        page: "/account/passkeys",
        to: "/account/passkeys/confirm",
        typed: &[("credential", "no-such-credential")],
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["passkey."],
        rpc: "RenamePasskey",
        world: with_passkey,
        page: "/account/passkeys",
        to: "/account/passkeys/rename",
        typed: &[("name", "Key")],
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["passkey.", "two_factor."],
        rpc: "RemovePasskey",
        world: with_passkey,
        page: "/account/passkeys",
        to: "/account/passkeys/remove",
        typed: &[("passkey_id", "a0")],
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["watch."],
        reader: AWAITING,
        rpc: "WatchChallenge",
        world: sent,
        page: "/code/events",
        ..ROW
    },
    Row {
        of: &["recovery_code.", "two_factor."],
        reader: AWAITING,
        rpc: "UseRecoveryCode",
        page: "/recovery",
        to: "/recovery",
        typed: &[("recovery_code", "K7WD2-QQQQQ")],
        at: |reason| match reason {
            "recovery_code.wrong" => At::Field("recovery_code"),
            _ => At::Form,
        },
        ..ROW
    },
    Row {
        of: &["two_factor."],
        rpc: "RemakeRecoveryCodes",
        page: "/account",
        to: "/account/recovery-codes",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["two_factor."],
        rpc: "DisableTwoFactor",
        page: "/account",
        to: "/account",
        typed: UNTICKED,
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: BINDING,
        rpc: "EnableTwoFactor",
        world: |world| {
            world.two_factor = false;
            world.confirmed_number.clear();
        },
        page: "/account",
        to: "/account",
        typed: TICKED,
        at: stored_number,
        ..ROW
    },
    Row {
        of: BINDING,
        rpc: "ChangeNumber",
        page: "/account",
        to: "/account/number",
        at: stored_number,
        ..ROW
    },
    Row {
        of: &["phone."],
        reader: AWAITING,
        rpc: "EnableTwoFactor",
        world: enrolling,
        page: "/enrol",
        to: "/enrol",
        typed: NUMBER,
        at: number,
        ..ROW
    },
    Row {
        of: &[
            "password_confirmation_required",
            "second_factor.",
            "two_factor.",
            "sms.",
            "code.",
            "idempotency.",
        ],
        reader: AWAITING,
        rpc: "EnableTwoFactor",
        world: enrolling,
        page: "/enrol",
        to: "/enrol",
        typed: NUMBER,
        at: |reason| match reason {
            "password_confirmation_required" => At::Field("password"),
            _ => At::Form,
        },
        ..ROW
    },
];
