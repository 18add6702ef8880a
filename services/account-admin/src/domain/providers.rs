//! Domains where everybody can have a mailbox: nobody can claim them for an organisation (rule 48).

use sallyport_email::DomainName;

/// Lower-case ASCII, sorted. Deployments add their own with
/// `account_admin.more_public_providers`.
pub const PUBLIC: &[&str] = &[
    "126.com",
    "163.com",
    "aim.com",
    "aol.com",
    "att.net",
    "bell.net",
    "bluewin.ch",
    "comcast.net",
    "cox.net",
    "duck.com",
    "fastmail.com",
    "fastmail.fm",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.fr",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.ca",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.fr",
    "hotmail.it",
    "hushmail.com",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.ca",
    "live.co.uk",
    "live.com",
    "live.fr",
    "mac.com",
    "mail.com",
    "mail.ru",
    "mailbox.org",
    "me.com",
    "msn.com",
    "naver.com",
    "neuf.fr",
    "numericable.fr",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "outlook.fr",
    "passport.com",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.ch",
    "protonmail.com",
    "qq.com",
    "rocketmail.com",
    "rogers.com",
    "sbcglobal.net",
    "sfr.fr",
    "shaw.ca",
    "skynet.be",
    "sympatico.ca",
    "t-online.de",
    "telus.net",
    "tuta.com",
    "tutanota.com",
    "verizon.net",
    "videotron.ca",
    "wanadoo.fr",
    "web.de",
    "yahoo.ca",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.es",
    "yahoo.fr",
    "yahoo.it",
    "yandex.com",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
];

/// Whether everybody can have an address at a domain, so that nobody can claim it; `more` are the
/// deployment's own.
pub fn is_public(domain: &DomainName, more: &[String]) -> bool {
    PUBLIC.binary_search(&domain.as_str()).is_ok()
        || more.iter().any(|m| m.eq_ignore_ascii_case(domain.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_for_the_binary_search_and_in_stored_form() {
        assert!(PUBLIC.is_sorted_by(|a, b| a < b));
        for domain in PUBLIC {
            assert_eq!(DomainName::parse(domain).unwrap().as_str(), *domain);
        }
    }

    #[test]
    fn public_providers_are_known_and_can_be_added_to() {
        let gmail = DomainName::parse("GMail.com").unwrap();
        let own = DomainName::parse("isp.example").unwrap();
        assert!(is_public(&gmail, &[]));
        assert!(!is_public(&own, &[]));
        assert!(is_public(&own, &["ISP.example".to_owned()]));
    }
}
