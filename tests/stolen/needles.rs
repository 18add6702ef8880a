//! What must be found nowhere, in each spelling in which a store could hold it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What is shorter would be met by chance.
const SHORTEST: usize = 6;

/// Secrets to be looked for, all at once.
pub struct Needles {
    spellings: Vec<Spelling>,
    /// The spellings that begin with these two bytes.
    beginnings: Vec<Vec<usize>>,
    codes: Vec<String>,
}

struct Spelling {
    /// What it is, for whoever reads the failure. Never the secret itself.
    what: String,
    bytes: Vec<u8>,
}

impl Needles {
    /// None yet.
    pub fn new() -> Self {
        Self {
            spellings: Vec::new(),
            beginnings: vec![Vec::new(); 1 << 16],
            codes: Vec::new(),
        }
    }

    /// Looks for these bytes in clear, in hexadecimal digits and in base 64, also where they are part
    /// of something longer that is written so.
    pub fn add(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.spell(what, "in clear", secret);
        self.spell(what, "in hex", hex.as_bytes());
        self.spell(what, "in hex", hex.to_uppercase().as_bytes());
        for before in 0..3 {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                self.spell(what, "in base 64", base64_behind(&engine, before, secret));
            }
        }
    }

    /// Looks for a code of six digits. They can be part of an instant or of a hash, so in clear a code
    /// stands alone; but however it is wrapped otherwise, it is spelled too long to be met by chance.
    pub fn add_code(&mut self, what: &str, code: &str) {
        self.add(what, format!("#{code}"));
        let hex: String = code.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.spell(what, "in hex", hex.as_bytes());
        for before in 0..3 {
            let base64 = base64_behind(&STANDARD_NO_PAD, before, code.as_bytes());
            self.spell(what, "in base 64", base64);
        }
        self.codes.push(code.to_owned());
    }

    fn spell(&mut self, what: &str, how: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert!(bytes.len() >= SHORTEST, "{what} {how} is too short");
        if self.spellings.iter().any(|known| known.bytes == bytes) {
            return;
        }
        self.beginnings[beginning(bytes[0], bytes[1])].push(self.spellings.len());
        self.spellings.push(Spelling {
            what: format!("{what} {how}"),
            bytes: bytes.to_vec(),
        });
    }

    /// The first secret that these bytes give away, if they do.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        for (at, pair) in bytes.windows(2).enumerate() {
            for &index in &self.beginnings[beginning(pair[0], pair[1])] {
                let spelling = &self.spellings[index];
                if bytes[at..].starts_with(&spelling.bytes) {
                    return Some(&spelling.what);
                }
            }
        }
        let mut words = bytes.split(|byte| !byte.is_ascii_alphanumeric());
        let is_code = |word: &[u8]| self.codes.iter().any(|code| code.as_bytes() == word);
        words.any(is_code).then_some("a code in clear")
    }
}

fn beginning(first: u8, second: u8) -> usize {
    usize::from(u16::from_be_bytes([first, second]))
}

/// The symbols that depend on nothing but the secret, where so many bytes (of every three) stand
/// before it and others may follow.
fn base64_behind(engine: &impl Engine, before: usize, secret: &[u8]) -> String {
    let mut whole = vec![0; before];
    whole.extend(secret);
    let encoded = engine.encode(&whole);
    let first = (before * 8).div_ceil(6);
    let last = whole.len() * 8 / 6;
    encoded[first..last].to_owned()
}

#[test]
fn a_secret_is_found_in_every_spelling_wherever_it_begins() {
    let mut needles = Needles::new();
    needles.add("a token", "sps_Zm9vYmFyYmF6");
    let found = |bytes: &[u8]| needles.found_in(bytes).map(str::to_owned);
    for before in ["", "x", "xy", "xyz", "{\"token\":\""] {
        let clear = format!("{before}sps_Zm9vYmFyYmF6\"}}");
        let hex: String = clear.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found(clear.as_bytes()).as_deref(), Some("a token in clear"));
        assert_eq!(found(hex.as_bytes()).as_deref(), Some("a token in hex"));
        for encoded in [
            STANDARD_NO_PAD.encode(&clear),
            URL_SAFE_NO_PAD.encode(&clear),
        ] {
            let encoded = found(encoded.as_bytes());
            assert_eq!(encoded.as_deref(), Some("a token in base 64"));
        }
    }
    assert_eq!(found(b"sps_Zm9vYmFyYmF7"), None);
}

#[test]
fn a_code_is_found_alone_and_wrapped_and_not_within_an_instant() {
    let mut needles = Needles::new();
    needles.add_code("the code", "271828");
    for holds in [
        "{\"code\":271828}",
        "271828",
        "is 271828.",
        "\0\u{6}271828\0",
        "@localhost #271828",
        "323731383238",
        &STANDARD_NO_PAD.encode("code=271828"),
    ] {
        assert!(needles.found_in(holds.as_bytes()).is_some(), "{holds}");
    }
    for other in ["1764271828000", "a271828", "27182", "c3271828f0"] {
        assert_eq!(needles.found_in(other.as_bytes()), None, "{other}");
    }
}
