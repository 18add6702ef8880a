//! What several requests have in common.

use sallyport_phone::PhoneNumber;
use sallyport_proto::otp::v1 as pb;

use crate::app::OtpError;
use crate::app::binding::BoundTo;
use crate::domain::challenge::Purpose;

/// The longest id that a caller may give, in characters of one byte.
const LONGEST: usize = 200;

/// A required text of printable ASCII.
pub(crate) fn required(field: &'static str, text: String) -> Result<String, OtpError> {
    let reason = match text.len() {
        0 => "field.required",
        1..=LONGEST if text.bytes().all(|b| b.is_ascii_graphic()) => return Ok(text),
        1..=LONGEST => "field.malformed",
        _ => "field.too_long",
    };
    Err(OtpError::Field { field, reason })
}

/// A text that may be empty.
pub(crate) fn optional(field: &'static str, text: String) -> Result<String, OtpError> {
    if text.is_empty() {
        Ok(text)
    } else {
        required(field, text)
    }
}

/// The purpose, or none for one that this release does not know.
fn purpose(purpose: i32) -> Option<Purpose> {
    match pb::Purpose::try_from(purpose).ok()? {
        pb::Purpose::Unspecified => None,
        pb::Purpose::SignIn => Some(Purpose::SignIn),
        pb::Purpose::Enrolment => Some(Purpose::Enrolment),
        pb::Purpose::NumberChange => Some(Purpose::NumberChange),
        pb::Purpose::StepUp => Some(Purpose::StepUp),
    }
}

/// The purpose as the wire says it.
pub(super) fn purpose_of(purpose: Purpose) -> pb::Purpose {
    match purpose {
        Purpose::SignIn => pb::Purpose::SignIn,
        Purpose::Enrolment => pb::Purpose::Enrolment,
        Purpose::NumberChange => pb::Purpose::NumberChange,
        Purpose::StepUp => pb::Purpose::StepUp,
    }
}

pub(crate) fn bound_to(binding: Option<pb::Binding>) -> Result<BoundTo, OtpError> {
    let missing = |field| OtpError::Field {
        field,
        reason: "field.required",
    };
    let binding = binding.ok_or(missing("binding"))?;
    Ok(BoundTo {
        purpose: purpose(binding.purpose).ok_or(missing("binding.purpose"))?,
        user_id: required("binding.user_id", binding.user_id)?,
        session_id: required("binding.session_id", binding.session_id)?,
        number: PhoneNumber::parse_e164(&binding.number)?,
    })
}
