//! Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and steps of half a minute,
//! the one form that every app knows. SHA-1 is sound here: HMAC does not need it to resist collisions.

use hmac::{Hmac, KeyInit, Mac};
use sallyport_chassis::Secret;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::base32;
use super::code_input::CodeInput;

/// Bytes of a seed: 160 random bits, the output of SHA-1 (RFC 4226, section 4, R6).
pub const SEED_BYTES: usize = 20;
/// How long a code is shown.
const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one whose codes are taken, too: clocks differ, and typing takes
/// its time (RFC 6238, section 5.2).
const EITHER_SIDE: i64 = 1;

/// What app and service share, and every code is made from.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    /// The seed of these random bits.
    pub fn from_random(random: [u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Reads a stored seed; `None` where it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The form that is sealed and stored.
    pub fn bytes(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }

    /// The form in which apps take it: 32 symbols of base 32.
    pub fn base32(&self) -> Secret {
        Secret::new(base32::encode(base32::RFC_4648, self.bytes()))
    }

    /// The step whose code this is, of those that are taken at this instant (unix seconds).
    pub fn matching_step(&self, code: &CodeInput, now_seconds: i64) -> Option<i64> {
        let now = now_seconds.div_euclid(STEP_SECONDS);
        let mut found = None;
        // Each is compared, whichever matches.
        for step in now - EITHER_SIDE..=now + EITHER_SIDE {
            let expected = self.code(step);
            if bool::from(expected.as_bytes().ct_eq(code.expose().as_bytes())) {
                found = Some(step);
            }
        }
        found
    }

    /// The code of a step (RFC 4226, section 5.3).
    fn code(&self, step: i64) -> Zeroizing<String> {
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(self.bytes().as_slice())
            .expect("HMAC takes any key");
        mac.update(&step.to_be_bytes());
        let digest: [u8; 20] = mac.finalize().into_bytes().into();
        let offset = usize::from(digest[19] & 0x0f);
        let word = [0, 1, 2, 3].map(|index| digest[offset + index]);
        let number = u32::from_be_bytes(word) & 0x7fff_ffff;
        Zeroizing::new(format!("{:06}", number % 1_000_000))
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(•••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed of the test vectors.
    fn rfc() -> Seed {
        Seed::from_random(*b"12345678901234567890")
    }

    fn typed(code: &str) -> CodeInput {
        CodeInput::parse(code).unwrap()
    }

    #[test]
    fn agrees_with_rfc_4226() {
        // Appendix D.
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in (0..).zip(codes) {
            assert_eq!(*rfc().code(step), code, "{step}");
        }
    }

    #[test]
    fn agrees_with_rfc_6238() {
        // Appendix B, SHA-1: the last six of its eight digits.
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = rfc().matching_step(&typed(code), at);
            assert_eq!(step, Some(at / 30), "{at}");
        }
    }

    #[test]
    fn one_step_either_side_is_taken_and_no_other() {
        let (seed, now) = (rfc(), 1_234_567_890);
        let present = now / 30;
        for (away, taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let code = typed(&seed.code(present + away));
            let step = seed.matching_step(&code, now);
            assert_eq!(step, taken.then_some(present + away), "{away}");
        }
        // The first and the last second of a step.
        for (at, taken) in [(present * 30 - 1, true), (present * 30 + 60, false)] {
            let step = seed.matching_step(&typed(&seed.code(present)), at);
            assert_eq!(step.is_some(), taken, "{at}");
        }
    }

    #[test]
    fn a_seed_is_written_as_apps_read_it_and_shows_nothing() {
        let seed = rfc();
        assert_eq!(seed.base32().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(format!("{seed:?}"), "Seed(•••)");
        let read = Seed::from_bytes(seed.bytes()).unwrap();
        assert_eq!(read.bytes(), seed.bytes());
        assert!(Seed::from_bytes(&[0; 19]).is_none());
        assert!(Seed::from_bytes(&[0; 21]).is_none());
    }
}
