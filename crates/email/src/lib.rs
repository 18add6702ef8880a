//! E-mail addresses and domains, in the one form in which they are stored and compared.
//!
//! The whole address is in lower case and its domain in ASCII (UTS 46, RFC 5891), so that a
//! look-alike in other scripts is another domain. The local part is ASCII: addresses after RFC 6531
//! are refused, since two spellings of one mailbox could not be told apart.
//! The address is unique across the deployment: it alone is typed at sign-in.

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use std::fmt;

/// Longest address that SMTP carries (RFC 5321, 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;
/// Longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// The text is no address or domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub struct Malformed;

/// A domain under which users can be: lower-case ASCII, two labels or more, no IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// Reads a typed domain.
    pub fn parse(typed: &str) -> Result<Self, Malformed> {
        let ascii = idna::domain_to_ascii_strict(typed.trim()).map_err(|_| Malformed)?;
        let (_, top) = ascii.rsplit_once('.').ok_or(Malformed)?;
        // A top label of digits alone is the end of an IPv4 address (RFC 3696, section 2).
        if top.is_empty() || top.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Malformed);
        }
        Ok(Self(ascii))
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address. `Debug` masks it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    text: String,
    domain: DomainName,
}

impl EmailAddress {
    /// Reads a typed address: an RFC 5321 dot-string before the `@`, no quoted string.
    pub fn parse(typed: &str) -> Result<Self, Malformed> {
        let (local, domain) = typed.trim().rsplit_once('@').ok_or(Malformed)?;
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
        let dotted = local
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(atom));
        if !dotted || local.len() > LONGEST_LOCAL {
            return Err(Malformed);
        }
        let domain = DomainName::parse(domain)?;
        let text = format!("{}@{}", local.to_ascii_lowercase(), domain.as_str());
        if text.len() > LONGEST {
            return Err(Malformed);
        }
        Ok(Self { text, domain })
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "•••@{}", self.domain.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(typed: &str) -> Option<String> {
        EmailAddress::parse(typed).ok().map(|e| e.text)
    }

    #[test]
    fn case_and_spelling_of_one_domain_are_one_address() {
        assert_eq!(
            read(" Mia.Roy@Example.COM ").unwrap(),
            "mia.roy@example.com"
        );
        assert_eq!(read("a@bücher.de").unwrap(), "a@xn--bcher-kva.de");
        assert_eq!(read("a@BÜCHER.de"), read("a@xn--bcher-kva.de"));
        assert_eq!(read("a@ex\u{ad}ample.com").unwrap(), "a@example.com");
    }

    #[test]
    fn a_look_alike_domain_is_another_domain() {
        let latin = DomainName::parse("paypal.com").unwrap();
        let cyrillic = DomainName::parse("p\u{430}ypal.com").unwrap();
        assert_ne!(latin, cyrillic);
        assert!(cyrillic.as_str().starts_with("xn--"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for typed in [
            "",
            "@",
            "a",
            "a@",
            "@b.com",
            "a@b",
            "a b@c.com",
            "a..b@c.com",
            ".a@c.com",
            "a.@c.com",
            "\"a\"@c.com",
            "é@c.com",
            "a@[192.0.2.1]",
            "a@192.0.2.1",
            "a@b..com",
            "a@-b.com",
            "a@b_c.com",
            "a@b.com.",
            "a@b.com\u{0}",
            "a\u{0}@b.com",
            "a@b.com\r\nBcc: x@y.com",
        ] {
            assert_eq!(read(typed), None, "{typed:?}");
        }
        assert!(read(&format!("{}@b.com", "a".repeat(64))).is_some());
        assert!(read(&format!("{}@b.com", "a".repeat(65))).is_none());
    }

    #[test]
    fn debug_hides_the_person() {
        let email = EmailAddress::parse("mia@example.com").unwrap();
        assert_eq!(format!("{email:?}"), "•••@example.com");
    }

    proptest! {
        #[test]
        fn the_stored_form_reads_as_itself(typed in "\\PC{1,20}@\\PC{1,20}\\.[a-z]{2,6}") {
            if let Some(stored) = read(&typed) {
                prop_assert!(stored.is_ascii());
                prop_assert_eq!(read(&stored), Some(stored));
            }
        }
    }
}
