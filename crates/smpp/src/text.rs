//! How a text is written in octets: the GSM 7 bit default alphabet with its extension table (3GPP
//! TS 23.038, 6.2.1) and UCS-2, whole or in parts (3GPP TS 23.040, 9.2.3.24).
//!
//! SMPP carries GSM 7 bit unpacked: one septet an octet. é, è, à, ù and the capital Ç are in the
//! alphabet; ê, ç and most other accents are not, and a text with one of them is UCS-2, in which a
//! message holds 70 units and not 160.

/// The escape to the extension table.
const ESCAPE: u8 = 0x1B;

/// The default alphabet, in order. 0x1B is the escape and stands for no character.
#[rustfmt::skip]
const ALPHABET: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É',
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table: each of these takes two septets.
const EXTENSION: [(u8, char); 10] = [
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
];

/// How the octets of a message are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// GSM 7 bit, one septet an octet.
    Gsm7,
    /// UCS-2, two octets a unit, high octet first. Characters beyond the basic plane are surrogate
    /// pairs, as every handset of today writes them.
    Ucs2,
}

impl Coding {
    /// The `data_coding` of SMPP (3.4, 5.2.19).
    #[must_use]
    pub const fn data_coding(self) -> u8 {
        match self {
            Self::Gsm7 => 0x00,
            Self::Ucs2 => 0x08,
        }
    }

    /// Septets or units that one message holds.
    const fn whole(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Septets or units that a part holds beside a header with a 16-bit reference (7 octets).
    const fn part(self) -> usize {
        match self {
            Self::Gsm7 => 152,
            Self::Ucs2 => 66,
        }
    }
}

/// One `short_message`.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// How the octets, after a header, are to be read.
    pub coding: Coding,
    /// The octets, header included.
    pub octets: Vec<u8>,
    /// They begin with a user data header.
    pub has_header: bool,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("coding", &self.coding)
            .field("octets", &self.octets.len())
            .field("has_header", &self.has_header)
            .finish()
    }
}

/// A text that needs more than 255 parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text needs more than 255 parts")]
pub struct TooLong;

/// The septets of one character, without its escape: (escaped, septet).
fn septet(character: char) -> Option<(bool, u8)> {
    if character == char::from(ESCAPE) {
        return None;
    }
    let place = ALPHABET.iter().position(|known| *known == character);
    match place.and_then(|place| u8::try_from(place).ok()) {
        Some(place) => Some((false, place)),
        None => EXTENSION
            .iter()
            .find_map(|(septet, known)| (*known == character).then_some((true, *septet))),
    }
}

/// True if every character is in the default alphabet or its extension table.
#[must_use]
pub fn is_gsm7(text: &str) -> bool {
    septets(text).is_some()
}

/// How many septets the text takes, extension characters counting two. `None` if it is not GSM 7
/// bit.
#[must_use]
pub fn septets(text: &str) -> Option<usize> {
    text.chars().try_fold(0, |count, character| {
        septet(character).map(|(escaped, _)| count + 1 + usize::from(escaped))
    })
}

/// The text in unpacked GSM 7 bit. `None` if a character is in neither table.
#[must_use]
pub fn encode_gsm7(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    for character in text.chars() {
        let (escaped, septet) = septet(character)?;
        if escaped {
            octets.push(ESCAPE);
        }
        octets.push(septet);
    }
    Some(octets)
}

/// The text in UCS-2, high octet first.
#[must_use]
pub fn encode_ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The text as one message, or as several parts that share `reference`: GSM 7 bit if it can be,
/// 160 septets whole and 152 a part; else UCS-2, 70 units and 66. Neither an escaped character nor
/// a surrogate pair is torn apart. The same reference must be used for every attempt at a text.
///
/// # Errors
/// [`TooLong`] if it needs more than 255 parts.
pub fn segments(text: &str, reference: u16) -> Result<Vec<Encoded>, TooLong> {
    let coding = if is_gsm7(text) {
        Coding::Gsm7
    } else {
        Coding::Ucs2
    };
    // The octets of each character, which stay together.
    let characters = text.chars().map(|character| {
        let mut buffer = [0; 4];
        let text = character.encode_utf8(&mut buffer);
        encode_gsm7(text)
            .filter(|_| coding == Coding::Gsm7)
            .unwrap_or_else(|| encode_ucs2(text))
    });
    let octets_a_unit = match coding {
        Coding::Gsm7 => 1,
        Coding::Ucs2 => 2,
    };
    let whole: Vec<u8> = characters.clone().flatten().collect();
    if whole.len() <= coding.whole() * octets_a_unit {
        return Ok(vec![Encoded {
            coding,
            octets: whole,
            has_header: false,
        }]);
    }
    let mut bodies: Vec<Vec<u8>> = vec![Vec::new()];
    for octets in characters {
        match bodies.last_mut() {
            Some(last) if last.len() + octets.len() <= coding.part() * octets_a_unit => {
                last.extend_from_slice(&octets);
            }
            _ => bodies.push(octets),
        }
    }
    let count = u8::try_from(bodies.len()).map_err(|_| TooLong)?;
    let [high, low] = reference.to_be_bytes();
    Ok((1..=count)
        .zip(bodies)
        .map(|(number, body)| {
            // Header length, element 08 (16-bit reference) of four octets.
            let mut octets = vec![6, 0x08, 4, high, low, count, number];
            octets.extend_from_slice(&body);
            Encoded {
                coding,
                octets,
                has_header: true,
            }
        })
        .collect())
}

/// Reads octets by their `data_coding`. What is not known is read as Latin-1; what cannot be is
/// replaced. Inbound texts are read for words such as STOP, which are ASCII in all of them.
pub(crate) fn decode(data_coding: u8, octets: &[u8]) -> String {
    match data_coding {
        0x00 => decode_gsm7(octets),
        0x08 => {
            let units = octets
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        _ => octets.iter().map(|octet| char::from(*octet)).collect(),
    }
}

fn decode_gsm7(octets: &[u8]) -> String {
    let mut escaped = false;
    octets
        .iter()
        .filter_map(|octet| {
            if *octet == ESCAPE && !escaped {
                escaped = true;
                return None;
            }
            let extended = std::mem::take(&mut escaped)
                .then(|| {
                    EXTENSION
                        .iter()
                        .find_map(|(s, c)| (s == octet).then_some(*c))
                })
                .flatten();
            // An unknown extension is shown as its plain character (23.038, 6.2.1.1).
            Some(extended.unwrap_or_else(|| {
                ALPHABET
                    .get(usize::from(*octet))
                    .copied()
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }))
        })
        .collect()
}

/// The message after its user data header, if it has one.
pub(crate) fn without_header(octets: &[u8], has_header: bool) -> &[u8] {
    match octets.first() {
        Some(length) if has_header => octets.get(usize::from(*length) + 1..).unwrap_or_default(),
        _ => octets,
    }
}

#[cfg(test)]
mod tests;
