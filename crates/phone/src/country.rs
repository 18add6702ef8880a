//! Countries and territories that have a calling code.

use std::{fmt, str::FromStr, sync::LazyLock};

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

use crate::names::{NAMES, Names};

/// A country or territory that has a calling code.
///
/// Written as its ISO 3166-1 alpha-2 code. Three codes that number plans use without being
/// officially assigned are included: `AC` (Ascension Island) and `TA` (Tristan da Cunha), which
/// ISO reserves, and `XK` (Kosovo), which is in the range left to users. Territories without a
/// calling code of their own (`AQ`, `BV`, `GS`, `HM`, `PN`, `TF`, `UM`) are not countries here.
///
/// Ordered by code. Read with [`str::parse`], in either case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country(u8);

/// A language in which countries are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
}

/// The text is not the code of a country that has a calling code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the two-letter code of a country with a calling code")]
pub struct UnknownCountry;

impl Country {
    /// Every country, sorted by code.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        // The table holds fewer than 256 rows; `country_index_fits` in the tests says so.
        (0..NAMES.len() as u8).map(Self)
    }

    /// Every country in the alphabetical order of its names, as a picker lists them.
    ///
    /// Accents do not count, so that "Éthiopie" stands between "Estonie" and "Fidji".
    pub fn all_by_name(language: Language) -> &'static [Self] {
        static ENGLISH: LazyLock<Vec<Country>> = LazyLock::new(|| ordered(Language::English));
        static FRENCH: LazyLock<Vec<Country>> = LazyLock::new(|| ordered(Language::French));
        match language {
            Language::English => &ENGLISH,
            Language::French => &FRENCH,
        }
    }

    /// The two-letter code in capitals, such as `FR`.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// The name, as Unicode CLDR spells it.
    pub fn name(self, language: Language) -> &'static str {
        match language {
            Language::English => self.row().english,
            Language::French => self.row().french,
        }
    }

    /// The calling code, 1 to 999, without the `+`. Several countries may share one.
    pub fn calling_code(self) -> u16 {
        static CODES: LazyLock<Vec<u16>> = LazyLock::new(|| {
            Country::all()
                .map(|country| {
                    PHONE_NUMBER_UTIL
                        .get_country_code_for_region(country.region())
                        .and_then(|code| u16::try_from(code).ok())
                        .expect("every row of the table is a region of the number plan")
                })
                .collect()
        });
        CODES[usize::from(self.0)]
    }

    /// The country of a region of the number plan; none for the world-wide services.
    pub(crate) fn from_region(region: Region) -> Option<Self> {
        region.as_region_str().parse().ok()
    }

    pub(crate) fn region(self) -> Region {
        Region::from_code(self.code()).expect("the table holds two letters a row")
    }

    fn row(self) -> &'static Names {
        &NAMES[usize::from(self.0)]
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        let &[first, second] = text.as_bytes() else {
            return Err(UnknownCountry);
        };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        NAMES
            .binary_search_by(|row| row.code.as_bytes().cmp(&code))
            .ok()
            .and_then(|index| u8::try_from(index).ok())
            .map(Self)
            .ok_or(UnknownCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn ordered(language: Language) -> Vec<Country> {
    let mut countries: Vec<Country> = Country::all().collect();
    countries.sort_by_cached_key(|country| sort_key(country.name(language)));
    countries
}

/// The name in lower case without accents. Covers the letters that occur in the table; a test
/// fails when a new name brings another.
fn sort_key(name: &str) -> String {
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            'à' | 'â' | 'ã' | 'å' => 'a',
            'ç' => 'c',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'î' | 'ï' | 'í' => 'i',
            'ô' => 'o',
            'ü' => 'u',
            '’' => '\'',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_index_fits() {
        assert!(NAMES.len() <= usize::from(u8::MAX));
        assert_eq!(Country::all().len(), NAMES.len());
    }

    #[test]
    fn the_table_is_sorted_by_code() {
        assert!(NAMES.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn sort_keys_are_plain_ascii() {
        for country in Country::all() {
            for language in [Language::English, Language::French] {
                let key = sort_key(country.name(language));
                assert!(key.is_ascii(), "{country}: {key} keeps an accent");
            }
        }
    }
}
