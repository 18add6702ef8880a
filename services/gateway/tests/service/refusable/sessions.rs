//! Of signing in, sessions, passwords and links.

use super::{AWAITING, At, NOBODY, ROW, Row, enrolling};
use crate::fakes::PASSWORD;

const NEW_PASSWORD: &[(&str, &str)] = &[
    ("current_password", "herons-wade-in"),
    ("new_password", "geese-fly-off"),
    ("password_again", "geese-fly-off"),
];

/// The link of an enrolment.
const ENROLMENT: &str = "/link/spl_enrolmentlink";

pub const ROWS: &[Row] = &[
    Row {
        of: &["session.expired"],
        rpc: "GetSession",
        page: "/users",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["session.not_found"],
        rpc: "RevokeSessions",
        page: "/account",
        to: "/account/sessions",
        ..ROW
    },
    Row {
        of: &["password_confirmation_required"],
        rpc: "RevokeSessions",
        page: "/account",
        to: "/account/sessions",
        at: |_| At::Way("confirm_title"),
        ..ROW
    },
    Row {
        of: &["browser."],
        rpc: "RevokeBrowsers",
        page: "/account",
        to: "/account/browsers",
        ..ROW
    },
    Row {
        of: &["sign_in."],
        reader: NOBODY,
        rpc: "SignIn",
        page: "/sign-in",
        to: "/sign-in",
        typed: &[("email", "ada@example.org"), ("password", "herons-wade-in")],
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["sign_in."],
        reader: NOBODY,
        rpc: "SignIn",
        page: ENROLMENT,
        to: ENROLMENT,
        typed: &[("password", "herons-wade-in")],
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["link.", "second_factor."],
        reader: NOBODY,
        rpc: "UseEnrolmentLink",
        also: &["SignIn"],
        page: ENROLMENT,
        to: ENROLMENT,
        typed: &[("password", PASSWORD)],
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["link."],
        reader: AWAITING,
        rpc: "SendEnrolmentLink",
        world: |world| world.disabled = true,
        page: "/code",
        to: "/code/link",
        at: |_| At::Next,
        ..ROW
    },
    // Enrolled meanwhile, in another session.
    Row {
        of: &["second_factor."],
        reader: AWAITING,
        rpc: "SendEnrolmentLink",
        page: "/code",
        to: "/code/link",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["password.", "sign_in."],
        reader: AWAITING,
        rpc: "ConfirmPassword",
        world: enrolling,
        page: "/enrol",
        to: "/enrol",
        typed: &[
            ("country", "FR"),
            ("mobile_number", "06 12 34 56 78"),
            ("password", "herons-wade-in"),
        ],
        at: |reason| match reason {
            "password.wrong" => At::Field("password"),
            _ => At::Form,
        },
        ..ROW
    },
    Row {
        of: &["password.", "sign_in."],
        rpc: "ChangePassword",
        page: "/account/password",
        to: "/account/password",
        typed: NEW_PASSWORD,
        at: |reason| match reason {
            "password.wrong" => At::Field("current_password"),
            "sign_in.delayed" | "sign_in.busy" => At::Form,
            _ => At::Field("new_password"),
        },
        ..ROW
    },
    Row {
        of: &["password.", "link.", "sign_in."],
        reader: NOBODY,
        rpc: "SetPasswordByLink",
        page: "/link/spl_goodlink",
        to: "/link/spl_goodlink",
        typed: &[
            ("password", "geese-fly-off"),
            ("password_again", "geese-fly-off"),
        ],
        at: |reason| match reason.split('.').next() {
            Some("password") => At::Field("password"),
            _ => At::Page,
        },
        ..ROW
    },
    Row {
        of: &["link."],
        reader: NOBODY,
        rpc: "InspectLink",
        page: "/link/spl_goodlink",
        ..ROW
    },
];
