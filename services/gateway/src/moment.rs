//! Instants as the reader writes them: in his zone, in his order of day and month, with the zone's
//! name on hover.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sallyport_chassis::clock::from_proto;

use crate::words::{Language, Words};

/// How the reader writes times.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// His zone.
    pub zone: TimeZone,
    /// "iso", "day_first" or "month_first".
    pub format: String,
    /// His language.
    pub language: Language,
}

/// An instant, ready for a page.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// What is read: "2026-11-24 14:05".
    pub text: String,
    /// The zone's name: "America/Toronto (EST)".
    pub zone: String,
    /// The machine's form, UTC.
    pub iso: String,
}

impl Reading {
    /// By the names that a profile holds; an unknown zone reads as UTC.
    pub(crate) fn new(zone: &str, format: &str, language: Language) -> Self {
        Self {
            zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC),
            format: format.to_owned(),
            language,
        }
    }

    /// The instant as this reader writes it.
    pub(crate) fn at(&self, instant: Timestamp) -> Moment {
        let local = instant.to_zoned(self.zone.clone());
        let date = match self.format.as_str() {
            "day_first" => local.strftime("%d/%m/%Y"),
            "month_first" => local.strftime("%m/%d/%Y"),
            _ => local.strftime("%Y-%m-%d"),
        };
        let time = match self.language {
            Language::English => local.strftime("%H:%M").to_string(),
            // OQLF: hour, symbol h and minutes, with no-break spaces.
            Language::French => local.strftime("%-H\u{a0}h\u{a0}%M").to_string(),
        };
        let name = self.zone.iana_name().unwrap_or("UTC");
        let short = local.strftime("%Z").to_string();
        Moment {
            text: format!("{date} {time}"),
            zone: if short == name {
                short
            } else {
                format!("{name} ({short})")
            },
            iso: instant
                .round(jiff::Unit::Second)
                .unwrap_or(instant)
                .to_string(),
        }
    }

    /// The same for a wire timestamp; `None` where it is not set.
    pub(crate) fn wire(&self, stamp: &Option<prost_types::Timestamp>) -> Option<Moment> {
        stamp
            .as_ref()
            .and_then(from_proto)
            .map(|instant| self.at(instant))
    }
}

/// "45 seconds", "12 minutes", "3 hours".
pub(crate) fn wait(words: Words, seconds: u64) -> String {
    match seconds {
        0..=1 => words.wait_second().to_owned(),
        2..=90 => words.wait_seconds(seconds),
        91..=5_400 => words.wait_minutes(seconds.div_ceil(60)),
        _ => words.wait_hours(seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, format: &str, language: Language) -> Moment {
        Reading::new(zone, format, language).at("2026-11-24T19:05:07Z".parse().unwrap())
    }

    #[test]
    fn instants_stand_in_the_readers_zone_order_and_language() {
        let moment = at("America/Toronto", "iso", Language::English);
        assert_eq!(moment.text, "2026-11-24 14:05");
        assert_eq!(moment.zone, "America/Toronto (EST)");
        assert_eq!(moment.iso, "2026-11-24T19:05:07Z");
        let moment = at("Europe/Paris", "day_first", Language::French);
        assert_eq!(moment.text, "24/11/2026 20\u{a0}h\u{a0}05");
        assert_eq!(
            at("Asia/Tokyo", "month_first", Language::English).text,
            "11/25/2026 04:05"
        );
        assert_eq!(at("Nowhere/Else", "iso", Language::English).zone, "UTC");
    }

    #[test]
    fn waits_are_told_in_the_unit_that_a_person_would_use() {
        let words = Words::new(Language::English);
        assert_eq!(wait(words, 1), "one second");
        assert_eq!(wait(words, 45), "45 seconds");
        assert_eq!(wait(words, 100), "2 minutes");
        assert_eq!(wait(words, 7_200), "2 hours");
    }
}
