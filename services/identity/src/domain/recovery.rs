//! Recovery codes: look-up secrets of 112 bits (NIST SP 800-63B-4, 3.1.2), written in Crockford's
//! base 32 so that they survive paper, and read back forgivingly.

use sallyport_chassis::Secret;
use sha2::{Digest, Sha256};

use super::base32;
use super::code_input::is_separator;

/// Codes in a set.
pub const CODES_IN_A_SET: usize = 10;

/// 112 random bits.
const RANDOM_BYTES: usize = 14;
/// A check byte follows them and fills the last of 24 symbols, so that nearly every slip of the
/// pen is told from a guess and costs nothing.
const BYTES: usize = RANDOM_BYTES + 1;
const SYMBOLS: usize = 24;
/// Symbols between two dashes.
const GROUP: usize = 4;
/// Characters looked at: the symbols with generous separators.
const LONGEST_INPUT: usize = 128;

/// One recovery code, in its canonical spelling: 24 symbols without dashes.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Secret);

/// What was typed cannot be a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a recovery code")]
pub struct NotARecoveryCode;

impl RecoveryCode {
    /// The code of 112 random bits.
    pub fn from_random(random: [u8; RANDOM_BYTES]) -> Self {
        let mut bytes = [0u8; BYTES];
        bytes[..RANDOM_BYTES].copy_from_slice(&random);
        bytes[RANDOM_BYTES] = check_byte(&random);
        Self(Secret::new(base32::encode(base32::CROCKFORD, &bytes)))
    }

    /// Reads what was typed: case, spaces and dashes do not matter, O reads as 0, I and L as 1.
    pub fn parse(typed: &str) -> Result<Self, NotARecoveryCode> {
        if typed.chars().count() > LONGEST_INPUT {
            return Err(NotARecoveryCode);
        }
        let mut text = String::with_capacity(SYMBOLS);
        let mut bytes = Vec::with_capacity(BYTES);
        let (mut pool, mut bits) = (0u32, 0);
        for c in typed.chars().filter(|c| !is_separator(*c)) {
            let symbol = match c.to_ascii_uppercase() {
                'O' => b'0',
                'I' | 'L' => b'1',
                c if c.is_ascii() => c as u8,
                _ => return Err(NotARecoveryCode),
            };
            let value = base32::CROCKFORD
                .iter()
                .position(|known| *known == symbol)
                .ok_or(NotARecoveryCode)?;
            text.push(char::from(symbol));
            pool = (pool << 5) | value as u32;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push((pool >> bits) as u8);
            }
        }
        let code = Self(Secret::new(text));
        match bytes.split_last() {
            Some((check, random))
                if code.0.expose().len() == SYMBOLS && *check == check_byte(random) =>
            {
                Ok(code)
            }
            _ => Err(NotARecoveryCode),
        }
    }

    /// The canonical spelling, from which the keyed hash is made.
    pub fn canonical(&self) -> &str {
        self.0.expose()
    }

    /// The spelling to show once: six groups of four behind dashes.
    pub fn grouped(&self) -> Secret {
        let mut out = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
        for (position, symbol) in self.0.expose().chars().enumerate() {
            if position > 0 && position % GROUP == 0 {
                out.push('-');
            }
            out.push(symbol);
        }
        Secret::new(out)
    }
}

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCode(•••)")
    }
}

fn check_byte(random: &[u8]) -> u8 {
    Sha256::new()
        .chain_update(b"sallyport recovery code")
        .chain_update(random)
        .finalize()[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ambiguous_letters_case_spaces_and_dashes_do_not_matter() {
        // Random bits whose symbols hold both 0 and 1.
        let code = RecoveryCode::from_random([
            0, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56,
        ]);
        let text = code.grouped().expose().to_owned();
        assert!(text.contains('0') && text.contains('1'), "{text}");
        for typed in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', " "),
            text.replace('-', ""),
            text.replace('0', "O"),
            text.replace('0', "o").replace('1', "l"),
            text.replace('1', "I"),
            text.replace('1', "i"),
            text.replace('-', " \u{2013} "),
            format!("  {text}\r\n"),
        ] {
            assert_eq!(RecoveryCode::parse(&typed), Ok(code.clone()), "{typed:?}");
        }
    }

    #[test]
    fn other_texts_are_no_codes() {
        let text = RecoveryCode::from_random([7; 14]).canonical().to_owned();
        let mut longer = text.clone();
        longer.push('0');
        for typed in [
            String::new(),
            "123456".into(),
            text[1..].into(),
            longer,
            text.replacen(|_: char| true, "U", 1),
            text.replacen(|_: char| true, "é", 1),
            "0".repeat(10_000),
        ] {
            assert_eq!(
                RecoveryCode::parse(&typed),
                Err(NotARecoveryCode),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", RecoveryCode::from_random([7; 14])),
            "RecoveryCode(•••)"
        );
    }

    proptest! {
        #[test]
        fn every_code_reads_back(random: [u8; 14]) {
            let code = RecoveryCode::from_random(random);
            prop_assert_eq!(code.canonical().len(), SYMBOLS);
            prop_assert_eq!(code.grouped().expose().split('-').count(), 6);
            prop_assert_eq!(RecoveryCode::parse(code.grouped().expose()), Ok(code));
        }

        #[test]
        fn different_bits_make_different_codes(a: [u8; 14], b: [u8; 14]) {
            prop_assume!(a != b);
            prop_assert_ne!(RecoveryCode::from_random(a), RecoveryCode::from_random(b));
        }

        #[test]
        fn nothing_typed_makes_it_panic(typed in any::<String>()) {
            let _ = RecoveryCode::parse(&typed);
        }
    }
}
