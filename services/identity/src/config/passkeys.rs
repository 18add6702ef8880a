//! The `[identity.passkeys]` section.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What passkeys are bound to, and how many there may be.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeySettings {
    /// The relying party id; empty: the host of the portal.
    pub rp_id: String,
    /// Passkeys that one user may have.
    pub per_user: u64,
    /// Ceremonies that one user may begin within an hour without ending one.
    pub ceremonies_per_hour: u32,
}

impl PasskeySettings {
    /// Refuses what must not run; `host` is the portal's, where it has a name.
    pub(super) fn check(&self, host: Option<&str>) -> Result<()> {
        // Browsers take no other; nor do they take a public suffix, which has no dot as a rule.
        let above = |host: &str| {
            self.rp_id.contains('.')
                && host
                    .strip_suffix(self.rp_id.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        ensure!(
            self.rp_id.is_empty() || host.is_some_and(|host| host == self.rp_id || above(host)),
            "identity.passkeys.rp_id must be empty, the host of identity.portal_url or a domain above it"
        );
        ensure!(
            (1..=100).contains(&self.per_user),
            "identity.passkeys.per_user must be 1 to 100"
        );
        ensure!(
            (10..=1_000).contains(&self.ceremonies_per_hour),
            "identity.passkeys.ceremonies_per_hour must be 10 to 1000"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_bound_to_the_portals_host_or_a_domain_above_it() {
        let bound = |rp_id: &str, host: Option<&str>| {
            let settings = PasskeySettings {
                rp_id: rp_id.to_owned(),
                per_user: 10,
                ceremonies_per_hour: 60,
            };
            settings.check(host)
        };
        let host = Some("portal.example.com");
        for rp_id in ["", "portal.example.com", "example.com"] {
            bound(rp_id, host).unwrap();
        }
        for rp_id in [
            "com",
            "ample.com",
            "other.example.com",
            ".example.com",
            "https://portal.example.com",
        ] {
            let told = bound(rp_id, host).unwrap_err().to_string();
            assert!(told.starts_with("identity.passkeys.rp_id"), "{told}");
        }
        bound("", None).unwrap();
        bound("localhost", None).unwrap_err();
    }
}
