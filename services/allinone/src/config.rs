//! What can be set: the shared sections once, and every service's own section.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sallyport_chassis::ProcessConfig;
use sallyport_chassis::config::{KeysConfig, Profile, TelemetryConfig};
use sallyport_sql::DatabaseConfig;
use serde::{Deserialize, Serialize};

/// The commented defaults of the shared sections.
const SHARED: &str = include_str!("../defaults.toml");

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the deployment is for.
    pub profile: Profile,
    /// Where people reach the portal.
    pub portal_url: String,
    /// Where the portal listens.
    pub listen: Listen,
    /// The operator's door.
    pub operator: Operator,
    /// The database of every service.
    pub database: DatabaseConfig,
    /// Where challenges live.
    pub challenges: otp_dispatch::config::StoreConfig,
    /// The queue of messages.
    pub queue: otp_dispatch::config::QueueConfig,
    /// Where the key files are.
    pub keys: KeysConfig,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
    /// Passwords, factors and sessions.
    pub identity: identity::config::Settings,
    /// Codes, limits and carriers.
    pub otp: otp_dispatch::config::Settings,
    /// Organisations, users and the event log.
    pub account_admin: account_admin::Settings,
    /// The portal.
    pub gateway: gateway::Settings,
}

/// The one value that is read before the rest.
#[derive(Deserialize)]
struct Portal {
    portal_url: String,
}

/// The `[listen]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Socket address; port 0 takes a free one.
    pub address: SocketAddr,
}

/// The `[operator]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Path of the unix socket of account-admin; otp-api has one beside it.
    pub socket: PathBuf,
}

impl Operator {
    /// Path of otp-api's unix socket: that of account-admin with the ending `otp.sock`.
    pub fn otp_socket(&self) -> PathBuf {
        self.socket.with_extension("otp.sock")
    }
}

/// The commented defaults of everything that can be set.
pub fn defaults() -> String {
    [
        SHARED,
        identity::config::SETTINGS,
        otp_dispatch::config::SETTINGS,
        account_admin::SETTINGS,
        gateway::SETTINGS,
    ]
    .join("\n")
}

impl ProcessConfig for Config {
    fn load(file: Option<&Path>) -> Result<Self> {
        Self::load(file)
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

impl Config {
    /// The defaults, then the file, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        Self::layered(file, std::env::vars())
    }

    /// The same with the environment given, so that tests need not change the process's own.
    pub fn layered(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut secrets = vec!["database.url", "challenges.url", "queue.url"];
        secrets.extend(identity::config::SECRETS);
        secrets.extend(otp_dispatch::config::SECRETS);
        secrets.sort_unstable();
        secrets.dedup();
        let defaults = defaults();
        let mut variables: Vec<(String, String)> = variables.into_iter().collect();
        let portal: Portal =
            sallyport_chassis::config::load(&defaults, &secrets, file, variables.clone())?;
        let url = url::Url::parse(&portal.portal_url)
            .with_context(|| format!("portal_url {} is not a URL", portal.portal_url))?;
        let host = url.host_str().context("portal_url has no host")?;
        // One value in three places: the last layer, so that they cannot differ.
        for (key, value) in [
            ("SALLYPORT__GATEWAY__PORTAL_URL", portal.portal_url.as_str()),
            (
                "SALLYPORT__IDENTITY__PORTAL_URL",
                portal.portal_url.as_str(),
            ),
            ("SALLYPORT__OTP__HOST", host),
        ] {
            variables.retain(|(name, _)| name != key);
            variables.push((key.to_owned(), value.to_owned()));
        }
        let config: Self = sallyport_chassis::config::load(&defaults, &secrets, file, variables)?;
        config.identity().check()?;
        config.otp().check()?;
        config.account_admin().check()?;
        config.gateway().check()?;
        Ok(config)
    }

    pub(crate) fn identity(&self) -> identity::config::Config {
        identity::config::Config {
            profile: self.profile,
            listen: None,
            database: self.database.clone(),
            keys: self.keys.clone(),
            telemetry: self.telemetry.clone(),
            peers: None,
            identity: self.identity.clone(),
        }
    }

    pub(crate) fn otp(&self) -> otp_dispatch::config::Config {
        otp_dispatch::config::Config {
            profile: self.profile,
            listen: None,
            keys: self.keys.clone(),
            telemetry: self.telemetry.clone(),
            database: self.database.clone(),
            challenges: self.challenges.clone(),
            queue: self.queue.clone(),
            otp: self.otp.clone(),
        }
    }

    pub(crate) fn account_admin(&self) -> account_admin::Config {
        account_admin::Config {
            profile: self.profile,
            listen: None,
            database: self.database.clone(),
            telemetry: self.telemetry.clone(),
            peers: None,
            account_admin: self.account_admin.clone(),
        }
    }

    pub(crate) fn gateway(&self) -> gateway::Config {
        gateway::Config {
            profile: self.profile,
            listen: Some(gateway::Listen {
                address: self.listen.address,
            }),
            telemetry: self.telemetry.clone(),
            peers: None,
            gateway: self.gateway.clone(),
        }
    }
}
