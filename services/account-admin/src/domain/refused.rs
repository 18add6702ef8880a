//! Why a request is refused, in this service's own words. A refused request changes nothing.

use sallyport_chassis::idempotency::KeyRefusal;

use super::profile::Fault;

/// A refusal; `grpc/status.rs` gives each its code and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The session is no longer good.
    SessionExpired,
    /// The session has not passed its second step.
    SecondFactorRequired,
    /// Administration asks the second factor of who has one, in this session.
    StepUpRequired,
    /// The permission is not held.
    PermissionDenied,
    /// No such user, or not in the caller's organisation.
    UserNotFound,
    /// The user has no password to reset: invited, or disabled.
    UserNotActive,
    /// What was typed again is not the user's address.
    EmailMismatch,
    /// Without him the organisation would have no active administrator.
    LastAdministrator,
    /// No such plan, or not the organisation's.
    PlanNotFound,
    /// No such organisation.
    OrganisationNotFound,
    /// Fields with the reason of each.
    Fields(Vec<Fault>),
    /// The address is taken, here or elsewhere.
    EmailExists,
    /// The domain of the address is not approved for the organisation.
    DomainNotApproved,
    /// Another organisation holds the domain.
    DomainTaken {
        /// The field that named it.
        field: &'static str,
    },
    /// Every seat of the plan is taken.
    NoLicence,
    /// A newer edit is stored.
    EditConflict {
        /// The version stored now.
        version: i64,
        /// Fields whose stored value is not what was to be saved.
        differing: Vec<&'static str>,
    },
    /// A key is needed, so that a repeated request makes no second thing.
    Idempotency(KeyRefusal),
    /// The key was used for another request.
    IdempotencyConflict,
}

impl From<KeyRefusal> for Refused {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Idempotency(refusal)
    }
}

impl Refused {
    /// One field and its reason.
    pub fn field(field: &'static str, reason: &'static str) -> Self {
        Self::Fields(vec![(field, reason)])
    }
}
