//! What operators decide for a country or a prefix, whatever its budgets say.

use std::fmt;
use std::str::FromStr;

use sallyport_phone::{Country, PhoneNumber};
use serde::{Deserialize, Serialize};

/// The most digits of a prefix: those of the longest number less the last four.
const LONGEST_PREFIX: usize = 11;

/// An operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Codes pass, and do not count.
    Allow,
    /// Codes are refused, but for those of confirmed factors.
    Block,
    /// Codes pass, and are recorded where a budget is spent.
    Observe,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Block, Self::Observe];

    /// The word in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Observe => "observe",
        }
    }

    /// The rule of a word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// What an override is for: a country by its two letters, or numbers by the digits that they begin
/// with, as in `+99450`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The numbers of a country.
    Country(Country),
    /// The numbers that begin so.
    Prefix(String),
}

/// The text names neither a country nor a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a country's two letters nor + and the first digits of its numbers")]
pub struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        match text.strip_prefix('+') {
            None => text.parse().map(Self::Country).map_err(|_| NoTarget),
            Some(digits) => {
                let plain = (1..=LONGEST_PREFIX).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit())
                    && !digits.starts_with('0');
                plain.then(|| Self::Prefix(text.to_owned())).ok_or(NoTarget)
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(country) => f.write_str(country.code()),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

/// Every override of the deployment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Overrides(Vec<(Target, Rule)>);

impl Overrides {
    /// From a list in any order.
    pub fn new(list: Vec<(Target, Rule)>) -> Self {
        Self(list)
    }

    /// The rule for a number: that of the longest prefix, else that of its country.
    pub fn of(&self, number: &PhoneNumber) -> Option<Rule> {
        let digits = |target: &Target| match target {
            Target::Prefix(prefix) => number.e164().starts_with(prefix).then_some(prefix.len()),
            Target::Country(country) => (number.country() == Some(*country)).then_some(0),
        };
        self.0
            .iter()
            .filter_map(|(target, rule)| Some((digits(target)?, *rule)))
            .max_by_key(|(digits, _)| *digits)
            .map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(list: &[(&str, Rule)]) -> Overrides {
        let read = |(target, rule): &(&str, Rule)| (target.parse::<Target>().unwrap(), *rule);
        Overrides::new(list.iter().map(read).collect())
    }

    fn rule(overrides: &Overrides, number: &str) -> Option<Rule> {
        overrides.of(&PhoneNumber::parse_e164(number).unwrap())
    }

    #[test]
    fn the_longest_prefix_wins_and_any_prefix_wins_over_the_country() {
        let overrides = overrides(&[
            ("+33612", Rule::Observe),
            ("FR", Rule::Block),
            ("+3361234", Rule::Allow),
        ]);
        assert_eq!(rule(&overrides, "+33612345678"), Some(Rule::Allow));
        assert_eq!(rule(&overrides, "+33612995678"), Some(Rule::Observe));
        assert_eq!(rule(&overrides, "+33712345678"), Some(Rule::Block));
        assert_eq!(rule(&overrides, "+32470123456"), None);
    }

    #[test]
    fn a_country_is_never_the_whole_of_a_calling_code() {
        let overrides = overrides(&[("ca", Rule::Block)]);
        assert_eq!(rule(&overrides, "+16135550111"), Some(Rule::Block));
        assert_eq!(rule(&overrides, "+12125550111"), None);
    }

    #[test]
    fn what_is_no_target_is_refused_and_others_are_written_as_they_are_read() {
        for text in [
            "",
            "+",
            "F",
            "QQ",
            "FRA",
            "+33 6",
            "33",
            "+0",
            "+331234567890",
        ] {
            assert_eq!(text.parse::<Target>(), Err(NoTarget), "{text}");
        }
        for (text, written) in [("fr", "FR"), ("+1", "+1"), ("+33612345678", "+33612345678")] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn words_are_those_that_are_serialised() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
            assert_eq!(Rule::of_name(rule.name()), Some(rule));
        }
    }
}
