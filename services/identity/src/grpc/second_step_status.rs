//! The error table of codes and two-factor authentication.

use sallyport_chassis::Refusal;
use sallyport_chassis::refusal::failed;
use tonic::{Code, Status};

use super::status::store;
use crate::app::code::refusal::CodeRefusal;
use crate::app::two_factor::TwoFactorRefusal;

impl From<CodeRefusal> for Status {
    fn from(refusal: CodeRefusal) -> Self {
        use CodeRefusal as R;
        let refusal = match refusal {
            R::Session(refusal) => return refusal.into(),
            R::Store(error) => return store(error),
            R::Otp(refusal) => refusal,
            error @ R::OtpAway(_) => return failed(Code::Unavailable, &error),
            error @ R::Interrupted => return failed(Code::Internal, &error),
            R::Format => Refusal::field("code", "code.format"),
            R::Wrong { tries_left } => {
                Refusal::field("code", "code.wrong").with("tries_left", tries_left)
            }
            R::Expired => Refusal::new(Code::FailedPrecondition, "code.expired"),
            R::Used => Refusal::new(Code::FailedPrecondition, "code.used"),
            R::Ended => Refusal::new(Code::FailedPrecondition, "code.ended"),
            R::NoChallenge => Refusal::new(Code::NotFound, "code.none"),
            R::Locked(wait) => {
                Refusal::new(Code::ResourceExhausted, "second_factor.locked").retry_after(wait)
            }
            R::Disabled => Refusal::new(Code::FailedPrecondition, "second_factor.disabled"),
            R::NoNumber => Refusal::new(Code::FailedPrecondition, "two_factor.no_number"),
            R::AuthenticatorWrong => Refusal::field("code", "authenticator.wrong"),
            R::AuthenticatorUsed => Refusal::field("code", "authenticator.used"),
            R::NoAuthenticator => {
                Refusal::new(Code::FailedPrecondition, "authenticator.not_active")
            }
            R::PasskeyFormat => Refusal::field("credential", "passkey.format"),
            R::PasskeyWrong => Refusal::field("credential", "passkey.wrong"),
            R::PasskeyCounter => Refusal::field("credential", "passkey.counter"),
            R::CeremonyEnded => Refusal::new(Code::FailedPrecondition, "passkey.ended"),
            R::NoPasskey => Refusal::new(Code::FailedPrecondition, "passkey.not_active"),
            R::PasskeysUnavailable => Refusal::new(Code::FailedPrecondition, "passkey.unavailable"),
            R::PasskeyLimit(wait) => {
                Refusal::new(Code::ResourceExhausted, "passkey.limit").retry_after(wait)
            }
            R::NotDisabled => Refusal::new(Code::FailedPrecondition, "second_factor.not_disabled"),
            R::PasswordByMail => Refusal::new(Code::FailedPrecondition, "link.password_by_mail"),
            R::LinkInvalid => Refusal::new(Code::NotFound, "link.invalid"),
            R::LinkLimit(wait) => {
                Refusal::new(Code::ResourceExhausted, "link.limit").retry_after(wait)
            }
            R::NotActive => Refusal::new(Code::FailedPrecondition, "two_factor.not_active"),
            R::NumberInUse => Refusal::field("mobile_number", "phone.in_use"),
            R::AlreadySignedIn => Refusal::new(Code::FailedPrecondition, "session.signed_in"),
            R::Idempotency(refusal) => Refusal::from(refusal),
            R::RecoveryWrong => Refusal::field("recovery_code", "recovery_code.wrong"),
            R::RecoveryLimit(wait) => {
                Refusal::new(Code::ResourceExhausted, "recovery_code.limit").retry_after(wait)
            }
        };
        refusal.into()
    }
}

impl From<TwoFactorRefusal> for Status {
    fn from(refusal: TwoFactorRefusal) -> Self {
        use TwoFactorRefusal as R;
        let precondition = |reason: &str| Refusal::new(Code::FailedPrecondition, reason);
        let refusal = match refusal {
            R::Code(refusal) => return refusal.into(),
            R::Phone(error) => {
                Refusal::field(error.field(), error.reason()).with_all(error.details())
            }
            R::AlreadyActive => precondition("two_factor.already_active"),
            R::StepUpRequired => precondition("step_up_required"),
            R::RequiredByPolicy => precondition("two_factor.required_by_policy"),
            R::PasswordTooShort { minimum } => {
                precondition("two_factor.password_too_short").with("minimum", minimum)
            }
            R::EnrolmentEnded => precondition("authenticator.enrolment_ended"),
            R::LastFactor => precondition("authenticator.last_factor"),
            R::LastPasskey => precondition("passkey.last_factor"),
            R::PasskeyNotFound => Refusal::new(Code::NotFound, "passkey.not_found"),
            R::PasskeyKnown => Refusal::new(Code::AlreadyExists, "passkey.exists"),
            R::PasskeyName => Refusal::field("name", "passkey.name"),
            R::TooManyPasskeys { most } => precondition("passkey.too_many").with("most", most),
            R::NumberChangedLately(wait) => {
                precondition("two_factor.number_changed_lately").retry_after(wait)
            }
        };
        refusal.into()
    }
}
