//! Of profiles, numbers and administration.

use super::{AWAITING, At, NOBODY, NUMBER, ROW, Row, enrolling, number};

const ACCOUNT: &[(&str, &str)] = &[
    ("country", "FR"),
    ("mobile_number", "06 12 34 56 78"),
    ("two_factor", "1"),
    ("default_sms_country", "BE"),
    ("first_name", "Augusta"),
    ("last_name", "King"),
    ("time_zone", "Europe/Paris"),
    ("date_format", "day_first"),
    ("locale", "fr"),
];

const NEW_USER: &[(&str, &str)] = &[
    ("email", "eve@example.org"),
    ("first_name", "Eve"),
    ("last_name", "Moreau"),
    ("locale", "fr"),
    ("time_zone", "Europe/Paris"),
    ("plan_id", "p2"),
];

const EDITED: &[(&str, &str)] = &[
    ("first_name", "Augusta"),
    ("last_name", "King"),
    ("country", "FR"),
    ("mobile_number", "06 12 34 56 78"),
    ("default_sms_country", "BE"),
    ("time_zone", "Europe/Paris"),
    ("date_format", "day_first"),
    ("locale", "fr"),
    ("role_group_ids", "g2"),
    ("two_factor_required", "1"),
    ("disabled", "1"),
];

fn profile_field(reason: &str) -> At {
    At::Field(match reason.split('.').next() {
        Some("country") => "default_sms_country",
        Some("time_zone") => "time_zone",
        Some("locale") => "locale",
        Some("date_format") => "date_format",
        _ => "first_name",
    })
}

pub const ROWS: &[Row] = &[
    Row {
        of: &["session.required"],
        reader: NOBODY,
        rpc: "GetProfile",
        page: "/users",
        at: |_| At::Next,
        ..ROW
    },
    Row {
        of: &["second_factor_required"],
        reader: AWAITING,
        rpc: "GetProfile",
        page: "/users",
        at: |_| At::Way("no_code_sign_in"),
        ..ROW
    },
    Row {
        of: &["step_up_required"],
        rpc: "ListUsers",
        page: "/users",
        at: |_| At::Way("no_code_step_up"),
        ..ROW
    },
    Row {
        of: &["phone.", "country."],
        reader: AWAITING,
        rpc: "ValidateNumber",
        world: enrolling,
        page: "/enrol",
        to: "/enrol",
        typed: NUMBER,
        at: number,
        ..ROW
    },
    Row {
        of: &["phone.", "country."],
        rpc: "ValidateNumber",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: number,
        ..ROW
    },
    Row {
        of: &[
            "country.",
            "time_zone.",
            "locale.",
            "date_format.",
            "field.",
        ],
        rpc: "ValidateProfile",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: profile_field,
        ..ROW
    },
    Row {
        of: &["edit."],
        rpc: "UpdateProfile",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["email."],
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Field("email"),
        ..ROW
    },
    Row {
        of: &["field.", "locale.", "time_zone."],
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: profile_field,
        ..ROW
    },
    Row {
        of: &["licence.", "plan."],
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Field("plan_id"),
        ..ROW
    },
    Row {
        of: &["idempotency."],
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["licence.", "plan."],
        rpc: "AssignLicence",
        page: "/users/u2/licence",
        to: "/users/u2/licence",
        typed: &[("plan_id", "p2")],
        at: |_| At::Field("plan_id"),
        ..ROW
    },
    Row {
        of: &["user.", "permission."],
        rpc: "AssignLicence",
        page: "/users/u2/licence",
        to: "/users/u2/licence",
        typed: &[("plan_id", "p2")],
        ..ROW
    },
    Row {
        of: &["user.", "permission."],
        rpc: "StartPasswordReset",
        page: "/users",
        to: "/users/u2/password-reset",
        ..ROW
    },
    Row {
        of: &[
            "country.",
            "time_zone.",
            "locale.",
            "date_format.",
            "field.",
        ],
        rpc: "UpdateUser",
        page: "/users/u2",
        to: "/users/u2",
        typed: EDITED,
        at: profile_field,
        ..ROW
    },
    Row {
        of: &["phone.", "two_factor."],
        rpc: "UpdateUser",
        page: "/users/u2",
        to: "/users/u2",
        typed: EDITED,
        at: |_| At::Field("mobile_number"),
        ..ROW
    },
    Row {
        of: &["role_group."],
        rpc: "UpdateUser",
        page: "/users/u2",
        to: "/users/u2",
        typed: EDITED,
        at: |_| At::Field("role_group_ids"),
        ..ROW
    },
    Row {
        of: &["edit.", "admin."],
        rpc: "UpdateUser",
        page: "/users/u2",
        to: "/users/u2",
        typed: EDITED,
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["user.", "permission."],
        rpc: "UpdateUser",
        page: "/users/u2",
        to: "/users/u2",
        typed: EDITED,
        ..ROW
    },
    Row {
        of: &["email."],
        rpc: "DeleteUser",
        page: "/users/u2/delete",
        to: "/users/u2/delete",
        typed: &[("email", "benoit@example.com")],
        at: |_| At::Field("email"),
        ..ROW
    },
    Row {
        of: &["admin."],
        rpc: "DeleteUser",
        page: "/users/u2/delete",
        to: "/users/u2/delete",
        typed: &[("email", "benoit@example.org")],
        at: |_| At::Form,
        ..ROW
    },
    Row {
        of: &["user.", "permission."],
        rpc: "DeleteUser",
        page: "/users/u2/delete",
        to: "/users/u2/delete",
        typed: &[("email", "benoit@example.org")],
        ..ROW
    },
    Row {
        of: &["user.", "permission."],
        rpc: "RestoreUser",
        page: "/users",
        to: "/users/u2/restore",
        ..ROW
    },
    Row {
        of: &["permission."],
        rpc: "ListRoleGroups",
        page: "/users/u2",
        ..ROW
    },
    Row {
        of: &["page_token.", "field.", "permission."],
        rpc: "ListUsers",
        page: "/users?page=gone",
        ..ROW
    },
    Row {
        of: &["permission."],
        rpc: "ListPlans",
        page: "/licences",
        ..ROW
    },
    Row {
        of: &["user.", "page_token.", "permission."],
        rpc: "ListEvents",
        page: "/users/u2/logs?page=gone",
        ..ROW
    },
];
