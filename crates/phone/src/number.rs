//! The number as a value.

use std::{fmt, ops::RangeInclusive};

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber as PlanNumber, PhoneNumberFormat};

use crate::{Country, PhoneError};

/// Digits of a whole number. Fifteen is the ceiling of ITU-T E.164; no plan gives subscribers
/// fewer than seven, calling code included.
const DIGITS: RangeInclusive<usize> = 7..=15;

/// Digits at the end that tell one subscriber of a number block from the next.
const SUBSCRIBER_DIGITS: usize = 4;

/// Stands for hidden digits. Always as many, so that the length is hidden with them.
const MASK: &str = "•••••";

/// A telephone number in canonical E.164 form: `+`, calling code, national number without trunk
/// prefix, 7 to 15 digits, as in `+33612345678`.
///
/// Equal exactly when the E.164 form is, and ordered by it. `Debug` shows the calling code and the
/// last two digits; there is no `Display`, so a number reaches a text only by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    e164: Box<str>,
    country_code: u16,
    country: Option<Country>,
}

impl PhoneNumber {
    /// Reads the stored form. Anything but the canonical spelling is refused: no separators, no
    /// `00`, no trunk prefix left behind the calling code.
    ///
    /// Whether the number is in use and can receive SMS is not asked again, since plans change
    /// and a confirmed number must stay readable. What a person or a caller hands in goes through
    /// [`parse`](crate::parse()).
    ///
    /// # Errors
    ///
    /// [`PhoneError::Invalid`].
    pub fn parse_e164(stored: &str) -> Result<Self, PhoneError> {
        let digits = stored.strip_prefix('+').ok_or(PhoneError::Invalid)?;
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PhoneError::Invalid);
        }
        let plan = PlanNumber::parse(stored, None).map_err(|_| PhoneError::Invalid)?;
        if plan.format_as(PhoneNumberFormat::E164) != stored {
            return Err(PhoneError::Invalid);
        }
        Ok(Self {
            e164: stored.into(),
            country_code: calling_code(&plan)?,
            country: country(&plan),
        })
    }

    /// The E.164 form, for the store and for routes to carriers.
    pub fn e164(&self) -> &str {
        &self.e164
    }

    /// The country of the number's range; none for a world-wide service such as +881.
    ///
    /// Where territories share a range (Guadeloupe, Saint Barthélemy and Saint Martin have one
    /// for mobiles), it is the plan's main one.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// The calling code, 1 to 999.
    pub fn country_code(&self) -> u16 {
        self.country_code
    }

    /// The number block: the E.164 form less its last four digits, as in `+3361234`.
    pub fn prefix(&self) -> &str {
        &self.e164[..self.e164.len() - SUBSCRIBER_DIGITS]
    }

    /// The last two digits.
    pub fn last_two(&self) -> &str {
        &self.e164[self.e164.len() - 2..]
    }

    /// The last two digits behind a mask of fixed length: `•••••78`.
    pub fn masked(&self) -> String {
        format!("{MASK}{}", self.last_two())
    }

    /// The number as it is dialled from abroad, grouped by its plan: `+33 6 12 34 56 78`.
    ///
    /// Shows every digit: for its owner's eyes only.
    pub fn international(&self) -> String {
        self.plan().map_or_else(
            || self.e164().to_owned(),
            |plan| {
                plan.format_as(PhoneNumberFormat::International)
                    .into_owned()
            },
        )
    }

    /// The number as the plan's library holds it. Always there, as the constructor parsed it.
    pub(crate) fn plan(&self) -> Option<PlanNumber> {
        PlanNumber::parse(self.e164(), None).ok()
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}{MASK}{}", self.country_code, self.last_two())
    }
}

/// The calling code of a parsed number.
pub(crate) fn calling_code(plan: &PlanNumber) -> Result<u16, PhoneError> {
    u16::try_from(plan.country_code).map_err(|_| PhoneError::Invalid)
}

/// The country of a parsed number.
pub(crate) fn country(plan: &PlanNumber) -> Option<Country> {
    plan.get_region_code().and_then(Country::from_region)
}

/// Whether the number lies in a range of the country's own plan.
///
/// The calling code is compared here because the library does not: it looks at the national part
/// alone, and Spain's 612 34 56 78 would pass for France.
pub(crate) fn in_plan_of(plan: &PlanNumber, country: Country) -> bool {
    calling_code(plan) == Ok(country.calling_code())
        && PHONE_NUMBER_UTIL.is_valid_number_for_region(plan, country.region())
}
