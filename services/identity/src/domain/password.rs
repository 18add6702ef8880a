//! What a password may be (NIST SP 800-63B-4, 3.1.1.2).
//!
//! Length is counted in code points after NFC. There are no rules of composition. A password that
//! an attacker would try early is refused: common ones and their obvious variations, estimated by
//! zxcvbn over its list of 30,000 leaked passwords, and what is made of the names of the user and
//! the organisation.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use zeroize::Zeroizing;

/// The longest password, in code points.
pub const LONGEST: usize = 256;
/// Bytes beyond which a text cannot be a password, whatever NFC makes of it.
const LONGEST_TYPED: usize = 4096;
/// A password that falls within this many guesses of a good guesser counts as common. The limits on
/// guesses stop an attacker at a hundred; this is the margin for a stolen hash, beside its cost.
const LEAST_GUESSES: u64 = 100_000_000;
/// What remains of a password without the context's words must have this many code points.
const LEAST_REST: usize = 8;
/// Shorter words of the context stand in too many passwords by chance.
const SHORTEST_WORD: usize = 3;

/// A typed password after NFC. `Debug` masks it; it is wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Reads what was typed; `None` where it is longer than any password.
    pub fn read(typed: &str) -> Option<Self> {
        if typed.len() > LONGEST_TYPED {
            return None;
        }
        let text: Zeroizing<String> = Zeroizing::new(typed.nfc().collect());
        (text.chars().count() <= LONGEST).then_some(Self(text))
    }

    /// Its length after NFC.
    pub fn code_points(&self) -> usize {
        self.0.chars().count()
    }

    /// UTF-8 after NFC, for hashing.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("•••")
    }
}

/// Why a password may not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer code points than this.
    TooShort {
        /// Fewest code points.
        minimum: usize,
    },
    /// More than [`LONGEST`] code points.
    TooLong,
    /// Among the first that an attacker would try.
    Common,
    /// Made of names of the user or the organisation.
    ContextWord,
}

/// Judges a password that somebody wants to choose. Takes milliseconds of computing: not for a
/// runtime thread.
pub fn judge(password: &Password, minimum: usize, words: &[String]) -> Result<(), Weakness> {
    if password.code_points() < minimum {
        return Err(Weakness::TooShort { minimum });
    }
    let text = password.0.as_str();
    if zxcvbn::zxcvbn(text, &[]).guesses() < LEAST_GUESSES {
        return Err(Weakness::Common);
    }
    let words = folded_words(words);
    if rest_without(text, &words).is_some_and(|rest| rest < LEAST_REST) {
        return Err(Weakness::ContextWord);
    }
    // Finds what the plain comparison does not: words with swapped letters or read backwards.
    let inputs: Vec<&str> = words.iter().map(String::as_str).collect();
    if zxcvbn::zxcvbn(text, &inputs).guesses() < LEAST_GUESSES {
        return Err(Weakness::ContextWord);
    }
    Ok(())
}

/// The words of names and addresses, folded, longest first.
fn folded_words(words: &[String]) -> Vec<String> {
    let mut folded: Vec<String> = words
        .iter()
        .flat_map(|word| {
            let word = fold(word);
            let parts = word
                .split(|c: char| !c.is_alphanumeric())
                .map(str::to_owned)
                .collect::<Vec<_>>();
            parts.into_iter().chain([word])
        })
        .filter(|word| word.chars().count() >= SHORTEST_WORD)
        .collect();
    folded.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    folded.dedup();
    folded
}

/// Code points left when the words are taken out; `None` where none of them occurs.
fn rest_without(text: &str, words: &[String]) -> Option<usize> {
    let mut text = Zeroizing::new(fold(text));
    let mut found = false;
    for word in words {
        if text.contains(word.as_str()) {
            // A border, so that what stood on both sides makes no new word.
            text = Zeroizing::new(text.replace(word.as_str(), "\0"));
            found = true;
        }
    }
    found.then(|| text.chars().filter(|c| *c != '\0').count())
}

/// Lower case, without accents.
fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(text: &str, minimum: usize, words: &[&str]) -> Result<(), Weakness> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        judge(&Password::read(text).unwrap(), minimum, &words)
    }

    #[test]
    fn length_counts_code_points_after_nfc() {
        // Seven letters with combining accents are seven code points, not fourteen.
        assert_eq!(
            judged(&"e\u{301}".repeat(7), 8, &[]),
            Err(Weakness::TooShort { minimum: 8 })
        );
        assert_eq!(
            judged("välkvist", 15, &[]),
            Err(Weakness::TooShort { minimum: 15 })
        );
        assert!(Password::read(&"ß".repeat(256)).is_some());
        assert!(Password::read(&"ß".repeat(257)).is_none());
        assert!(Password::read(&"e\u{301}".repeat(256)).is_some());
        assert!(Password::read(&"a".repeat(100_000)).is_none());
    }

    #[test]
    fn the_same_letters_typed_in_two_ways_are_one_password() {
        let composed = Password::read("caf\u{e9} au lait!").unwrap();
        let combined = Password::read("cafe\u{301} au lait!").unwrap();
        assert_eq!(composed.as_bytes(), combined.as_bytes());
    }

    #[test]
    fn common_passwords_and_their_variations_are_refused() {
        for text in [
            "password",
            "P@ssw0rd",
            "drowssap1",
            "123456789012345",
            "qwertyuiopasdfg",
            "passwordpassword",
            "Password1234567",
            "aaaaaaaaaaaaaaaaaaaa",
            "iloveyou2024",
            "abcdefghijklmnop",
        ] {
            assert_eq!(judged(text, 8, &[]), Err(Weakness::Common), "{text}");
        }
    }

    #[test]
    fn names_of_the_user_and_the_organisation_are_refused() {
        let words = &[
            "Anna",
            "Müller",
            "Norrland Timber",
            "anna.muller@norrland.example",
        ];
        for text in [
            "annamuller2026!",
            "NorrlandTimber1",
            "Norrland-Timber",
            "Müller.Norrland",
            "dnalrronrebmit",
        ] {
            assert_eq!(judged(text, 8, words), Err(Weakness::ContextWord), "{text}");
        }
        assert_eq!(judged("annamuller-quartz-veldt-91", 8, words), Ok(()));
        assert_eq!(judged("NorrlandTimber1", 8, &[]), Ok(()));
    }

    #[test]
    fn composition_does_not_matter() {
        for text in [
            "tulpan vagnslast ostron",
            "zqkvwmxbhtgp",
            "8391 5520 7746 1183",
            "ключ от старой двери",
        ] {
            assert_eq!(judged(text, 8, &["Anna"]), Ok(()), "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Password::read("hunter2").unwrap()), "•••");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn judging_never_panics_and_keeps_the_minimum(
            text in "\\PC{0,60}", words in proptest::collection::vec("\\PC{0,12}", 0..4)
        ) {
            let password = Password::read(&text).unwrap();
            if judge(&password, 15, &words).is_ok() {
                prop_assert!(password.code_points() >= 15);
            }
        }
    }
}
