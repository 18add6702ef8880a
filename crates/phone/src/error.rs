//! Why a number is refused.

use crate::Country;

/// Why a number is refused. Never holds the number itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// The number has no leading `+` or `00`, and no country was picked.
    #[error("a country must be picked, or the number must begin with +")]
    CountryRequired,
    /// The number belongs to another country than the picked one.
    #[error("the number belongs to +{typed_code}, not to {picked}")]
    CountryMismatch {
        /// The number's own country; none for a world-wide service such as +881.
        typed: Option<Country>,
        /// The number's own calling code. Equal to the picked country's where both share it, as
        /// the United States and Canada do.
        typed_code: u16,
        /// What was picked.
        picked: Country,
    },
    /// Not a number: letters, an extension, or a length or range that no plan has.
    #[error("not a valid number")]
    Invalid,
    /// A number of a kind that does not receive SMS.
    #[error("the number cannot receive SMS")]
    NotSmsCapable,
    /// The deployment does not send to this country.
    #[error("numbers of this country are not served")]
    CountryNotServed {
        /// The number's country; none for a world-wide service.
        country: Option<Country>,
    },
}

impl PhoneError {
    /// The stable code by which interfaces report the refusal.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CountryRequired => "phone.country_required",
            Self::CountryMismatch { .. } => "phone.country_mismatch",
            Self::Invalid => "phone.invalid",
            Self::NotSmsCapable => "phone.not_sms_capable",
            Self::CountryNotServed { .. } => "phone.country_not_served",
        }
    }

    /// The field in which people mend it: a number is a picked country and what is typed beside it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::CountryRequired => "country",
            Self::CountryMismatch { .. }
            | Self::Invalid
            | Self::NotSmsCapable
            | Self::CountryNotServed { .. } => "mobile_number",
        }
    }

    /// What a sentence about the refusal names, by key.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::CountryMismatch {
                typed,
                typed_code,
                picked,
            } => {
                let mut details = vec![
                    ("typed_code", typed_code.to_string()),
                    ("picked", picked.to_string()),
                ];
                details.extend(typed.map(|country| ("typed", country.to_string())));
                details
            }
            Self::CountryNotServed { country } => country
                .map(|country| ("country", country.to_string()))
                .into_iter()
                .collect(),
            Self::CountryRequired | Self::Invalid | Self::NotSmsCapable => Vec::new(),
        }
    }
}
