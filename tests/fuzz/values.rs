//! What stands in fields: what fits them, bent or not, and what fits nothing.

use std::collections::BTreeMap;

use sallyport_fuzz::Bender;

/// Values that fit a field of RPCs or forms, by its name.
const FITTING: &[(&str, &[&str])] = &[
    ("administrator_email", &["eve@example.com"]),
    ("client_ip", &["192.0.2.7", "2001:db8::7"]),
    ("code", &["012345", "999 999"]),
    ("country", &["FR", "CA", "GB", ""]),
    ("date_format", &["iso", "day_first"]),
    ("default_sms_country", &["FR", "CA", ""]),
    ("domain", &["example.com", "bücher.example"]),
    ("email", &["ada@example.com", "eve@example.org"]),
    ("first_name", &["Ada", "Zoë"]),
    ("idempotency_key", &["key-1", "key-2"]),
    ("input", &["06 12 34 56 78", "+1 613 555 0111"]),
    ("language", &["en", "fr"]),
    ("last_name", &["Roy-Côté", "O'Neil"]),
    ("locale", &["en", "fr"]),
    ("mobile_number", &["06 12 34 56 78", "+33612345678", ""]),
    ("next", &["/account", "/users?search=a"]),
    ("note", &["seen by the carrier"]),
    ("number", &["+33612345678", "+16135550111"]),
    ("number_country", &["FR", ""]),
    ("plan", &["Standard"]),
    ("purpose", &["sign_in"]),
    ("request_id", &["request-1"]),
    ("target", &["AZ", "+99450"]),
    ("time_zone", &["America/Toronto", "Europe/Paris"]),
    ("two_factor", &["1", ""]),
    ("type", &["authn_login_success", "two_factor_enabled"]),
    ("why", &["code.wrong", "sms.limit"]),
];
/// A word stands so often in a row at most; a form holds 16 KiB.
const LONGEST: usize = 40;

/// The values of one round.
pub struct Values(BTreeMap<&'static str, Vec<String>>);

impl Values {
    /// What fits, with these beside it: the ids and tokens of somebody real.
    pub fn with(real: &[(&'static str, &str)]) -> Self {
        let mut values: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (name, texts) in FITTING {
            let texts = texts.iter().map(|text| (*text).to_owned());
            values.entry(*name).or_default().extend(texts);
        }
        for (name, text) in real {
            values.entry(*name).or_default().push((*text).to_owned());
        }
        Self(values)
    }

    /// A text for a field: half the time what fits, a quarter of the time that bent.
    pub fn text(&self, field: &str, bender: &mut Bender) -> String {
        let fitting = self.0.get(field);
        match (bender.below(8), fitting) {
            (0..=3, Some(texts)) => bender.pick(texts).clone(),
            (4 | 5, Some(texts)) => {
                let text = bender.pick(texts).clone();
                bender.text(&text)
            }
            (6, _) => {
                let word = bender.word();
                word.repeat(1 + bender.below(LONGEST))
            }
            _ => {
                let word = bender.word();
                bender.text(word)
            }
        }
    }
}
