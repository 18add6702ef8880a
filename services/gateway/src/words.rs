//! What the portal says, in English and French. The texts stand in `words.toml`; a term that is
//! missing in a language does not build.

use sallyport_phone::Language as CountryLanguage;

/// A language of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    English,
    /// French, as written in Canada.
    French,
}

impl Language {
    /// "en" or "fr"; `None` for another.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        if code.eq_ignore_ascii_case("en") {
            Some(Self::English)
        } else if code.eq_ignore_ascii_case("fr") {
            Some(Self::French)
        } else {
            None
        }
    }

    /// "en" or "fr".
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The value of the attribute `lang`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr-CA",
        }
    }

    /// The language in which countries are named.
    pub(crate) fn of_countries(self) -> CountryLanguage {
        match self {
            Self::English => CountryLanguage::English,
            Self::French => CountryLanguage::French,
        }
    }
}

/// The terms in one language, a method each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// The language.
    pub language: Language,
}

impl Words {
    /// The terms of a language.
    pub(crate) fn new(language: Language) -> Self {
        Self { language }
    }
}

include!(concat!(env!("OUT_DIR"), "/words.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn french_follows_the_rules_of_canadian_typography() {
        for (key, _, french) in TERMS {
            for mark in [" ;", " !", " ?", "\u{a0};", "\u{a0}!", "\u{a0}?"] {
                assert!(!french.contains(mark), "{key}: a space before {mark:?}");
            }
            let chars: Vec<char> = french.chars().collect();
            for (i, c) in chars.iter().enumerate() {
                let before = i.checked_sub(1).map(|i| chars[i]);
                match c {
                    ':' => assert_eq!(before, Some('\u{a0}'), "{key}: no-break space before :"),
                    '»' => assert_eq!(before, Some('\u{a0}'), "{key}: no-break space before »"),
                    '«' => assert_eq!(chars.get(i + 1), Some(&'\u{a0}'), "{key}: after «"),
                    '"' | '“' | '”' => panic!("{key}: guillemets, not {c}"),
                    _ => {}
                }
            }
            assert!(!french.contains("e-mail"), "{key}: courriel");
        }
    }

    #[test]
    fn no_term_is_left_in_the_other_language() {
        // Words that are spelt alike in both.
        let alike = [
            "Code",
            "Options",
            "Sallyport",
            "Message",
            "Type",
            "Date",
            "Action",
        ];
        for (key, english, french) in TERMS {
            let same = english == french;
            let excused = alike.contains(english)
                || !english.bytes().any(|b| b.is_ascii_alphabetic())
                || key.starts_with("language_");
            assert!(
                !same || excused,
                "{key} says the same in both languages: {english}"
            );
        }
    }
}
