//! Properties that hold for every number and every input.

use std::sync::LazyLock;

use proptest::{prelude::*, sample};
use rlibphonenumber::{PhoneNumber as PlanNumber, PhoneNumberFormat, PhoneNumberType};
use sallyport_phone::{Country, PhoneError, PhoneNumber, ServedCountries, parse};

use crate::plans::examples;

/// A plan's own reading of an accepted number.
fn plan(number: &PhoneNumber) -> PlanNumber {
    PlanNumber::parse(number.e164(), None).unwrap()
}

fn countries() -> impl Strategy<Value = Country> {
    sample::select(Country::all().collect::<Vec<_>>())
}

/// Digits that look like a mobile number of the country: an example of its plan with up to five
/// of the last digits changed. Most are valid.
fn mobiles() -> impl Strategy<Value = (Country, String)> {
    static MOBILES: LazyLock<Vec<(Country, String)>> = LazyLock::new(|| {
        examples()
            .into_iter()
            .filter(|(_, kind, _)| *kind == PhoneNumberType::Mobile)
            .map(|(country, _, n)| (country, n.format_as(PhoneNumberFormat::E164).into_owned()))
            .collect()
    });
    (sample::select(MOBILES.as_slice()), "[0-9]{0,5}").prop_map(|((country, example), tail)| {
        let kept = example.len() - tail.len();
        (country, format!("{}{tail}", &example[..kept]))
    })
}

/// Text of the characters that numbers and their look-alikes are made of.
fn almost_numbers() -> impl Strategy<Value = String> {
    "[+＋]?(0|00)?[0-9０-９٠-٩۰-۹ ().\\-\u{00A0}\u{202F}–/x;#+]{0,24}"
}

/// What holds for every number that is accepted.
fn check_accepted(number: &PhoneNumber, picked: Option<Country>) -> Result<(), TestCaseError> {
    let plan = plan(number);
    prop_assert!(plan.is_valid());
    prop_assert!(plan.is_possible_with_reason().is_ok());
    prop_assert!(matches!(
        plan.get_type(),
        PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile
    ));
    prop_assert_eq!(plan.format_as(PhoneNumberFormat::E164), number.e164());

    let digits = number.e164().strip_prefix('+').unwrap();
    prop_assert!(digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()));
    prop_assert!(digits.starts_with(&number.country_code().to_string()));
    if let Some(picked) = picked {
        prop_assert_eq!(picked.calling_code(), number.country_code());
        prop_assert_eq!(ServedCountries::from_list([picked]).check(number), Ok(()));
    }
    if let Some(country) = number.country() {
        prop_assert_eq!(country.calling_code(), number.country_code());
    }
    prop_assert_eq!(&PhoneNumber::parse_e164(number.e164()).unwrap(), number);
    prop_assert_eq!(&parse(number.e164(), picked).unwrap(), number);
    check_mask(number)
}

/// `Debug` shows the calling code and two digits, `masked` two digits.
fn check_mask(number: &PhoneNumber) -> Result<(), TestCaseError> {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let debug = format!("{number:?}");
    prop_assert_eq!(
        digits(&debug),
        format!("{}{}", number.country_code(), number.last_two())
    );
    prop_assert_eq!(digits(&number.masked()), number.last_two());
    prop_assert!(number.e164().ends_with(number.last_two()) && number.last_two().len() == 2);
    prop_assert_eq!(number.prefix().len() + 4, number.e164().len());
    prop_assert!(number.e164().starts_with(number.prefix()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_spelling_of_a_number_is_the_same_number((country, e164) in mobiles()) {
        let Ok(number) = parse(&e164, Some(country)) else {
            return Ok(());
        };
        check_accepted(&number, Some(country))?;
        let international = number.international();
        let national = plan(&number).format_as(PhoneNumberFormat::National).into_owned();
        let abroad = e164.replacen('+', "00", 1);
        for picked in [country, number.country().unwrap()] {
            prop_assert_eq!(parse(&national, Some(picked)), Ok(number.clone()), "{}", national);
            for spelling in [&international, &abroad] {
                prop_assert_eq!(parse(spelling, Some(picked)), Ok(number.clone()));
                prop_assert_eq!(parse(spelling, None), Ok(number.clone()));
            }
        }
        prop_assert_eq!(parse(&national, None), Err(PhoneError::CountryRequired));
    }

    #[test]
    fn another_country_is_a_mismatch((country, e164) in mobiles(), picked in countries()) {
        let Ok(number) = parse(&e164, Some(country)) else {
            return Ok(());
        };
        match parse(&e164, Some(picked)) {
            Ok(same) => {
                prop_assert_eq!(&same, &number);
                check_accepted(&same, Some(picked))?;
            }
            Err(error) => {
                prop_assert_ne!(picked, country);
                let typed = number.country();
                let typed_code = number.country_code();
                prop_assert_eq!(error, PhoneError::CountryMismatch { typed, typed_code, picked });
            }
        }
    }

    #[test]
    fn almost_numbers_are_judged_as_the_plan_judges(
        text in almost_numbers(),
        picked in prop::option::of(countries()),
    ) {
        if let Ok(number) = parse(&text, picked) {
            check_accepted(&number, picked)?;
        }
        if let Ok(number) = PhoneNumber::parse_e164(&text) {
            prop_assert_eq!(number.e164(), text);
            check_mask(&number)?;
        }
    }

    /// "Unknown" is how the library says "in no range": no number of unknown kind is valid.
    #[test]
    fn whatever_is_in_a_range_is_of_a_known_kind(
        country in countries(),
        digits in "[0-9]{4,13}",
    ) {
        let typed = format!("+{}{digits}", country.calling_code());
        let plan = PlanNumber::parse(&typed, None);
        let known = plan
            .as_ref()
            .is_ok_and(|plan| plan.get_type() != PhoneNumberType::Unknown);
        prop_assert_eq!(plan.as_ref().is_ok_and(PlanNumber::is_valid), known);
        if !known {
            prop_assert_eq!(parse(&typed, None), Err(PhoneError::Invalid));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), picked in prop::option::of(countries())) {
        let _ = parse(&text, picked);
        let _ = PhoneNumber::parse_e164(&text);
        let _ = text.parse::<Country>();
    }

    #[test]
    fn plus_and_digits_never_panic(digits in "[0-9]{0,20}", picked in countries()) {
        let stored = format!("+{digits}");
        if let Ok(number) = PhoneNumber::parse_e164(&stored) {
            prop_assert_eq!(number.e164(), &stored);
            prop_assert!(!number.international().is_empty());
            check_mask(&number)?;
        }
        for typed in [&digits, &stored] {
            if let Ok(number) = parse(typed, Some(picked)) {
                check_accepted(&number, Some(picked))?;
            }
        }
    }
}
