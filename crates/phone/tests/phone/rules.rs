//! Rules 1 to 4, case by case.

use sallyport_phone::{PhoneError, PhoneNumber, parse};

use crate::country;

fn e164(input: &str, picked: Option<&str>) -> Result<String, PhoneError> {
    parse(input, picked.map(country)).map(|number| number.e164().to_owned())
}

#[track_caller]
fn accepted(input: &str, picked: Option<&str>, expected: &str) {
    assert_eq!(
        e164(input, picked).as_deref(),
        Ok(expected),
        "{input:?} {picked:?}"
    );
}

#[track_caller]
fn refused(input: &str, picked: Option<&str>, expected: PhoneError) {
    assert_eq!(e164(input, picked), Err(expected), "{input:?} {picked:?}");
}

#[track_caller]
fn mismatch(input: &str, picked: &str, typed: &str) {
    let typed = country(typed);
    let picked = country(picked);
    let typed_code = typed.calling_code();
    let expected = PhoneError::CountryMismatch {
        typed: Some(typed),
        typed_code,
        picked,
    };
    assert_eq!(parse(input, Some(picked)), Err(expected), "{input:?}");
}

// Rule 1

#[test]
fn without_plus_and_country_nothing_is_guessed() {
    for input in ["06 12 34 56 78", "33612345678", "2125550123", "", "  ", "0"] {
        refused(input, None, PhoneError::CountryRequired);
    }
    assert_eq!(
        PhoneError::CountryRequired.reason(),
        "phone.country_required"
    );
    refused("zero six", None, PhoneError::Invalid);
}

#[test]
fn a_full_number_needs_no_country() {
    accepted("+33 6 12 34 56 78", None, "+33612345678");
    accepted("0033 6 12 34 56 78", None, "+33612345678");
    accepted("(+33) 6 12 34 56 78", None, "+33612345678");
}

#[test]
fn a_picked_country_reads_its_national_spelling() {
    accepted("06 12 34 56 78", Some("FR"), "+33612345678");
    accepted("6 12 34 56 78", Some("FR"), "+33612345678");
    accepted("(212) 555-0123", Some("US"), "+12125550123");
    accepted("1 212 555 0123", Some("US"), "+12125550123");
    accepted("٠٦ ١٢ ٣٤ ٥٦ ٧٨", Some("FR"), "+33612345678");
    accepted("０９０－１２３４－５６７８", Some("JP"), "+819012345678");
}

#[test]
fn the_countrys_own_code_without_plus_is_read_where_nothing_else_fits() {
    accepted("33 6 12 34 56 78", Some("FR"), "+33612345678");
    // Ten digits of India that begin with its code are a number, not a code and a stump.
    accepted("9123456789", Some("IN"), "+919123456789");
    // Another country's code is not looked for.
    refused("33 6 12 34 56 78", Some("US"), PhoneError::Invalid);
}

// Rule 2

#[test]
fn plus_or_double_zero_must_agree_with_the_picker() {
    mismatch("+33 6 12 34 56 78", "US", "FR");
    mismatch("0033 6 12 34 56 78", "US", "FR");
    mismatch("+1 212 555 0123", "FR", "US");
    accepted("+33 6 12 34 56 78", Some("FR"), "+33612345678");
    accepted("0033612345678", Some("FR"), "+33612345678");
    let error = parse("+33612345678", Some(country("US"))).unwrap_err();
    assert_eq!(error.reason(), "phone.country_mismatch");
}

/// The library's check of a region compares the national part alone, where these two plans meet.
#[test]
fn equal_national_parts_do_not_agree() {
    mismatch("+34 612 34 56 78", "FR", "ES");
    mismatch("+33 6 12 34 56 78", "ES", "FR");
}

#[test]
fn the_prefix_dialled_abroad_is_never_silently_replaced() {
    // 011 is how North America dials 00.
    mismatch("011 33 6 12 34 56 78", "US", "FR");
    accepted("011 1 212 555 0123", Some("US"), "+12125550123");
    // Singapore's 001 begins with 00; what follows is then an American number.
    mismatch("001 659 234 5678", "SG", "US");
    // Australia's 0011 leaves no number behind 00.
    refused("0011 61 412 345 678", Some("AU"), PhoneError::Invalid);
}

