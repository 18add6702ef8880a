//! The error table: what a use case refuses, as a status.

use std::time::Duration;

use sallyport_chassis::Refusal;
use sallyport_chassis::refusal::failed;
use sallyport_sql::StoreError;
use tonic::{Code, Status};

use crate::app::link::LinkRefusal;
use crate::app::password::PasswordRefusal;
use crate::app::projection::ProjectionRefusal;
use crate::app::session::SessionRefusal;
use crate::app::sign_in::SignInRefusal;
use crate::domain::password::{LONGEST, Weakness};

/// When a refusal for want of a hashing thread may be tried again.
const BUSY: Duration = Duration::from_secs(1);

/// The store's trouble, which callers see bare.
pub fn store(error: StoreError) -> Status {
    match &error {
        StoreError::Unavailable(_) => failed(Code::Unavailable, &error),
        StoreError::Corrupt(_) => failed(Code::Internal, &error),
    }
}

impl From<SessionRefusal> for Status {
    fn from(refusal: SessionRefusal) -> Self {
        match refusal {
            SessionRefusal::Required => {
                Refusal::new(Code::Unauthenticated, "session.required").into()
            }
            SessionRefusal::Expired => {
                Refusal::new(Code::Unauthenticated, "session.expired").into()
            }
            SessionRefusal::SecondFactorRequired => {
                Refusal::new(Code::FailedPrecondition, "second_factor_required").into()
            }
            SessionRefusal::PasswordConfirmationRequired => {
                Refusal::new(Code::FailedPrecondition, "password_confirmation_required").into()
            }
            SessionRefusal::Store(error) => store(error),
        }
    }
}

impl From<SignInRefusal> for Status {
    fn from(refusal: SignInRefusal) -> Self {
        match refusal {
            SignInRefusal::Failed => Refusal::new(Code::InvalidArgument, "sign_in.failed").into(),
            SignInRefusal::Delayed(wait) => delayed(wait),
            SignInRefusal::Closed => closed(),
            SignInRefusal::Busy => busy(),
            SignInRefusal::Store(error) => store(error),
        }
    }
}

/// `typed` and `chosen` are the names of the fields.
pub fn password(refusal: PasswordRefusal, typed: &str, chosen: &str) -> Status {
    match refusal {
        PasswordRefusal::Session(refusal) => refusal.into(),
        PasswordRefusal::Wrong => Refusal::field(typed, "password.wrong").into(),
        PasswordRefusal::Delayed(wait) => delayed(wait),
        PasswordRefusal::Closed => closed(),
        PasswordRefusal::Weak(weakness) => weak(chosen, weakness),
        PasswordRefusal::Busy => busy(),
        PasswordRefusal::Store(error) => store(error),
    }
}

impl From<LinkRefusal> for Status {
    fn from(refusal: LinkRefusal) -> Self {
        match refusal {
            LinkRefusal::Invalid => Refusal::new(Code::NotFound, "link.invalid").into(),
            LinkRefusal::Weak(weakness) => weak("password", weakness),
            LinkRefusal::Busy => busy(),
            LinkRefusal::Store(error) => store(error),
        }
    }
}

impl From<ProjectionRefusal> for Status {
    fn from(refusal: ProjectionRefusal) -> Self {
        match refusal {
            ProjectionRefusal::EmailTaken => Refusal::new(Code::AlreadyExists, "email.exists")
                .and_field("user.email", "email.exists")
                .into(),
            ProjectionRefusal::UserNotFound => {
                Refusal::new(Code::NotFound, "user.not_found").into()
            }
            ProjectionRefusal::NotActive => {
                Refusal::new(Code::FailedPrecondition, "user.not_active").into()
            }
            ProjectionRefusal::HasPassword => {
                Refusal::new(Code::FailedPrecondition, "user.has_password").into()
            }
            ProjectionRefusal::Store(error) => store(error),
        }
    }
}

fn delayed(wait: Duration) -> Status {
    Refusal::new(Code::ResourceExhausted, "sign_in.delayed")
        .retry_after(wait)
        .into()
}

/// No waiting helps: the metadata names what does.
fn closed() -> Status {
    Refusal::new(Code::ResourceExhausted, "sign_in.delayed")
        .with("way_in", "password_reset")
        .into()
}

fn busy() -> Status {
    Refusal::new(Code::ResourceExhausted, "sign_in.busy")
        .retry_after(BUSY)
        .into()
}

fn weak(field: &str, weakness: Weakness) -> Status {
    match weakness {
        Weakness::TooShort { minimum } => {
            Refusal::field(field, "password.too_short").with("minimum", minimum)
        }
        Weakness::TooLong => Refusal::field(field, "password.too_long").with("maximum", LONGEST),
        Weakness::Common => Refusal::field(field, "password.common"),
        Weakness::ContextWord => Refusal::field(field, "password.context_word"),
    }
    .into()
}
