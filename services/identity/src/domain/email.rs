//! E-mail addresses as they are compared: lower case, ASCII domain.

/// An address in the form in which it is stored and compared. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// Longest address (RFC 5321, 4.5.3.1: 64 + 1 + 255).
const LONGEST: usize = 320;

impl Email {
    /// Reads an address; `None` where it cannot be one.
    pub fn parse(typed: &str) -> Option<Self> {
        let typed = typed.trim();
        if typed.len() > LONGEST {
            return None;
        }
        let (local, domain) = typed.rsplit_once('@')?;
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        let plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !"\"(),:;<>@[\\]".contains(c);
        if local.is_empty()
            || local.len() > 64
            || !local.chars().all(plain)
            || local.starts_with('.')
            || local.ends_with('.')
            || local.contains("..")
            || !domain.contains('.') && domain != "localhost"
        {
            return None;
        }
        Some(Self(format!("{}@{domain}", local.to_lowercase())))
    }

    /// What guesses for a typed address count on, also where it cannot be one.
    pub fn for_counting(typed: &str) -> String {
        Self::parse(typed).map_or_else(
            || typed.trim().to_lowercase().chars().take(LONGEST).collect(),
            |email| email.0,
        )
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "•••@{domain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_and_unicode_domains_do_not_make_another_address() {
        let read = |text| Email::parse(text).unwrap().0;
        assert_eq!(read(" Anna.Weber@EXAMPLE.com "), "anna.weber@example.com");
        assert_eq!(read("a@bücher.example"), "a@xn--bcher-kva.example");
        assert_eq!(read("a@BÜCHER.example"), "a@xn--bcher-kva.example");
        assert_eq!(read("root@localhost"), "root@localhost");
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@b.example",
            "a b@c.example",
            "a@b",
            "a@b..example",
            ".a@b.example",
            "a..b@c.example",
            "a@-b.example",
            "a\n@b.example",
            "<a>@b.example",
        ] {
            assert_eq!(Email::parse(text), None, "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@b.example", "a".repeat(65))), None);
    }

    #[test]
    fn debug_shows_no_local_part() {
        let email = Email::parse("anna@example.com").unwrap();
        assert_eq!(format!("{email:?}"), "•••@example.com");
    }

    proptest! {
        #[test]
        fn reading_what_was_read_changes_nothing(text in "\\PC{0,40}@[a-zA-Zéü]{1,12}\\.[a-z]{2,4}") {
            if let Some(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()), Some(email.clone()));
                prop_assert_eq!(Email::for_counting(&text), email.0);
            }
        }
    }
}
