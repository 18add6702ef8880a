//! The table of countries, against the regions of the number plans.

use std::collections::BTreeSet;

use rlibphonenumber::PHONE_NUMBER_UTIL;
use sallyport_phone::{Country, Language, PhoneError, ServedCountries, UnknownCountry, parse};

use crate::country;

#[test]
fn every_region_of_the_plan_is_named_and_no_other() {
    let regions: BTreeSet<String> = PHONE_NUMBER_UTIL
        .get_supported_regions()
        .map(|region| region.to_string())
        .collect();
    let named: BTreeSet<String> = Country::all()
        .map(|country| country.code().to_owned())
        .collect();
    assert_eq!(named, regions);
    for country in Country::all() {
        for language in [Language::English, Language::French] {
            let name = country.name(language);
            assert!(
                name.chars().count() > 3 && name.trim() == name,
                "{country}: {name:?}"
            );
        }
    }
}

#[test]
fn names_do_not_repeat() {
    for language in [Language::English, Language::French] {
        let names: BTreeSet<_> = Country::all()
            .map(|country| country.name(language))
            .collect();
        assert_eq!(names.len(), Country::all().len());
    }
}

#[test]
fn known_countries_are_right() {
    for (code, calling, english, french) in [
        ("FR", 33, "France", "France"),
        ("GB", 44, "United Kingdom", "Royaume-Uni"),
        ("US", 1, "United States", "États-Unis"),
        ("CA", 1, "Canada", "Canada"),
        ("BR", 55, "Brazil", "Brésil"),
        ("XK", 383, "Kosovo", "Kosovo"),
        ("ZW", 263, "Zimbabwe", "Zimbabwe"),
        ("AC", 247, "Ascension Island", "Île de l’Ascension"),
        ("HK", 852, "Hong Kong", "Hong Kong"),
    ] {
        let country = country(code);
        assert_eq!(country.calling_code(), calling, "{code}");
        assert_eq!(country.name(Language::English), english);
        assert_eq!(country.name(Language::French), french);
        assert_eq!(
            (country.to_string(), format!("{country:?}")),
            (code.into(), code.into())
        );
    }
}

#[test]
fn codes_are_read_in_either_case_and_validated() {
    assert_eq!("fr".parse(), Ok(country("FR")));
    for text in [
        "", "F", "FRA", "AQ", "ZZ", "EU", "001", "33", "ＦＲ", "é", "F\u{0}", " FR",
    ] {
        assert_eq!(text.parse::<Country>(), Err(UnknownCountry), "{text:?}");
    }
}

#[test]
fn lists_come_in_order() {
    assert!(Country::all().is_sorted());
    assert!(Country::all().map(Country::code).is_sorted());
    let french: Vec<_> = Country::all_by_name(Language::French)
        .iter()
        .map(|c| c.name(Language::French))
        .collect();
    let place = |name| french.iter().position(|&other| other == name).unwrap();
    assert!(place("Estonie") < place("États-Unis"));
    assert!(place("États-Unis") < place("Éthiopie"));
    assert!(place("Éthiopie") < place("Fidji"));
    let english = Country::all_by_name(Language::English);
    assert_eq!(
        english.first().map(|c| c.name(Language::English)),
        Some("Afghanistan")
    );
    assert_eq!(
        english.get(1),
        Some(&country("AX")),
        "Åland Islands come before Albania"
    );
    assert_eq!(
        english.iter().collect::<BTreeSet<_>>().len(),
        Country::all().len()
    );
}

#[test]
fn only_served_countries_pass() {
    let french = parse("+33612345678", None).unwrap();
    let canadian = parse("+14165550123", None).unwrap();
    let served = ServedCountries::from_list([country("FR"), country("US")]);
    assert_eq!(served.check(&french), Ok(()));
    let refusal = PhoneError::CountryNotServed {
        country: Some(country("CA")),
    };
    assert_eq!(
        served.check(&canadian),
        Err(refusal),
        "+1 alone does not make it the US"
    );
    assert_eq!(refusal.reason(), "phone.country_not_served");
    assert!(served.contains(country("US")) && !served.contains(country("CA")));

    assert_eq!(ServedCountries::all().check(&canadian), Ok(()));
    assert!(Country::all().all(|country| ServedCountries::all().contains(country)));
    assert!(ServedCountries::from_list([]).check(&french).is_err());
}

#[test]
fn a_shared_range_is_served_by_any_of_its_countries() {
    let number = parse("0690 00 12 34", Some(country("MF"))).unwrap();
    assert_eq!(number.country(), Some(country("GP")));
    for code in ["GP", "MF", "BL"] {
        assert_eq!(
            ServedCountries::from_list([country(code)]).check(&number),
            Ok(()),
            "{code}"
        );
    }
    assert!(
        ServedCountries::from_list([country("FR")])
            .check(&number)
            .is_err()
    );
    // Spain's number lies in a range that France has too, under another calling code.
    let spanish = parse("+34612345678", None).unwrap();
    assert!(
        ServedCountries::from_list([country("FR")])
            .check(&spanish)
            .is_err()
    );
}

#[test]
fn world_wide_services_are_not_served() {
    let satellite = parse("+881612345678", None).unwrap();
    assert_eq!((satellite.country(), satellite.country_code()), (None, 881));
    let refusal = Err(PhoneError::CountryNotServed { country: None });
    assert_eq!(ServedCountries::all().check(&satellite), refusal);
    assert_eq!(
        ServedCountries::from_list(Country::all()).check(&satellite),
        refusal
    );
}
