//! Values that mask themselves.

use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret text: masked in `Debug` and when serialised, wiped when dropped, compared in constant
/// time. It has no `Display`.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; the call is meant to stand out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() {
            "\"\""
        } else {
            "•••"
        })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "•••" })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A URL that may carry a password, which `Debug` and serialising mask.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password; the call is meant to stand out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part before the first colon, which decides the implementation.
    pub fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Whether it leads to nothing outside this machine: no host, or loopback ones alone.
    pub fn is_local(&self) -> bool {
        let Some((_, authority, _)) = self.parts() else {
            return true;
        };
        // A folder, or a server's socket.
        if self.scheme() == "sqlite" {
            return true;
        }
        let hosts = authority
            .rsplit_once('@')
            .map_or(authority, |(_, hosts)| hosts);
        // Several hosts stand between commas, each with its port.
        hosts.split(',').map(str::trim).all(|host| {
            let host = match host.strip_prefix('[') {
                Some(v6) => v6.split(']').next().unwrap_or(v6),
                None => host.split(':').next().unwrap_or(host),
            };
            host.is_empty()
                || host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        })
    }

    /// Scheme, authority, and what follows it.
    fn parts(&self) -> Option<(&str, &str, &str)> {
        let (scheme, rest) = self.0.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, more) = rest.split_at(end);
        Some((scheme, authority, more))
    }

    fn masked(&self) -> String {
        let Some((scheme, authority, more)) = self.parts() else {
            return self.0.clone();
        };
        // The last @ of the authority ends the user information.
        match authority.rsplit_once('@') {
            None => self.0.clone(),
            Some((user, _)) => {
                let name = user.split(':').next().unwrap_or_default();
                let mask = if user.contains(':') { ":•••" } else { "" };
                format!("{scheme}://{name}{mask}{}{more}", &authority[user.len()..])
            }
        }
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_serialised_forms_show_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "•••");
        assert!(!serde_plain(&secret).contains("hunter2"));
    }

    #[test]
    fn url_masks_only_the_password() {
        let url = SecretUrl::new("amqp://guest:p@ss@host:5672/%2f?x=1");
        assert_eq!(format!("{url:?}"), "amqp://guest:•••@host:5672/%2f?x=1");
        assert_eq!(format!("{:?}", SecretUrl::new("memory:")), "memory:");
        assert_eq!(
            format!("{:?}", SecretUrl::new("redis://host:1/0")),
            "redis://host:1/0"
        );
        assert_eq!(url.scheme(), "amqp");
    }

    #[test]
    fn a_url_of_several_hosts_masks_its_password_and_is_local_if_all_are() {
        let url = SecretUrl::new("redis+sentinel://portal:p@ss@a:1,b:2,[::1]:3/primary/4");
        assert_eq!(url.scheme(), "redis+sentinel");
        assert_eq!(
            format!("{url:?}"),
            "redis+sentinel://portal:•••@a:1,b:2,[::1]:3/primary/4"
        );
        let is_local = |url: &str| SecretUrl::new(url).is_local();
        assert!(is_local(
            "redis+sentinel://u:p@localhost:1,127.0.0.1,[::1]:3/primary"
        ));
        for url in [
            "redis+sentinel://localhost:1,b:2/primary",
            "rediss+sentinel://u:localhost@a:1,localhost:2/primary",
            "redis+sentinel://localhost:1,[2001:db8::1]:2/primary",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }

    fn serde_plain(secret: &Secret) -> String {
        #[derive(Serialize)]
        struct Holder<'a> {
            secret: &'a Secret,
        }
        toml::to_string(&Holder { secret }).unwrap()
    }
}
