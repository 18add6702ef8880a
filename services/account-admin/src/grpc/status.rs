//! The error table: every refusal with its code and stable reason.

use sallyport_chassis::refusal::failed;
use sallyport_chassis::{Caller, Refusal};
use tonic::{Code, Request, Status};

use crate::app::Error;
use crate::domain::refused::Refused;

/// The caller that the table let in.
#[allow(
    clippy::result_large_err,
    reason = "tonic's handlers return Status by value"
)]
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    Caller::of(request)
}

/// An error as its status.
pub fn status(error: Error) -> Status {
    match error {
        Error::Refused(refused) => refuse(refused).into(),
        Error::Session(refusal) => refusal.into(),
        // What identity refuses here is our mistake, not the caller's.
        Error::Identity(status) if Refusal::from_status(&status).is_some() => {
            failed(Code::Internal, &*status)
        }
        Error::Identity(status) => failed(Code::Unavailable, &*status),
        Error::Store(error @ sallyport_sql::StoreError::Unavailable(_)) => {
            failed(Code::Unavailable, &error)
        }
        Error::Store(error @ sallyport_sql::StoreError::Corrupt(_)) => {
            failed(Code::Internal, &error)
        }
    }
}

fn refuse(refused: Refused) -> Refusal {
    match refused {
        Refused::SessionExpired => Refusal::new(Code::Unauthenticated, "session.expired"),
        Refused::SecondFactorRequired => {
            Refusal::new(Code::FailedPrecondition, "second_factor_required")
        }
        Refused::StepUpRequired => Refusal::new(Code::FailedPrecondition, "step_up_required"),
        Refused::PermissionDenied => Refusal::new(Code::PermissionDenied, "permission.denied"),
        Refused::UserNotFound => Refusal::new(Code::NotFound, "user.not_found"),
        Refused::UserNotActive => Refusal::new(Code::FailedPrecondition, "user.not_active"),
        Refused::EmailMismatch => Refusal::field("email", "email.mismatch"),
        Refused::LastAdministrator => Refusal::new(Code::FailedPrecondition, "admin.last"),
        Refused::PlanNotFound => Refusal::new(Code::NotFound, "plan.not_found"),
        Refused::OrganisationNotFound => Refusal::new(Code::NotFound, "organisation.not_found"),
        Refused::Fields(faults) => {
            let reason = faults.first().map_or("field.invalid", |(_, reason)| reason);
            faults.iter().fold(
                Refusal::new(Code::InvalidArgument, reason),
                |refusal, (field, reason)| refusal.and_field(*field, *reason),
            )
        }
        Refused::EmailExists => {
            Refusal::new(Code::AlreadyExists, "email.exists").and_field("email", "email.exists")
        }
        Refused::DomainNotApproved => Refusal::field("email", "email.domain_not_approved"),
        Refused::DomainTaken { field } => {
            Refusal::new(Code::AlreadyExists, "domain.taken").and_field(field, "domain.taken")
        }
        Refused::NoLicence => Refusal::new(Code::FailedPrecondition, "licence.none_available")
            .and_field("plan_id", "licence.none_available"),
        Refused::EditConflict { version, differing } => {
            Refusal::new(Code::Aborted, "edit.conflict")
                .with("version", version)
                .with("fields", differing.join(","))
        }
        Refused::Idempotency(refusal) => refusal.into(),
        Refused::IdempotencyConflict => Refusal::new(Code::AlreadyExists, "idempotency.conflict"),
    }
}
