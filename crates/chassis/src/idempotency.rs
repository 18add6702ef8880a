//! Keys by which a repeated request is known. One rule, whichever service a key comes to.

use std::fmt::Display;

use sha2::{Digest, Sha256};
use tonic::Status;

use crate::Refusal;

/// Characters of the longest key; the columns that hold one are as wide.
const LONGEST: usize = 128;

/// A key of its caller's making: 1 to 128 visible ASCII characters, so that a header carries it
/// unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// There is none.
    #[error("an idempotency key is required")]
    Required,
    /// It is too long, or holds something else than visible ASCII.
    #[error("the idempotency key is not one")]
    Invalid,
}

impl IdempotencyKey {
    /// Reads what a caller gave.
    pub fn parse(text: impl Into<String>) -> Result<Self, KeyRefusal> {
        let text = text.into();
        match text.len() {
            0 => Err(KeyRefusal::Required),
            1..=LONGEST if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(text)),
            _ => Err(KeyRefusal::Invalid),
        }
    }

    /// The key as its owner's alone, for the next service: an equal key of another owner becomes
    /// another one. Of one length, so that the longest key still fits.
    pub fn owned_by(&self, owner: impl Display) -> Self {
        // No key holds a line end: owner and key cannot run into each other.
        Self(hex::encode(Sha256::digest(format!("{owner}\n{}", self.0))))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's text, for a message or a row.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl From<KeyRefusal> for Refusal {
    fn from(refusal: KeyRefusal) -> Self {
        let reason = match refusal {
            KeyRefusal::Required => "idempotency.required",
            KeyRefusal::Invalid => "idempotency.invalid",
        };
        Self::field("idempotency_key", reason)
    }
}

impl From<KeyRefusal> for Status {
    fn from(refusal: KeyRefusal) -> Self {
        Refusal::from(refusal).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_up_to_128_visible_characters_of_ascii() {
        for text in ["k", "!", "~", "9f1c-key:1", &"k".repeat(128)] {
            assert_eq!(IdempotencyKey::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(IdempotencyKey::parse(""), Err(KeyRefusal::Required));
        for text in [" ", "a key", "key\n", "key\u{7f}", "clé", &"k".repeat(129)] {
            assert_eq!(
                IdempotencyKey::parse(text),
                Err(KeyRefusal::Invalid),
                "{text:?}"
            );
        }
    }

    #[test]
    fn each_refusal_names_the_field_and_its_reason() {
        for (refusal, reason) in [
            (KeyRefusal::Required, "idempotency.required"),
            (KeyRefusal::Invalid, "idempotency.invalid"),
        ] {
            let status = Status::from(refusal);
            assert_eq!(
                Refusal::from_status(&status),
                Some(Refusal::field("idempotency_key", reason))
            );
        }
    }

    #[test]
    fn equal_keys_of_two_owners_differ_and_an_owned_key_is_a_key() {
        let key = IdempotencyKey::parse("k".repeat(128)).unwrap();
        let owned = key.owned_by("ada");
        assert_eq!(owned, key.owned_by("ada"));
        assert_ne!(owned, key.owned_by("eve"));
        assert_eq!(IdempotencyKey::parse(owned.as_str()), Ok(owned.clone()));
        // What one owner's name ends with is no part of another's key.
        let (short, long) = (
            IdempotencyKey::parse("c").unwrap(),
            IdempotencyKey::parse("bc").unwrap(),
        );
        assert_ne!(short.owned_by("ab"), long.owned_by("a"));
    }
}
