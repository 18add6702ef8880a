//! The countries a deployment sends to.

use std::collections::BTreeSet;

use crate::{Country, PhoneError, PhoneNumber, number::in_plan_of};

/// The countries a deployment sends to.
///
/// World-wide services (+870, +881, +883 …) belong to no country and are never served: their
/// messages cost many times an ordinary one's and are a favourite of traffic pumping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCountries(Option<BTreeSet<Country>>);

impl ServedCountries {
    /// Every country.
    pub fn all() -> Self {
        Self(None)
    }

    /// These countries only.
    pub fn from_list(countries: impl IntoIterator<Item = Country>) -> Self {
        Self(Some(countries.into_iter().collect()))
    }

    /// Whether the country is served, for a picker that offers no other.
    pub fn contains(&self, country: Country) -> bool {
        self.0.as_ref().is_none_or(|set| set.contains(&country))
    }

    /// Passes a number of a served country. A range that several territories share passes when
    /// one of them is served.
    ///
    /// # Errors
    ///
    /// [`PhoneError::CountryNotServed`].
    pub fn check(&self, number: &PhoneNumber) -> Result<(), PhoneError> {
        let country = number.country();
        if country.is_some_and(|country| self.contains(country)) || self.serves_a_sharer(number) {
            return Ok(());
        }
        Err(PhoneError::CountryNotServed { country })
    }

    fn serves_a_sharer(&self, number: &PhoneNumber) -> bool {
        let (Some(set), Some(plan)) = (&self.0, number.plan()) else {
            return false;
        };
        set.iter().any(|&country| in_plan_of(&plan, country))
    }
}
