//! Fuzz target of typed addresses and domains; `crates/fuzz` says what runs it.

use std::net::IpAddr;

use crate::{DomainName, EmailAddress, LONGEST};

/// A typed address. What is accepted is lower-case ASCII, read again as itself, and shows in `Debug`
/// its domain alone; and the same of a domain.
///
/// # Panics
/// Where that does not hold.
pub fn email(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(email) = EmailAddress::parse(typed) {
        let stored = email.as_str();
        assert!(stored.len() <= LONGEST);
        plain(stored);
        let (local, domain) = stored.split_once('@').expect("an address has one @");
        assert!(!local.is_empty());
        assert_eq!(domain, email.domain().as_str());
        assert_eq!(EmailAddress::parse(stored).as_ref(), Ok(&email));
        assert_eq!(
            EmailAddress::parse(&stored.to_uppercase()).as_ref(),
            Ok(&email)
        );
        assert_eq!(format!("{email:?}"), format!("•••@{domain}"));
        whole(email.domain());
    }
    if let Ok(domain) = DomainName::parse(typed) {
        whole(&domain);
    }
}

/// What holds of every domain, however it came.
fn whole(domain: &DomainName) {
    let stored = domain.as_str();
    plain(stored);
    assert!(stored.split('.').count() >= 2);
    assert!(stored.split('.').all(|label| !label.is_empty()));
    assert!(stored.parse::<IpAddr>().is_err());
    assert_eq!(DomainName::parse(stored).as_ref(), Ok(domain));
}

/// Nothing that a header, a line of a log or a comparison could be tricked with.
fn plain(stored: &str) {
    let odd = |b: u8| !b.is_ascii_graphic() || b.is_ascii_uppercase();
    assert!(!stored.bytes().any(odd), "{stored:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_typed_address_breaks_a_promise() {
        sallyport_fuzz::check("email", super::email);
    }
}
