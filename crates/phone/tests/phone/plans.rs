//! The example numbers of every plan and kind that libphonenumber keeps.

use rlibphonenumber::{
    PHONE_NUMBER_UTIL, PhoneNumber as PlanNumber, PhoneNumberFormat, PhoneNumberType, Region,
};
use sallyport_phone::{Country, PhoneError, PhoneNumber, parse};

const KINDS: [PhoneNumberType; 11] = [
    PhoneNumberType::FixedLine,
    PhoneNumberType::Mobile,
    PhoneNumberType::FixedLineOrMobile,
    PhoneNumberType::TollFree,
    PhoneNumberType::PremiumRate,
    PhoneNumberType::SharedCost,
    PhoneNumberType::VoIP,
    PhoneNumberType::PersonalNumber,
    PhoneNumberType::Pager,
    PhoneNumberType::UAN,
    PhoneNumberType::VoiceMail,
];

/// Each country's example of each kind, as far as there is one.
pub(crate) fn examples() -> Vec<(Country, PhoneNumberType, PlanNumber)> {
    let mut examples = Vec::new();
    for country in Country::all() {
        let region = Region::from_code(country.code()).unwrap();
        for kind in KINDS {
            if let Ok(number) =
                PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind)
            {
                examples.push((country, kind, number));
            }
        }
    }
    assert!(examples.len() > 1000);
    examples
}

#[test]
fn every_country_has_a_mobile_number_that_is_accepted() {
    for (country, kind, plan) in examples() {
        if kind != PhoneNumberType::Mobile {
            continue;
        }
        let e164 = plan.format_as(PhoneNumberFormat::E164);
        let number =
            parse(&e164, Some(country)).unwrap_or_else(|e| panic!("{country} {e164}: {e}"));
        assert_eq!(number.e164(), e164);
        assert_eq!(number.country_code(), country.calling_code());
        assert_eq!(parse(&e164, None), Ok(number));
    }
}

#[test]
fn examples_of_other_kinds_are_refused() {
    for (country, _, plan) in examples() {
        let e164 = plan.format_as(PhoneNumberFormat::E164);
        if !matches!(
            plan.get_type(),
            PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile | PhoneNumberType::Unknown
        ) {
            let refusal = parse(&e164, None).expect_err(&e164);
            assert_eq!(refusal, PhoneError::NotSmsCapable, "{country} {e164}");
        }
    }
}

/// Whatever a plan has fits the value: none is shorter than the shortest, longer than the longest,
/// or changed by being read twice. Company-wide numbers, which are never accepted, may be shorter
/// (Iran's +98 9601).
#[test]
fn every_example_has_a_stored_form() {
    for (country, kind, plan) in examples() {
        if kind == PhoneNumberType::UAN {
            continue;
        }
        let e164 = plan.format_as(PhoneNumberFormat::E164);
        let number = PhoneNumber::parse_e164(&e164);
        assert!(
            number.is_ok_and(|n| n.e164() == e164),
            "{country} {kind:?} {e164}"
        );
    }
}
