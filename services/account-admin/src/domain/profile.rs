//! The fields that a user may change himself (rule 57): a bad one is named, and none is saved.

use sallyport_phone::{Country, PhoneError, PhoneNumber};

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

/// A field and the stable reason why it is refused.
pub type Fault = (&'static str, &'static str);

/// The fields as typed.
#[derive(Default)]
pub struct Typed<'a> {
    /// First name.
    pub first_name: &'a str,
    /// Last name.
    pub last_name: &'a str,
    /// Number with its leading `+`, or nothing.
    pub mobile_number: &'a str,
    /// Two-letter code, or nothing.
    pub default_sms_country: &'a str,
    /// IANA name.
    pub time_zone: &'a str,
    /// One of [`DATE_FORMATS`].
    pub date_format: &'a str,
    /// One of [`LOCALES`].
    pub locale: &'a str,
}

/// The fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFields {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// The number, which masks itself.
    pub mobile_number: Option<PhoneNumber>,
    /// Two-letter code in capitals, or empty.
    pub default_sms_country: String,
    /// IANA name as the time zone database spells it.
    pub time_zone: String,
    /// One of [`DATE_FORMATS`].
    pub date_format: String,
    /// One of [`LOCALES`].
    pub locale: String,
}

/// Languages of pages and messages.
pub const LOCALES: [&str; 2] = ["en", "fr"];
/// 2026-11-24, 24/11/2026, 11/24/2026.
pub const DATE_FORMATS: [&str; 3] = ["iso", "day_first", "month_first"];

/// Checks every field. `stored_number` is the number that the user has: kept as it is it passes,
/// also when its number plan has changed since.
pub fn check(typed: &Typed<'_>, stored_number: &str) -> Result<ProfileFields, Vec<Fault>> {
    let mut faults = Vec::new();
    let fields = ProfileFields {
        first_name: take("first_name", name(typed.first_name), &mut faults),
        last_name: take("last_name", name(typed.last_name), &mut faults),
        mobile_number: number(typed.mobile_number, stored_number).unwrap_or_else(|error| {
            // Where nothing says whose number it is, people mend the country.
            faults.push((error.field(), error.reason()));
            None
        }),
        default_sms_country: take(
            "default_sms_country",
            country(typed.default_sms_country),
            &mut faults,
        ),
        time_zone: take("time_zone", time_zone(typed.time_zone), &mut faults),
        date_format: take("date_format", date_format(typed.date_format), &mut faults),
        locale: take("locale", locale(typed.locale), &mut faults),
    };
    if faults.is_empty() {
        Ok(fields)
    } else {
        Err(faults)
    }
}

/// The value, or its default and a fault noted under the field's name.
pub fn take<T: Default>(
    field: &'static str,
    checked: Result<T, &'static str>,
    faults: &mut Vec<Fault>,
) -> T {
    checked.unwrap_or_else(|reason| {
        faults.push((field, reason));
        T::default()
    })
}

/// A person's name: trimmed, 1 to 100 characters.
pub fn name(typed: &str) -> Result<String, &'static str> {
    line(typed, LONGEST_NAME)
}

/// One line of text, trimmed: not empty, at most `longest` characters, none of which a page or a
/// log could be tricked with.
pub fn line(typed: &str, longest: usize) -> Result<String, &'static str> {
    let text = typed.trim();
    if text.is_empty() {
        return Err("field.required");
    }
    if text.chars().count() > longest {
        return Err("field.too_long");
    }
    if text.chars().any(deceives) {
        return Err("field.invalid");
    }
    Ok(text.to_owned())
}

/// Control characters, line and paragraph separators, and those that turn the direction of text.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with its leading `+`, or none. The one that is stored passes as it is.
pub fn number(typed: &str, stored: &str) -> Result<Option<PhoneNumber>, PhoneError> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    let number = if typed == stored {
        PhoneNumber::parse_e164(typed)
    } else {
        // The country picked by default never decides whose number it is (rules 1 and 8).
        sallyport_phone::parse(typed, None)
    };
    number.map(Some)
}

fn country(typed: &str) -> Result<String, &'static str> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(String::new());
    }
    let country: Country = typed.parse().map_err(|_| "country.unknown")?;
    Ok(country.code().to_owned())
}

/// A name of the IANA time zone database, in its spelling.
pub fn time_zone(typed: &str) -> Result<String, &'static str> {
    if typed.is_empty() {
        return Err("field.required");
    }
    jiff::tz::TimeZone::get(typed)
        .ok()
        .and_then(|zone| zone.iana_name().map(str::to_owned))
        .ok_or("time_zone.unknown")
}

/// A language.
pub fn locale(typed: &str) -> Result<String, &'static str> {
    one_of(&LOCALES, typed, "locale.unknown")
}

fn date_format(typed: &str) -> Result<String, &'static str> {
    one_of(&DATE_FORMATS, typed, "date_format.unknown")
}

fn one_of(known: &[&str], typed: &str, reason: &'static str) -> Result<String, &'static str> {
    if typed.is_empty() {
        return Err("field.required");
    }
    if known.contains(&typed) {
        Ok(typed.to_owned())
    } else {
        Err(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Typed<'static> {
        Typed {
            first_name: " Mia ",
            last_name: "Roy-Côté",
            mobile_number: "+33 6 12 34 56 78",
            default_sms_country: "fr",
            time_zone: "america/toronto",
            date_format: "iso",
            locale: "fr",
        }
    }

    #[test]
    fn good_fields_come_out_in_their_stored_form() {
        let fields = check(&good(), "").unwrap();
        assert_eq!(fields.first_name, "Mia");
        assert_eq!(fields.mobile_number.unwrap().e164(), "+33612345678");
        assert_eq!(fields.default_sms_country, "FR");
        assert_eq!(fields.time_zone, "America/Toronto");
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let faults = check(
            &Typed {
                first_name: " ",
                last_name: "a\u{202e}b",
                mobile_number: "06 12 34 56 78",
                default_sms_country: "XX",
                time_zone: "Mars/Olympus",
                date_format: "roman",
                locale: "de",
            },
            "",
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                ("first_name", "field.required"),
                ("last_name", "field.invalid"),
                ("country", "phone.country_required"),
                ("default_sms_country", "country.unknown"),
                ("time_zone", "time_zone.unknown"),
                ("date_format", "date_format.unknown"),
                ("locale", "locale.unknown"),
            ]
        );
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert!(name(&"é".repeat(100)).is_ok());
        assert_eq!(name(&"é".repeat(101)), Err("field.too_long"));
        assert_eq!(name("a\nb"), Err("field.invalid"));
    }

    #[test]
    fn a_number_kept_passes_and_a_landline_does_not() {
        let kept = "+33112345678";
        let with = |number| Typed {
            mobile_number: number,
            ..good()
        };
        assert!(check(&with(kept), kept).is_ok());
        let faults = check(&with(kept), "").unwrap_err();
        assert_eq!(faults, [("mobile_number", "phone.not_sms_capable")]);
        assert!(check(&with(""), kept).unwrap().mobile_number.is_none());
    }
}
