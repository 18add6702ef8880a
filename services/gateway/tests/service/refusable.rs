//! Requests of the portal that a service can refuse, and where the page then says so.

use sallyport_proto::identity::v1::SessionStage;
use tonic::Code;

/// Who has not signed in.
pub const NOBODY: Option<SessionStage> = None;
/// Who is past the password.
pub const AWAITING: Option<SessionStage> = Some(SessionStage::AwaitingSecondFactor);
/// Who is past both steps.
pub const SIGNED_IN: Option<SessionStage> = Some(SessionStage::SignedIn);

/// Where the sentence stands.
#[derive(Clone, Copy)]
pub enum At {
    /// At this field of the form, which comes again.
    Field(&'static str),
    /// Above the form, which comes again.
    Form,
    /// Above the page to which the reader is led.
    Next,
    /// On a page of its own.
    Page,
    /// Nowhere: the reader is led to where the missing step is made, which this term says.
    Way(&'static str),
}

/// A request that a service can refuse.
pub struct Row {
    /// How the reasons begin.
    pub of: &'static [&'static str],
    /// As the services give it, where no wait is told.
    pub code: Code,
    pub reader: Option<SessionStage>,
    pub rpc: &'static str,
    pub page: &'static str,
    /// Where the page's form goes; empty where the page itself is refused.
    pub to: &'static str,
    pub typed: &'static [(&'static str, &'static str)],
    pub at: fn(&str) -> At,
}

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

const NEW_PASSWORD: &[(&str, &str)] = &[
    ("current_password", "herons-wade-in"),
    ("new_password", "geese-fly-off"),
    ("password_again", "geese-fly-off"),
];

pub const ROWS: &[Row] = &[
    Row {
        of: &["session.required"],
        code: Code::Unauthenticated,
        reader: NOBODY,
        rpc: "GetProfile",
        page: "/users",
        to: "",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["session.expired"],
        code: Code::Unauthenticated,
        reader: SIGNED_IN,
        rpc: "GetSession",
        page: "/users",
        to: "",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["session.not_found", "session.signed_in"],
        code: Code::NotFound,
        reader: SIGNED_IN,
        rpc: "RevokeSessions",
        page: "/account",
        to: "/account/sessions",
        typed: &[],
        at: |_| At::Page,
    },
    Row {
        of: &["second_factor_required"],
        code: Code::FailedPrecondition,
        reader: AWAITING,
        rpc: "GetSession",
        page: "/users",
        to: "",
        typed: &[],
        at: |_| At::Way("no_code_sign_in"),
    },
    Row {
        of: &["step_up_required"],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "ListUsers",
        page: "/users",
        to: "",
        typed: &[],
        at: |_| At::Way("no_code_step_up"),
    },
    Row {
        of: &["password_confirmation_required"],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "RemakeRecoveryCodes",
        page: "/account",
        to: "/account/recovery-codes",
        typed: &[],
        at: |_| At::Way("confirm_title"),
    },
    Row {
        of: &["sign_in."],
        code: Code::InvalidArgument,
        reader: NOBODY,
        rpc: "SignIn",
        page: "/sign-in",
        to: "/sign-in",
        typed: &[("email", "ada@example.org"), ("password", "herons-wade-in")],
        at: |_| At::Form,
    },
    Row {
        of: &["sign_in.delayed", "sign_in.busy"],
        code: Code::ResourceExhausted,
        reader: SIGNED_IN,
        rpc: "ChangePassword",
        page: "/account/password",
        to: "/account/password",
        typed: NEW_PASSWORD,
        at: |_| At::Form,
    },
    Row {
        of: &["code.", "sms.", "second_factor."],
        code: Code::FailedPrecondition,
        reader: AWAITING,
        rpc: "SendSignInCode",
        page: "/code",
        to: "/code/send",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["code.", "sms.", "second_factor."],
        code: Code::FailedPrecondition,
        reader: AWAITING,
        rpc: "ResendCode",
        page: "/code",
        to: "/code/resend",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["code.", "second_factor."],
        code: Code::InvalidArgument,
        reader: AWAITING,
        rpc: "VerifyCode",
        page: "/code",
        to: "/code",
        typed: &[("code", "731-904")],
        at: |reason| match reason {
            "code.format" | "code.wrong" => At::Field("code"),
            _ => At::Form,
        },
    },
    Row {
        of: &["link.limit", "second_factor.not_disabled"],
        code: Code::FailedPrecondition,
        reader: AWAITING,
        rpc: "SendEnrolmentLink",
        page: "/code",
        to: "/code/link",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["watch."],
        code: Code::ResourceExhausted,
        reader: AWAITING,
        rpc: "WatchChallenge",
        page: "/code/events",
        to: "",
        typed: &[],
        at: |_| At::Page,
    },
    Row {
        of: &["recovery_code."],
        code: Code::InvalidArgument,
        reader: AWAITING,
        rpc: "UseRecoveryCode",
        page: "/recovery",
        to: "/recovery",
        typed: &[("recovery_code", "K7WD2-QQQQQ")],
        at: |reason| match reason {
            "recovery_code.wrong" => At::Field("recovery_code"),
            _ => At::Form,
        },
    },
    Row {
        of: &["two_factor."],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "RemakeRecoveryCodes",
        page: "/account",
        to: "/account/recovery-codes",
        typed: &[],
        at: |_| At::Next,
    },
    Row {
        of: &["password."],
        code: Code::InvalidArgument,
        reader: SIGNED_IN,
        rpc: "ChangePassword",
        page: "/account/password",
        to: "/account/password",
        typed: NEW_PASSWORD,
        at: |reason| match reason {
            "password.wrong" => At::Field("current_password"),
            _ => At::Field("new_password"),
        },
    },
    Row {
        of: &["password."],
        code: Code::InvalidArgument,
        reader: NOBODY,
        rpc: "SetPasswordByLink",
        page: "/link/spl_goodlink",
        to: "/link/spl_goodlink",
        typed: &[
            ("password", "geese-fly-off"),
            ("password_again", "geese-fly-off"),
        ],
        at: |_| At::Field("password"),
    },
    Row {
        of: &["link."],
        code: Code::NotFound,
        reader: NOBODY,
        rpc: "InspectLink",
        page: "/link/spl_goodlink",
        to: "",
        typed: &[],
        at: |_| At::Page,
    },
    Row {
        of: &["phone."],
        code: Code::InvalidArgument,
        reader: SIGNED_IN,
        rpc: "ValidateNumber",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: |reason| match reason {
            "phone.country_required" => At::Field("country"),
            _ => At::Field("mobile_number"),
        },
    },
    Row {
        of: &[
            "country.",
            "time_zone.",
            "locale.",
            "date_format.",
            "field.",
        ],
        code: Code::InvalidArgument,
        reader: SIGNED_IN,
        rpc: "ValidateProfile",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: |reason| {
            At::Field(match reason.split('.').next() {
                Some("country") => "default_sms_country",
                Some("time_zone") => "time_zone",
                Some("locale") => "locale",
                Some("date_format") => "date_format",
                _ => "first_name",
            })
        },
    },
    Row {
        of: &["edit."],
        code: Code::Aborted,
        reader: SIGNED_IN,
        rpc: "UpdateProfile",
        page: "/account",
        to: "/account",
        typed: ACCOUNT,
        at: |_| At::Form,
    },
    Row {
        of: &["email."],
        code: Code::AlreadyExists,
        reader: SIGNED_IN,
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Field("email"),
    },
    Row {
        of: &["licence.", "plan."],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Field("plan_id"),
    },
    Row {
        of: &["licence.", "plan."],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "AssignLicence",
        page: "/users/u2/licence",
        to: "/users/u2/licence",
        typed: &[("plan_id", "p2")],
        at: |_| At::Field("plan_id"),
    },
    Row {
        of: &["idempotency."],
        code: Code::AlreadyExists,
        reader: SIGNED_IN,
        rpc: "AddUser",
        page: "/users/add",
        to: "/users/add",
        typed: NEW_USER,
        at: |_| At::Form,
    },
    Row {
        of: &["user."],
        code: Code::FailedPrecondition,
        reader: SIGNED_IN,
        rpc: "StartPasswordReset",
        page: "/users",
        to: "/users/u2/password-reset",
        typed: &[],
        at: |_| At::Page,
    },
    Row {
        of: &["page_token."],
        code: Code::InvalidArgument,
        reader: SIGNED_IN,
        rpc: "ListUsers",
        page: "/users?page=gone",
        to: "",
        typed: &[],
        at: |_| At::Page,
    },
];

/// For reasons that no row is about.
pub const ANY: Row = Row {
    of: &[],
    code: Code::PermissionDenied,
    reader: SIGNED_IN,
    rpc: "ListPlans",
    page: "/licences",
    to: "",
    typed: &[],
    at: |_| At::Page,
};