#[test]
fn countries_that_share_a_code_are_told_apart_by_range() {
    mismatch("+1 416 555 0123", "US", "CA");
    mismatch("416 555 0123", "US", "CA");
    mismatch("+1 212 555 0123", "CA", "US");
    mismatch("+1 876 210 1234", "US", "JM");
    mismatch("+44 7781 123456", "GB", "GG");
    mismatch("07797 712345", "GB", "JE");
    mismatch("+44 7624 123456", "GB", "IM");
    mismatch("+44 7400 123456", "JE", "GB");
    mismatch("+7 912 345 67 89", "KZ", "RU");
    mismatch("+7 771 000 9998", "RU", "KZ");
    mismatch("+262 639 01 23 45", "RE", "YT");
    mismatch("0692 12 34 56", "YT", "RE");
    mismatch("+212 612 345 678", "FR", "MA");
    accepted("+1 416 555 0123", Some("CA"), "+14165550123");
    accepted("07781 123456", Some("GG"), "+447781123456");
    accepted("8 771 000 9998", Some("KZ"), "+77710009998");
}

#[test]
fn every_country_of_a_shared_range_agrees() {
    for code in ["GP", "MF", "BL"] {
        accepted("0690 00 12 34", Some(code), "+590690001234");
        accepted("+590 690 00 12 34", Some(code), "+590690001234");
    }
    for code in ["NO", "SJ"] {
        accepted("406 12 345", Some(code), "+4740612345");
    }
    for code in ["AU", "CX", "CC"] {
        accepted("0412 345 678", Some(code), "+61412345678");
    }
    for code in ["IT", "VA"] {
        accepted("312 345 6789", Some(code), "+393123456789");
    }
}

#[test]
fn a_world_wide_service_agrees_with_no_country() {
    let picked = country("FR");
    assert_eq!(
        parse("+881 612 345 678", Some(picked)),
        Err(PhoneError::CountryMismatch {
            typed: None,
            typed_code: 881,
            picked
        })
    );
}

#[test]
fn an_invalid_number_is_invalid_before_it_disagrees() {
    refused("+33 6 12 34", Some("US"), PhoneError::Invalid);
}

// Rule 3

#[test]
fn the_trunk_prefix_goes_by_the_countrys_rule() {
    accepted("+33 (0)6 12 34 56 78", None, "+33612345678");
    accepted("+44 (0)7400 123456", Some("GB"), "+447400123456");
    accepted("8 (912) 345-67-89", Some("RU"), "+79123456789");
    accepted("06 20 123 4567", Some("HU"), "+36201234567");
    accepted("8 612 34567", Some("LT"), "+37061234567");
    // Italy has none: a landline keeps its zero, so a mobile never grows or loses one.
    refused("02 1234 5678", Some("IT"), PhoneError::NotSmsCapable);
    accepted("312 345 6789", Some("IT"), "+393123456789");
    refused("0312 345 6789", Some("FR"), PhoneError::Invalid);
    // Côte d'Ivoire and Gabon write numbers with a zero that is part of them.
    accepted("01 23 45 67 89", Some("CI"), "+2250123456789");
    accepted("06 03 12 34", Some("GA"), "+24106031234");
    let milan = PhoneNumber::parse_e164("+390212345678").unwrap();
    assert_eq!(milan.international(), "+39 02 1234 5678");
}

#[test]
fn the_oddities_of_latin_america() {
    // Brazil: area code, ninth digit, and the carrier chosen in front.
    accepted("(11) 96123-4567", Some("BR"), "+5511961234567");
    accepted("011 96123-4567", Some("BR"), "+5511961234567");
    accepted("0 15 11 96123-4567", Some("BR"), "+5511961234567");
    refused("96123-4567", Some("BR"), PhoneError::Invalid);
    // Argentina: 15 at home behind the area code is 9 abroad in front of it.
    accepted("011 15-2345-6789", Some("AR"), "+5491123456789");
    accepted("+54 9 11 2345-6789", Some("AR"), "+5491123456789");
    // Mexico: the 1 of mobiles, 044 at home, went in 2019. Old spellings are not mended.
    accepted("55 1234 5678", Some("MX"), "+525512345678");
    refused("+52 1 55 1234 5678", Some("MX"), PhoneError::Invalid);
    refused("044 55 1234 5678", Some("MX"), PhoneError::Invalid);
}

#[test]
fn the_result_is_shown_as_it_will_be_dialled() {
    for (number, shown) in [
        ("+33612345678", "+33 6 12 34 56 78"),
        ("+447400123456", "+44 7400 123456"),
        ("+12125550123", "+1 212-555-0123"),
        ("+5491123456789", "+54 9 11 2345-6789"),
        ("+393123456789", "+39 312 345 6789"),
    ] {
        assert_eq!(parse(number, None).unwrap().international(), shown);
    }
}

