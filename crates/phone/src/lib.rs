//! Telephone numbers as values, and the rules by which typed ones are accepted.
//!
//! [`parse`] turns what a person typed, together with the country picked beside it, into a
//! [`PhoneNumber`]: canonical E.164, able to receive SMS as far as the number plan can tell.
//! A country is never guessed: without a leading `+` or `00` and without a picked country there
//! is no number. [`ServedCountries`] then decides whether the deployment sends there at all.
//!
//! [`PhoneNumber::parse_e164`] reads the stored form back. It checks the form and not the plan,
//! because plans change: a number that was confirmed last year must still load this year.
//!
//! The data of the number plans (ranges, lengths, trunk prefixes, formats) is libphonenumber's,
//! through `rlibphonenumber`. What may be typed, and what is refused, is decided here.
//!
//! # Logging
//!
//! Numbers mask themselves in `Debug`. `rlibphonenumber` however writes the digits it looks at to
//! the `log` crate at level *trace*, so a process that forwards `log` records must keep the target
//! `rlibphonenumber` below that (directive `rlibphonenumber=off`). A test holds the library to
//! never doing so at a higher level.

mod country;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod names;
mod number;
mod parse;
mod served;
mod typed;

pub use country::{Country, Language, UnknownCountry};
pub use error::PhoneError;
pub use number::PhoneNumber;
pub use parse::parse;
pub use served::ServedCountries;
