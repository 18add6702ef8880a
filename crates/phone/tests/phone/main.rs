//! The rules for numbers, against the number plans themselves.

// `allow-unwrap-in-tests` covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod countries;
mod plans;
mod properties;
mod quiet;
mod rules;

use sallyport_phone::Country;

fn country(code: &str) -> Country {
    code.parse().unwrap()
}
