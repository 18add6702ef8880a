//! What a person typed, reduced to digits.

use crate::PhoneError;

/// Characters looked at in one input. The longest plausible spelling, `+` and fifteen digits with
/// two separators after each, has 46.
const MAX_INPUT: usize = 64;

/// Typed digits, without separators.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Began with `+` or `00`; what followed.
    International(String),
    /// Anything else, to be read by the rules of the picked country.
    National(String),
}

impl Typed {
    /// Reads digits and separators; refuses everything else, so that neither letters nor
    /// extensions (`x12`, `;ext=`, `#12`) nor a second number behind a slash get any further.
    pub(crate) fn read(input: &str) -> Result<Self, PhoneError> {
        if input.chars().nth(MAX_INPUT).is_some() {
            return Err(PhoneError::Invalid);
        }
        let mut plus = false;
        let mut digits = String::with_capacity(input.len());
        for c in input.trim_matches(is_margin).chars() {
            if let Some(digit) = digit(c) {
                digits.push(digit);
            } else if is_plus(c) {
                // Only in front, where "(+33) 6 12 34 56 78" counts as in front.
                if plus || !digits.is_empty() {
                    return Err(PhoneError::Invalid);
                }
                plus = true;
            } else if !is_separator(c) {
                return Err(PhoneError::Invalid);
            }
        }
        if plus {
            return Ok(Self::International(digits));
        }
        match digits.strip_prefix("00") {
            Some(rest) => Ok(Self::International(rest.to_owned())),
            None => Ok(Self::National(digits)),
        }
    }
}

/// The ASCII digit, for the digits that keyboards of phone users type: ASCII, Arabic-Indic, its
/// Persian and Urdu form, and full-width. The reader sees the result in ASCII before saving.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{0660}'..='\u{0669}' => '\u{0660}',
        '\u{06F0}'..='\u{06F9}' => '\u{06F0}',
        '\u{FF10}'..='\u{FF19}' => '\u{FF10}',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

fn is_plus(c: char) -> bool {
    matches!(c, '+' | '\u{FF0B}')
}

/// Spaces of every width, dots, dashes and brackets, with the full-width forms that go with
/// full-width digits. No slash: it separates two numbers as often as two groups.
fn is_separator(c: char) -> bool {
    let space = matches!(
        c,
        ' ' | '\u{00A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    );
    let dot = matches!(c, '.' | '\u{FF0E}');
    let dash = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}');
    let bracket = matches!(c, '(' | ')' | '[' | ']' | '\u{FF08}' | '\u{FF09}');
    space || dot || dash || bracket
}

/// What copying brings along at either end and nobody sees: white space, line ends, and the marks
/// of writing direction that address books put around a number.
fn is_margin(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn national(digits: &str) -> Result<Typed, PhoneError> {
        Ok(Typed::National(digits.to_owned()))
    }

    fn international(digits: &str) -> Result<Typed, PhoneError> {
        Ok(Typed::International(digits.to_owned()))
    }

    #[test]
    fn separators_fall_away() {
        for spelling in [
            "06 12 34 56 78",
            "06.12.34.56.78",
            "06-12-34-56-78",
            "(06) 12 [34] 56 78",
            "06\u{00A0}12\u{202F}34\u{2009}56\u{3000}78",
            "06‐12‑34‒56–78",
            "06—12―34−56－78",
            "０６．１２（３４）５６７８",
            "\u{202A}06 12 34 56 78\u{202C}",
            "\t0612345678\r\n",
        ] {
            assert_eq!(
                Typed::read(spelling),
                national("0612345678"),
                "{spelling:?}"
            );
        }
    }

    #[test]
    fn plus_and_double_zero_say_international() {
        for spelling in [
            "+33 6", "＋33 6", "00 33 6", "(+33) 6", "(00)33-6", "+ 336", " 00336",
        ] {
            assert_eq!(Typed::read(spelling), international("336"), "{spelling:?}");
        }
        assert_eq!(Typed::read("+00336"), international("00336"));
        assert_eq!(
            Typed::read("0 0336"),
            international("336"),
            "a space does not hide the 00"
        );
    }

    #[test]
    fn digits_of_other_scripts_are_read() {
        assert_eq!(Typed::read("٠٦١٢٣٤٥٦٧٨"), national("0612345678"));
        assert_eq!(Typed::read("۰۶۱۲۳۴۵۶۷۸"), national("0612345678"));
        assert_eq!(Typed::read("０６１２３４５６７８"), national("0612345678"));
        assert_eq!(Typed::read("+٣٣ 6"), international("336"));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "06 12 34 56 78 x12",
            "0612345678;ext=12",
            "0612345678#12",
            "0612345678,12",
            "tel:+33612345678",
            "06 12/34 56 78",
            "0612345678/0612345679",
            "1-800-FLOWERS",
            "0612\t345678",
            "0612\n345678",
            "06+12345678",
            "++33612345678",
            "+33+612345678",
            "06·12·34",
            "06~12",
            "*31#0612345678",
            "०६१२३४५६७८",
            "²345678",
            "06\u{200B}12345678",
            "06\u{202E}12345678",
        ] {
            assert_eq!(Typed::read(text), Err(PhoneError::Invalid), "{text:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(Typed::read(&"1".repeat(MAX_INPUT)).is_ok());
        assert!(Typed::read(&"１".repeat(MAX_INPUT)).is_ok());
        assert_eq!(
            Typed::read(&"1".repeat(MAX_INPUT + 1)),
            Err(PhoneError::Invalid)
        );
        assert_eq!(
            Typed::read(&" ".repeat(MAX_INPUT + 1)),
            Err(PhoneError::Invalid)
        );
    }
}
