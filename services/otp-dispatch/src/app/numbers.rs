//! What numbers the deployment accepts (rules 1 to 5).

use sallyport_phone::{Country, PhoneNumber};

use super::{Otp, OtpError};

impl Otp {
    /// Reads what a person typed beside the picked country.
    #[tracing::instrument(skip_all)]
    pub fn validate_number(
        &self,
        typed: &str,
        picked: Option<Country>,
    ) -> Result<PhoneNumber, OtpError> {
        let number = sallyport_phone::parse(typed, picked)?;
        self.served.check(&number)?;
        Ok(number)
    }

    /// The countries served, sorted by code.
    pub fn countries(&self) -> Vec<Country> {
        Country::all()
            .filter(|country| self.served.contains(*country))
            .collect()
    }
}
