//! Fuzz target of typed numbers; `crates/fuzz` says what runs it.

use crate::{Country, PhoneError, PhoneNumber, ServedCountries, parse};

/// A typed number, behind the code of the picked country and a line end where one is picked. What is
/// accepted is E.164, of the country that was picked or typed, and is read again as itself.
///
/// # Panics
/// Where that does not hold.
pub fn number(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (picked, typed) = match text.split_once('\n') {
        Some((code, typed)) => (code.parse::<Country>().ok(), typed),
        None => (None, text),
    };
    match parse(typed, picked) {
        Ok(number) => {
            stored(&number);
            assert_eq!(parse(number.e164(), picked), Ok(number.clone()));
            assert_eq!(parse(number.e164(), None), Ok(number.clone()));
            match picked {
                Some(picked) => {
                    assert_eq!(picked.calling_code(), number.country_code());
                    let served = ServedCountries::from_list([picked]);
                    assert_eq!(served.check(&number), Ok(()));
                }
                None => assert!(names_its_country(typed), "a country was guessed"),
            }
        }
        Err(error) => {
            let asks = error == PhoneError::CountryRequired;
            assert!(!(asks && picked.is_some()), "a country was picked");
            assert!(error.reason().starts_with("phone."));
        }
    }
    if let Ok(number) = PhoneNumber::parse_e164(typed) {
        assert_eq!(number.e164(), typed);
        stored(&number);
    }
}

/// What holds of every number, however it came.
fn stored(number: &PhoneNumber) {
    let digits = number.e164().strip_prefix('+').expect("E.164 has a plus");
    assert!((7..=15).contains(&digits.len()));
    assert!(digits.bytes().all(|b| b.is_ascii_digit()));
    assert!(digits.starts_with(&number.country_code().to_string()));
    assert_eq!(PhoneNumber::parse_e164(number.e164()).as_ref(), Ok(number));
    assert_eq!(number.prefix().len() + 4, number.e164().len());
    assert!(!number.international().is_empty());
    let shown: String = format!("{number:?}")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let expected = format!("{}{}", number.country_code(), number.last_two());
    assert_eq!(shown, expected, "Debug shows more than two digits");
}

/// A plus, or two zeros in front, in whichever script and however spaced.
fn names_its_country(typed: &str) -> bool {
    let zero = |c: char| matches!(c, '0' | '\u{0660}' | '\u{06F0}' | '\u{FF10}');
    let mut digits = typed.chars().filter(|c| c.is_numeric());
    typed.contains(['+', '\u{FF0B}'])
        || (digits.next().is_some_and(zero) && digits.next().is_some_and(zero))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_typed_number_breaks_a_promise() {
        sallyport_fuzz::check("number", super::number);
    }
}
