//! The error table: what a use case refuses, as a status.

use sallyport_chassis::Refusal;
use sallyport_chassis::refusal::failed;
use sallyport_sql::StoreError;
use tonic::{Code, Status};

use crate::app::session::SessionRefusal;

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
