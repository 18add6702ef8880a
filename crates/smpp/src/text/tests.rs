use super::*;
use proptest::prelude::*;

/// 3GPP TS 23.038, 6.2.1, written down once more by Unicode number, column by column, so that a
/// slip in one of the two tables shows.
#[rustfmt::skip]
const STANDARD: [u32; 128] = [
    0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5,
    0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0x1B, 0xC6, 0xE6, 0xDF, 0xC9,
    0x20, 0x21, 0x22, 0x23, 0xA4, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
    0xA1, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F,
    0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0xC4, 0xD6, 0xD1, 0xDC, 0xA7,
    0xBF, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F,
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0xE4, 0xF6, 0xF1, 0xFC, 0xE0,
];

#[test]
fn the_whole_default_alphabet_is_exact() {
    for (octet, number) in (0_u8..).zip(STANDARD) {
        let character = char::from_u32(number).unwrap();
        let encoded = encode_gsm7(&character.to_string());
        if octet == ESCAPE {
            assert_eq!(encoded, None, "the escape is no character");
        } else {
            assert_eq!(encoded, Some(vec![octet]), "{character:?}");
            assert_eq!(septets(&character.to_string()), Some(1));
            assert_eq!(decode(0, &[octet]), character.to_string());
        }
    }
}

#[test]
fn the_whole_extension_table_is_exact() {
    for (octet, character) in [
        (0x0A, '\u{0C}'),
        (0x14, '^'),
        (0x28, '{'),
        (0x29, '}'),
        (0x2F, '\\'),
        (0x3C, '['),
        (0x3D, '~'),
        (0x3E, ']'),
        (0x40, '|'),
        (0x65, '€'),
    ] {
        let text = character.to_string();
        assert_eq!(encode_gsm7(&text), Some(vec![0x1B, octet]), "{character:?}");
        assert_eq!(septets(&text), Some(2));
        assert_eq!(decode(0, &[0x1B, octet]), text);
    }
}

#[test]
fn nothing_else_is_gsm7() {
    let known: Vec<char> = STANDARD
        .into_iter()
        .filter(|number| *number != 0x1B)
        .chain("\u{0C}^{}\\[~]|€".chars().map(u32::from))
        .filter_map(char::from_u32)
        .collect();
    for character in (0..=0x2FFFF).filter_map(char::from_u32) {
        assert_eq!(
            is_gsm7(&character.to_string()),
            known.contains(&character),
            "{character:?}"
        );
    }
}

#[test]
fn french_letters_in_and_out() {
    assert!(is_gsm7("é è à ù Ç É ì ò"));
    for letter in [
        "ç", "ê", "â", "î", "ô", "û", "ë", "ï", "À", "È", "œ", "’", "`",
    ] {
        assert!(!is_gsm7(letter), "{letter}");
    }
}

#[test]
fn ucs2_is_big_endian_with_surrogate_pairs() {
    assert_eq!(encode_ucs2("Aê"), [0x00, 0x41, 0x00, 0xEA]);
    assert_eq!(encode_ucs2("😀"), [0xD8, 0x3D, 0xDE, 0x00]);
    assert_eq!(decode(8, &[0xD8, 0x3D, 0xDE, 0x00]), "😀");
    assert_eq!(decode(8, &[0xD8, 0x3D, 0x00]), "\u{FFFD}");
}

#[test]
fn one_message_holds_160_septets_or_70_units() {
    let count = |text: &str| segments(text, 1).unwrap().len();
    assert_eq!(count(""), 1);
    assert_eq!(count(&"a".repeat(160)), 1);
    assert_eq!(count(&"a".repeat(161)), 2);
    assert_eq!(count(&"€".repeat(80)), 1);
    assert_eq!(count(&format!("a{}", "€".repeat(80))), 2);
    assert_eq!(count(&"ê".repeat(70)), 1);
    assert_eq!(count(&"ê".repeat(71)), 2);
    assert_eq!(count(&"😀".repeat(35)), 1);
    assert_eq!(count(&"😀".repeat(36)), 2);
}

#[test]
fn parts_hold_152_septets_or_66_units_under_one_reference() {
    let parts = segments(&"a".repeat(305), 0xABCD).unwrap();
    assert_eq!(parts.len(), 3);
    for (number, part) in (1_u8..).zip(&parts) {
        assert!(part.has_header);
        assert_eq!(part.octets[..7], [6, 8, 4, 0xAB, 0xCD, 3, number]);
    }
    assert_eq!(parts[0].octets.len(), 7 + 152);
    assert_eq!(parts[2].octets.len(), 7 + 1);
    let parts = segments(&"ê".repeat(133), 1).unwrap();
    assert_eq!(
        parts
            .iter()
            .map(|part| part.octets.len() - 7)
            .collect::<Vec<_>>(),
        [132, 132, 2]
    );
    assert_eq!(parts[0].coding.data_coding(), 8);
}

#[test]
fn pairs_are_never_torn_apart() {
    let text = format!("{}€{}", "a".repeat(151), "b".repeat(20));
    let parts = segments(&text, 1).unwrap();
    assert_eq!(parts[0].octets.len(), 7 + 151);
    assert_eq!(parts[1].octets[7..9], [0x1B, 0x65]);
    let text = format!("{}😀{}", "ê".repeat(65), "ê".repeat(20));
    let parts = segments(&text, 1).unwrap();
    assert_eq!(parts[0].octets.len(), 7 + 130);
    assert_eq!(parts[1].octets[7..11], [0xD8, 0x3D, 0xDE, 0x00]);
}

#[test]
fn more_than_255_parts_are_refused() {
    assert_eq!(segments(&"a".repeat(255 * 152), 1).unwrap().len(), 255);
    assert_eq!(segments(&"a".repeat(255 * 152 + 1), 1), Err(TooLong));
}

#[test]
fn headers_are_cut_off_within_bounds() {
    assert_eq!(without_header(b"\x02abX", true), b"X");
    assert_eq!(without_header(b"\x02abX", false), b"\x02abX");
    assert_eq!(without_header(b"\x09ab", true), b"");
    assert_eq!(without_header(b"", true), b"");
}

#[test]
fn an_encoded_text_is_not_shown() {
    assert!(!format!("{:?}", segments("abc", 1).unwrap()).contains("97"));
}

proptest! {
    #[test]
    fn parts_put_together_are_the_text(text in "[a-z€^éê😀 ]{0,900}") {
        let parts = segments(&text, 7).unwrap();
        let whole: String = parts
            .iter()
            .map(|part| {
                decode(part.coding.data_coding(), without_header(&part.octets, part.has_header))
            })
            .collect();
        prop_assert_eq!(whole, text);
        for part in &parts {
            let most = match (part.coding, part.has_header) {
                (Coding::Gsm7, false) => 160,
                (Coding::Gsm7, true) => 7 + 152,
                (Coding::Ucs2, false) => 140,
                (Coding::Ucs2, true) => 7 + 132,
            };
            prop_assert!(part.octets.len() <= most);
        }
    }

    #[test]
    fn any_octets_are_read(data_coding: u8, octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(data_coding, &octets);
    }
}
