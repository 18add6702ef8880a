//! An authenticator app as others write them, after the texts of RFC 4648 and RFC 6238, so that tests
//! type what a person reads off one.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

/// An app with one entry.
pub struct AuthenticatorApp {
    seed: Vec<u8>,
}

impl AuthenticatorApp {
    /// Sets the app up with the text that a page shows, in groups or in one.
    ///
    /// # Panics
    /// Where that is not 160 bits in base 32.
    pub fn of(text: &str) -> Self {
        let mut seed = Vec::new();
        let (mut pool, mut bits) = (0u32, 0);
        for symbol in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            let value = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'2'..=b'7' => symbol - b'2' + 26,
                other => panic!("no base 32: {other}"),
            };
            pool = (pool << 5) | u32::from(value);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                seed.push((pool >> bits) as u8);
            }
        }
        assert_eq!(seed.len(), 20, "160 bits");
        Self { seed }
    }

    /// The bytes that every code is made from.
    pub fn seed(&self) -> &[u8] {
        &self.seed
    }

    /// What it shows at an instant.
    pub fn shows(&self, at: Timestamp) -> String {
        let step = at.as_second().div_euclid(30);
        let mut mac =
            <Hmac<Sha1> as KeyInit>::new_from_slice(&self.seed).expect("HMAC takes any key");
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 15);
        let number = digest[offset..offset + 4]
            .iter()
            .fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_codes_of_rfc_6238() {
        let app = AuthenticatorApp::of("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(app.seed(), b"12345678901234567890");
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            let at = Timestamp::from_second(second).unwrap();
            assert_eq!(app.shows(at), code);
        }
    }
}
