//! Why a call about a code is refused, or fails.

use std::time::Duration;

use sallyport_chassis::Refusal;
use sallyport_chassis::idempotency::KeyRefusal;
use sallyport_sql::StoreError;
use tonic::Status;

use crate::app::session::SessionRefusal;

/// Why a call about a code is refused, or fails.
#[derive(Debug, thiserror::Error)]
pub enum CodeRefusal {
    /// The session does not allow it.
    #[error(transparent)]
    Session(#[from] SessionRefusal),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// otp-api refused; its answer goes to the caller.
    #[error("otp-api refused")]
    Otp(Refusal),
    /// otp-api gave no answer, or one that makes no sense.
    #[error("otp-api is unavailable")]
    OtpAway(#[source] Box<Status>),
    /// The attempt's task died.
    #[error("the attempt was interrupted")]
    Interrupted,
    /// Not six digits.
    #[error("not a code")]
    Format,
    /// Not the code.
    #[error("wrong code")]
    Wrong {
        /// Tries that the challenge has left.
        tries_left: u32,
    },
    /// The code, too late.
    #[error("expired code")]
    Expired,
    /// The code, again.
    #[error("used code")]
    Used,
    /// The challenge has no tries left, or was cancelled.
    #[error("the challenge has ended")]
    Ended,
    /// The session has no live challenge.
    #[error("no live challenge")]
    NoChallenge,
    /// Too many wrong codes in a row: none is taken for this long.
    #[error("the second step is locked")]
    Locked(Duration),
    /// A hundred wrong codes in a row: a number must be enrolled anew.
    #[error("the factor is disabled")]
    Disabled,
    /// Codes by SMS have no number to go to; another factor works.
    #[error("no number is confirmed")]
    NoNumber,
    /// Not a code that the authenticator app shows now.
    #[error("wrong code of the authenticator app")]
    AuthenticatorWrong,
    /// A code of the authenticator app, again.
    #[error("used code of the authenticator app")]
    AuthenticatorUsed,
    /// No authenticator app is set up.
    #[error("no authenticator app")]
    NoAuthenticator,
    /// Not the answer of an authenticator, or too long for one.
    #[error("not a credential")]
    PasskeyFormat,
    /// Not an answer to this ceremony by a passkey that may be given, at this origin.
    #[error("wrong answer of a passkey")]
    PasskeyWrong,
    /// A right answer whose counter has not gone on: the passkey may have been copied.
    #[error("the counter of the passkey went back")]
    PasskeyCounter,
    /// Not a ceremony that this session has begun, or it has ended.
    #[error("the ceremony of the passkey has ended")]
    CeremonyEnded,
    /// No passkey is registered.
    #[error("no passkey")]
    NoPasskey,
    /// The portal has no name that a passkey could be bound to.
    #[error("there are no passkeys here")]
    PasskeysUnavailable,
    /// The hour's ceremonies are spent.
    #[error("too many ceremonies of passkeys begun")]
    PasskeyLimit(Duration),
    /// As many users as may have this number have it.
    #[error("the number is in use")]
    NumberInUse,
    /// The factor is not disabled, so there is none to enrol anew.
    #[error("the factor is not disabled")]
    NotDisabled,
    /// A mailed link set the password, and no second factor was right since.
    #[error("the mailbox would be all that is asked")]
    PasswordByMail,
    /// Not an open link of this user that enrols.
    #[error("the link is not valid")]
    LinkInvalid,
    /// The hour's links are spent.
    #[error("too many links")]
    LinkLimit(Duration),
    /// The user has no active factor.
    #[error("two-factor authentication is off")]
    NotActive,
    /// The session does not await its second factor.
    #[error("the session is signed in")]
    AlreadySignedIn,
    /// A send needs an idempotency key.
    #[error(transparent)]
    Idempotency(#[from] KeyRefusal),
    /// Not one of the user's unused recovery codes.
    #[error("wrong recovery code")]
    RecoveryWrong,
    /// The hour's tries of recovery codes are spent.
    #[error("too many recovery codes tried")]
    RecoveryLimit(Duration),
}

impl CodeRefusal {
    /// Reads what otp-api sent instead of an answer.
    pub(crate) fn of_otp(status: Status) -> Self {
        match Refusal::from_status(&status) {
            Some(refusal) => Self::Otp(refusal),
            None => Self::OtpAway(Box::new(status)),
        }
    }
}
