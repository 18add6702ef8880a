//! Six digits as people type and paste them.

use sallyport_chassis::Secret;

/// The answer to a challenge: exactly six ASCII digits, leading zeros kept.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeInput(Secret);

/// What was typed is not a code; it costs no try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has six digits")]
pub struct NotACode;

/// Characters looked at: six digits with a generous number of separators around them.
const LONGEST_INPUT: usize = 64;

impl CodeInput {
    /// Reads typed text: spaces of every kind and dashes are ignored, anything else refuses.
    pub fn parse(typed: &str) -> Result<Self, NotACode> {
        let mut digits = String::with_capacity(6);
        for (position, c) in typed.chars().enumerate() {
            if position == LONGEST_INPUT {
                return Err(NotACode);
            }
            match c {
                '0'..='9' => digits.push(c),
                c if is_separator(c) => {}
                _ => return Err(NotACode),
            }
        }
        let code = Secret::new(digits);
        if code.expose().len() == 6 {
            Ok(Self(code))
        } else {
            Err(NotACode)
        }
    }

    /// The digits, for the service that decides.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl std::fmt::Debug for CodeInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeInput(•••)")
    }
}

/// Spaces and dashes that keyboards, messages and copying put between or around digits.
pub(super) fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{200b}' | '\u{2060}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spaces_and_dashes_are_ignored_and_zeros_kept() {
        for typed in [
            "012345",
            " 012 345 ",
            "012-345",
            "01 23 45\n",
            "012\u{a0}345",
            "012\u{2011}345",
            "0-1-2-3-4-5",
        ] {
            assert_eq!(
                CodeInput::parse(typed).unwrap().expose(),
                "012345",
                "{typed:?}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_code() {
        for typed in [
            "",
            "12345",
            "1234567",
            "12345a",
            "１２３４５６",
            "+12345",
            "123.456",
            "12345\0",
            "½12345",
        ] {
            assert_eq!(CodeInput::parse(typed), Err(NotACode), "{typed:?}");
        }
        let padded = format!("123456{}", " ".repeat(100));
        assert_eq!(CodeInput::parse(&padded), Err(NotACode));
    }

    #[test]
    fn debug_shows_no_digit() {
        assert_eq!(
            format!("{:?}", CodeInput::parse("123456").unwrap()),
            "CodeInput(•••)"
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_always_six_digits(typed in any::<String>()) {
            if let Ok(code) = CodeInput::parse(&typed) {
                prop_assert_eq!(code.expose().len(), 6);
                prop_assert!(code.expose().bytes().all(|b| b.is_ascii_digit()));
            }
        }
    }
}
