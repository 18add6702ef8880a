//! The code of a challenge and its reference. Both are computed and stored nowhere (rule 32).

use sallyport_chassis::keyring::Keyring;
use sallyport_phone::PhoneNumber;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::challenge::Purpose;

/// Digits of a code.
const DIGITS: usize = 6;
/// Consonants that no other letter or digit is read for, and that make no words.
const LETTERS: [u8; 13] = *b"CDHJKMNPRTVWX";
/// Characters of 128 bits in base64url.
const RANDOM_LENGTH: usize = 22;

/// Six digits. Masked in `Debug`, without `Display`, compared in constant time, wiped when dropped.
#[derive(Clone)]
pub struct Code(String);

impl Code {
    /// Reads a code of the wire: exactly six ASCII digits, `None` for everything else. What people
    /// put between them (rule 17) is the caller's to take out, in one place.
    pub fn parse(digits: &str) -> Option<Self> {
        (digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| Self(digits.to_owned()))
    }

    /// The digits; the call is meant to stand out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(••••••)")
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A challenge's id: the code key's id, a dot, and 128 random bits. The key's id makes a rotated
/// ring need no look-up.
pub fn challenge_id(ring: &Keyring, random: &str) -> String {
    format!("{}.{random}", ring.current())
}

/// The id of the key that a challenge's code is derived with; `None` where it is no id of ours.
fn key_id(challenge_id: &str) -> Option<&str> {
    let (key_id, random) = challenge_id.split_once('.')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (random.len() == RANDOM_LENGTH && random.bytes().all(plain)).then_some(key_id)
}

/// The code: HMAC-SHA-256(code key, challenge id ‖ purpose ‖ number), the first 64 bits, mod 10⁶
/// (a bias of 10⁶ / 2⁶⁴). `None` where the ring does not hold the id's key.
pub fn code(
    ring: &Keyring,
    challenge_id: &str,
    purpose: Purpose,
    number: &PhoneNumber,
) -> Option<Code> {
    let parts = [
        challenge_id.as_bytes(),
        purpose.name().as_bytes(),
        number.e164().as_bytes(),
    ];
    let bits = first_64_bits(ring, challenge_id, &parts)?;
    Some(Code(format!("{:06}", bits % 1_000_000)))
}

/// Three different letters by which a reader tells one live message from another, such as `KTR`
/// (rule 20). Derived, so that a message sent again shows the same ones without a look-up.
pub fn reference(ring: &Keyring, challenge_id: &str) -> Option<String> {
    let mut bits = first_64_bits(ring, challenge_id, &[challenge_id.as_bytes(), b"reference"])?;
    let mut letters = LETTERS.to_vec();
    let mut reference = String::with_capacity(3);
    for _ in 0..3 {
        let left = letters.len() as u64;
        reference.push(char::from(letters.remove((bits % left) as usize)));
        bits /= left;
    }
    Some(reference)
}

fn first_64_bits(ring: &Keyring, challenge_id: &str, parts: &[&[u8]]) -> Option<u64> {
    let mac = ring.mac(key_id(challenge_id)?, parts)?;
    mac.first_chunk().map(|first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ID: &str = "k1.AAAAAAAAAAAAAAAAAAAAAA";

    fn ring(lines: &str) -> Keyring {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.keys");
        std::fs::write(&path, lines).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Keyring::load(&path).unwrap()
    }

    fn k1() -> Keyring {
        ring("k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n")
    }

    fn number(e164: &str) -> PhoneNumber {
        PhoneNumber::parse_e164(e164).unwrap()
    }

    fn derived(ring: &Keyring, id: &str, purpose: Purpose, e164: &str) -> String {
        code(ring, id, purpose, &number(e164))
            .unwrap()
            .expose()
            .to_owned()
    }

    #[test]
    fn a_code_depends_on_id_purpose_and_number() {
        let ring = k1();
        let base = derived(&ring, ID, Purpose::SignIn, "+33612345678");
        assert_eq!(base, derived(&ring, ID, Purpose::SignIn, "+33612345678"));
        assert_ne!(base, derived(&ring, ID, Purpose::StepUp, "+33612345678"));
        assert_ne!(base, derived(&ring, ID, Purpose::SignIn, "+33612345679"));
        let other = "k1.AAAAAAAAAAAAAAAAAAAAAB";
        assert_ne!(base, derived(&ring, other, Purpose::SignIn, "+33612345678"));
    }

    /// Independent of this code: computed with Python's hmac over the length-prefixed parts.
    #[test]
    fn a_known_answer() {
        assert_eq!(
            derived(&k1(), ID, Purpose::SignIn, "+33612345678"),
            "502949"
        );
        assert_eq!(reference(&k1(), ID).unwrap(), "KNT");
    }

    #[test]
    fn a_rotated_ring_still_answers_for_what_its_old_key_made() {
        let rotated = ring(
            "k2 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\n\
             k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n",
        );
        assert_eq!(
            derived(&rotated, ID, Purpose::SignIn, "+33612345678"),
            derived(&k1(), ID, Purpose::SignIn, "+33612345678")
        );
        assert_eq!(challenge_id(&rotated, "x"), "k2.x");
        let new = "k2.AAAAAAAAAAAAAAAAAAAAAA";
        assert!(code(&k1(), new, Purpose::SignIn, &number("+33612345678")).is_none());
    }

    #[test]
    fn what_is_no_id_of_ours_has_no_code() {
        let short = "k1.AAAA";
        let long = format!("{ID}A");
        for id in [
            "",
            "k1",
            ".",
            short,
            &long,
            "k1.AAAAAAAAAAAAAAAAAAAAA!",
            "k9.AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(
                code(&k1(), id, Purpose::SignIn, &number("+33612345678")).is_none(),
                "{id}"
            );
            assert!(reference(&k1(), id).is_none(), "{id}");
        }
    }

    #[test]
    fn references_are_three_different_letters_of_the_alphabet_and_use_all_of_it() {
        let ring = k1();
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..500 {
            let id = format!("k1.{i:022}");
            let letters: Vec<u8> = reference(&ring, &id).unwrap().into_bytes();
            assert_eq!(letters.len(), 3);
            assert!(letters.iter().all(|l| LETTERS.contains(l)), "{letters:?}");
            assert!(
                letters[0] != letters[1] && letters[1] != letters[2] && letters[0] != letters[2]
            );
            seen.extend(letters);
        }
        assert_eq!(seen.len(), LETTERS.len());
    }

    #[test]
    fn leading_zeros_are_kept() {
        let ring = k1();
        let codes = (0..200).map(|i| {
            derived(
                &ring,
                &format!("k1.{i:022}"),
                Purpose::SignIn,
                "+33612345678",
            )
        });
        let codes: Vec<String> = codes.collect();
        assert!(codes.iter().all(|code| code.len() == 6));
        assert!(codes.iter().any(|code| code.starts_with('0')));
    }

    #[test]
    fn codes_of_the_wire_are_six_ascii_digits() {
        assert_eq!(Code::parse("012345").unwrap().expose(), "012345");
        for typed in [
            "",
            "12345",
            "1234567",
            "12345a",
            "１２３４５６",
            "12345\n",
            "12.345",
            "012 345",
            " 012345",
            "012345 ",
            "012-345",
            "012\u{a0}345",
            "012\u{202f}345",
        ] {
            assert!(Code::parse(typed).is_none(), "{typed:?}");
        }
        let code = Code::parse("012345").unwrap();
        assert!(code.matches(&Code::parse("012345").unwrap()));
        assert!(!code.matches(&Code::parse("012346").unwrap()));
        assert!(!format!("{code:?}").contains("012345"));
    }
}
