//! What can be set.

use std::path::Path;

use anyhow::{Result, ensure};
use sallyport_chassis::config::{ListenConfig, PeerConfig, Profile, TelemetryConfig, load};
use sallyport_sql::DatabaseConfig;
use serde::{Deserialize, Serialize};

/// The service's own section, commented.
pub const SETTINGS: &str = include_str!("../defaults.toml");
/// What a process of its own needs besides, commented.
pub const PROCESS: &str = include_str!("../process.toml");
/// Keys that can be given as `…_file`.
const SECRETS: &[&str] = &["database.url"];

/// The configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the deployment is for.
    pub profile: Profile,
    /// Where the process listens; unused inside another.
    #[serde(default)]
    pub listen: Option<ListenConfig>,
    /// The store.
    pub database: DatabaseConfig,
    /// Logs, traces, metrics of the process; unused inside another.
    pub telemetry: TelemetryConfig,
    /// Other services; unused inside another process.
    #[serde(default)]
    pub peers: Option<Peers>,
    /// `[account_admin]`.
    pub account_admin: Settings,
}

/// Other services.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// identity.
    pub identity: PeerConfig,
}

/// The section `[account_admin]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// See defaults.toml.
    pub session_cache_milliseconds: u32,
    /// See defaults.toml.
    pub invitation_retry_seconds: i64,
    /// See defaults.toml.
    pub more_public_providers: Vec<String>,
    /// See defaults.toml.
    pub restorable_days: u32,
}

impl Settings {
    /// How long a deletion can be undone, in milliseconds.
    pub(crate) fn restorable_ms(&self) -> i64 {
        i64::from(self.restorable_days) * 86_400_000
    }
}

impl Config {
    /// Reads defaults, file and environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        // Keys before the first section belong to the top: the process part goes first.
        let defaults = format!("{PROCESS}\n{SETTINGS}");
        let config: Self = load(&defaults, SECRETS, file, std::env::vars())?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what must not start, by a sentence that says what to set.
    pub fn check(&self) -> Result<()> {
        let settings = &self.account_admin;
        ensure!(
            settings.session_cache_milliseconds <= 1000,
            "account_admin.session_cache_milliseconds must be at most 1000: a session that ends, ends within a second"
        );
        ensure!(
            (1..=86_400).contains(&settings.invitation_retry_seconds),
            "account_admin.invitation_retry_seconds must be 1 to 86400"
        );
        ensure!(
            (1..=365).contains(&settings.restorable_days),
            "account_admin.restorable_days must be 1 to 365"
        );
        if let Some(peers) = &self.peers {
            peers.identity.check("identity", self.profile)?;
        }
        self.database.check(self.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config> {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(&format!("{PROCESS}\n{SETTINGS}"), SECRETS, None, variables)
    }

    #[test]
    fn the_defaults_start_in_development() {
        let config = read(&[]).unwrap();
        config.check().unwrap();
        assert_eq!(config.account_admin.session_cache_milliseconds, 1000);
    }

    #[test]
    fn what_must_not_start_says_what_to_set() {
        for (key, value, sentence) in [
            (
                "SALLYPORT__ACCOUNT_ADMIN__SESSION_CACHE_MILLISECONDS",
                "1001",
                "at most 1000",
            ),
            (
                "SALLYPORT__ACCOUNT_ADMIN__INVITATION_RETRY_SECONDS",
                "0",
                "1 to 86400",
            ),
            ("SALLYPORT__ACCOUNT_ADMIN__RESTORABLE_DAYS", "0", "1 to 365"),
            ("SALLYPORT__PROFILE", "production", "peers.identity"),
        ] {
            let error = read(&[(key, value)]).unwrap().check().unwrap_err();
            assert!(error.to_string().contains(sentence), "{key}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(read(&[("SALLYPORT__ACCOUNT_ADMIN__SESION", "1")]).is_err());
    }
}
