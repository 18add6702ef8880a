//! Fuzz targets of what people type and their devices answer at the second step, and of what
//! account-admin tells;
//! `crates/fuzz` says what runs them.

use std::sync::LazyLock;

use prost::Message;
use sallyport_email::EmailAddress;
use sallyport_proto::identity::v1::PutUserRequest;
use uuid::Uuid;

use crate::app::relying_party::{Assertion, Attestation, RelyingParty};
use crate::config::Config;
use crate::domain::code_input::CodeInput;
use crate::domain::recovery::RecoveryCode;
use crate::domain::token;
use crate::grpc::projection::decode;
use crate::store::users;

/// A typed code. What is taken is six ASCII digits, in the order in which they were typed, and is
/// never shown.
///
/// # Panics
/// Where that does not hold.
pub fn code_input(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(code) = CodeInput::parse(typed) {
        let typed: String = typed.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(code.expose().len(), 6);
        assert_eq!(code.expose(), typed);
        assert_eq!(CodeInput::parse(code.expose()).as_ref(), Ok(&code));
        assert_eq!(format!("{code:?}"), "CodeInput(•••)");
    }
}

/// A typed recovery code, or a token. What is taken is one code in whichever spelling, and is never
/// shown; no text is a token of two kinds.
///
/// # Panics
/// Where that does not hold.
pub fn recovery_code(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(code) = RecoveryCode::parse(typed) {
        let grouped = code.grouped();
        assert_eq!(RecoveryCode::parse(code.canonical()).as_ref(), Ok(&code));
        assert_eq!(RecoveryCode::parse(grouped.expose()).as_ref(), Ok(&code));
        let lower = grouped.expose().to_lowercase();
        assert_eq!(RecoveryCode::parse(&lower).as_ref(), Ok(&code));
        assert_eq!(format!("{code:?}"), "RecoveryCode(•••)");
        assert!(CodeInput::parse(typed).is_err(), "the fields are apart");
    }
    let kinds = [token::SESSION, token::LINK, token::BROWSER];
    let known = kinds.map(|kind| token::hash_of(kind, typed));
    assert!(known.iter().flatten().count() <= 1);
    for hash in known.iter().flatten() {
        assert!(hash.len() == 64 && !hash.contains(typed));
    }
}

/// What a browser gives for the answer of a device, to a question that was put to nobody: it is read, or
/// refused, and never taken.
///
/// # Panics
/// Where that does not hold.
pub fn passkey_answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (relying_party, user, registration, assertion) = &*QUESTIONS;
    if let Some(answer) = Attestation::parse(text) {
        assert!(relying_party.register(registration, &answer).is_err());
    }
    if let Some(answer) = Assertion::parse(text) {
        assert!(!answer.credential_id().contains('='));
        let checked = relying_party.check(assertion, user.id, &answer);
        assert!(checked.is_err());
    }
}

/// The portal of the defaults, a user, and what is remembered of the questions.
static QUESTIONS: LazyLock<(RelyingParty, users::Model, String, String)> = LazyLock::new(|| {
    let settings = Config::load(None).expect("the defaults").identity;
    let relying_party = RelyingParty::new(&settings).expect("the defaults fit");
    let relying_party = relying_party.expect("the portal has a name");
    let user = users::Model {
        id: Uuid::from_u128(1),
        organisation_id: Uuid::from_u128(2),
        version: 1,
        email: "ada@example.com".to_owned(),
        status: users::Status::Active,
        permissions: String::new(),
        two_factor_required: false,
        locale: "en".to_owned(),
        licensed: true,
        context_words: String::new(),
    };
    let registration = relying_party
        .begin_registration(&user, &[])
        .expect("options");
    let assertion = relying_party.begin_assertion(&[]).expect("options");
    (relying_party, user, registration.state, assertion.state)
});

/// A user as account-admin tells of him. What is taken can be stored by either database, and nothing
/// in it makes two words of one.
///
/// # Panics
/// Where that does not hold.
pub fn projection(data: &[u8]) {
    let Ok(request) = PutUserRequest::decode(data) else {
        return;
    };
    let Some(told) = request.user else { return };
    let words = (told.permissions.len(), told.context_words.len());
    let Ok(user) = decode(told) else {
        return;
    };
    assert!(!user.id.is_nil() && !user.organisation_id.is_nil());
    assert!(user.version > 0);
    let email = EmailAddress::parse(&user.email).expect("an address is stored in its stored form");
    assert_eq!(email.as_str(), user.email);
    assert!(user.locale.len() <= 16);
    let odd = |c: char| c.is_control() && c != '\n';
    for text in [&user.locale, &user.permissions, &user.context_words] {
        assert!(!text.contains(odd), "{text:?}");
    }
    assert!(user.permissions().len() <= words.0);
    assert!(user.context_words.lines().count() <= words.1);
    assert!(!format!("{user:?}").contains(&user.email));
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_typed_code_breaks_a_promise() {
        sallyport_fuzz::check("code_input", super::code_input);
    }

    #[test]
    fn no_typed_recovery_code_breaks_a_promise() {
        sallyport_fuzz::check("recovery_code", super::recovery_code);
    }

    #[test]
    fn no_answer_of_a_device_breaks_a_promise() {
        sallyport_fuzz::check("passkey_answer", super::passkey_answer);
    }

    #[test]
    fn no_user_that_is_told_breaks_a_promise() {
        sallyport_fuzz::check("projection", super::projection);
    }
}