#[test]
fn what_is_not_a_number_is_invalid() {
    assert_eq!(PhoneError::Invalid.reason(), "phone.invalid");
    for input in [
        "06 12 34 56 78 x12",
        "06 12 34 56 78;ext=12",
        "1-800-FLOWERS",
        "06 12/34 56 78",
        "tel:+33612345678",
        "06 12 34 56",
        "06 12 34 56 78 9",
        "06 00 00 00 00 00 00 00 00",
        "00",
        "+",
        "+33",
        "",
        "()",
        "+0033612345678",
        "+999612345678",
        "+3361234567890123",
        "112",
        "3631",
    ] {
        refused(input, Some("FR"), PhoneError::Invalid);
    }
    refused("+1 123 555 0123", None, PhoneError::Invalid);
    refused(&"0".repeat(100_000), Some("FR"), PhoneError::Invalid);
    refused(&"é".repeat(100_000), Some("FR"), PhoneError::Invalid);
}

// Rule 4

#[test]
fn kinds_that_get_no_sms_are_refused() {
    assert_eq!(PhoneError::NotSmsCapable.reason(), "phone.not_sms_capable");
    for (kind, input, picked) in [
        ("fixed line", "01 23 45 67 89", "FR"),
        ("fixed line", "+44 121 234 5678", "GB"),
        ("toll free", "0 801 23 45 67", "FR"),
        ("toll free", "+1 800 234 5678", "US"),
        ("premium", "0 891 23 45 67", "FR"),
        ("premium", "900 234 5678", "US"),
        ("shared cost", "0 884 01 23 45", "FR"),
        ("shared cost", "0180 1234567", "DE"),
        ("pager", "076 4012 3456", "GB"),
        ("voicemail", "0 177 99 1234567", "DE"),
        ("personal number", "070 1234 5678", "GB"),
        ("VoIP", "09 01 23 45 67", "FR"),
        ("VoIP", "050 1234 5678", "JP"),
        ("company-wide", "055 1234 5678", "GB"),
    ] {
        assert_eq!(
            e164(input, Some(picked)),
            Err(PhoneError::NotSmsCapable),
            "{kind}: {input}"
        );
    }
}

#[test]
fn ranges_of_mobile_or_fixed_pass() {
    accepted("201 555 0123", Some("US"), "+12015550123");
    accepted("506 234 5678", Some("CA"), "+15062345678");
}

/// As long as a mobile number, but in no range of the plan (rule 3): rule 4 lets a number pass whose
/// kind is unknown, not one that nobody can have.
#[test]
fn a_possible_length_in_no_range_is_invalid() {
    for (whose, input, picked) in [
        ("a mobile of Guadeloupe", "0690 00 12 34", "FR"),
        ("a mobile of Mayotte", "0639 01 23 45", "FR"),
        ("a mobile without its area code", "96123-4567", "BR"),
        ("no area's code", "211 555 0123", "US"),
    ] {
        assert_eq!(
            e164(input, Some(picked)),
            Err(PhoneError::Invalid),
            "{whose}: {input}"
        );
    }
    refused("+33 6 90 00 12 34", None, PhoneError::Invalid);
    refused("+33 6 90 00 12 34", Some("GP"), PhoneError::Invalid);
}

// The value

#[test]
fn the_stored_form_is_strict() {
    let number = PhoneNumber::parse_e164("+33612345678").unwrap();
    assert_eq!(number.e164(), "+33612345678");
    for text in [
        "33612345678",
        "0033612345678",
        "+33 612345678",
        "+330612345678",
        "+33612345678 ",
        "＋33612345678",
        "+3361234567８",
        "+999612345678",
        "+0612345678",
        "+1234567890123456",
        "+33612",
        "+",
        "",
    ] {
        assert_eq!(
            PhoneNumber::parse_e164(text),
            Err(PhoneError::Invalid),
            "{text:?}"
        );
    }
    // A landline, or a number that its plan has withdrawn, still loads.
    assert!(PhoneNumber::parse_e164("+33123456789").is_ok());
    assert!(PhoneNumber::parse_e164("+11235550123").is_ok());
}

#[test]
fn parts_of_the_value() {
    let number = parse("+33 6 12 34 56 78", None).unwrap();
    assert_eq!(number.country(), Some(country("FR")));
    assert_eq!(number.country_code(), 33);
    assert_eq!(number.prefix(), "+3361234");
    assert_eq!(number.last_two(), "78");
    assert_eq!(number.masked(), "•••••78");
    assert_eq!(format!("{number:?}"), "+33•••••78");
    assert_eq!(format!("{:?}", Some(&number)), "Some(+33•••••78)");
    let other = parse("+33 6 12 34 56 79", None).unwrap();
    assert!(number < other && number == number.clone());
}
