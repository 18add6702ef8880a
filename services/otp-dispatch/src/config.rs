//! What can be set. Both processes read the same file.

mod guard;
mod routes;
mod store;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::SecretUrl;
use sallyport_chassis::config::{
    KeysConfig, ListenConfig, Profile, TelemetryConfig, refuse_plaintext,
};
use sallyport_phone::{Country, ServedCountries};
use sallyport_sql::DatabaseConfig;
use serde::{Deserialize, Serialize};

use crate::domain::challenge::LONGEST_LIFE;
use crate::domain::limits::{Cap, Scope};

pub use self::guard::GuardSettings;
pub use self::routes::{InboxRouteConfig, RouteConfig, SmppRouteConfig};
pub use self::store::{Sentinels, StoreConfig};

/// The commented defaults of this service's own section, for the all-in-one's file.
pub const SETTINGS: &str = include_str!("../defaults.toml");
/// The commented defaults of a process of its own.
pub const PROCESS: &str = include_str!("../process.toml");

/// Dotted keys that may be given as `…_file`.
pub const SECRETS: &[&str] = &[
    "database.url",
    "challenges.url",
    "challenges.sentinel_password",
    "queue.url",
];

/// The whole configuration of a process.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Development or production.
    pub profile: Profile,
    /// Where otp-api listens; unused inside the all-in-one and by sms-dispatcher.
    #[serde(default)]
    pub listen: Option<ListenConfig>,
    /// Where `code.keys`, `seal.keys` and `lookup.keys` are.
    pub keys: KeysConfig,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
    /// What the guard keeps for operators and for later; sms-dispatcher does not open it.
    pub database: DatabaseConfig,
    /// Where challenges, limits and message states live.
    pub challenges: StoreConfig,
    /// The queue between otp-api and the dispatchers.
    pub queue: QueueConfig,
    /// The service's own section.
    pub otp: Settings,
}

/// The `[queue]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// `sqlite://FOLDER`, `amqp://…` or `amqps://…`.
    pub url: SecretUrl,
}

/// The `[otp]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The portal's host, for the last line of every text.
    pub host: String,
    /// ISO 3166-1 alpha-2 codes of the countries served; empty: all.
    pub countries: Vec<String>,
    /// How long a code lives, 60 to 600 seconds.
    pub challenge_seconds: u32,
    /// Wrong codes that end a challenge.
    pub tries: u32,
    /// Messages that one challenge may send, the first included.
    pub sends: u32,
    /// Seconds between two sends of a challenge.
    pub resend_seconds: u32,
    /// How long a notice is tried.
    pub notice_seconds: u32,
    /// How long a request waits for the queue's confirmation.
    pub confirm_seconds: u32,
    /// After how many seconds an unconfirmed message is published again.
    pub sweep_seconds: u32,
    /// How many readers may watch challenges at a time.
    pub watch_streams: u32,
    /// How long the store may take to answer.
    pub store_timeout_milliseconds: u32,
    /// Caps of rule 30.
    pub limits: Limits,
    /// The pumping guard of rule 31.
    pub guard: GuardSettings,
    /// The ways to carriers.
    pub routes: Vec<RouteConfig>,
}

/// The `[otp.limits]` section: sends in any hour and in any day.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// By number.
    pub number: Cap,
    /// By user.
    pub user: Cap,
    /// By client address.
    pub ip: Cap,
    /// By number block.
    pub prefix: Cap,
    /// By country.
    pub country: Cap,
}

impl Limits {
    /// The figures of a scope.
    pub fn cap(&self, scope: Scope) -> Cap {
        match scope {
            Scope::Number => self.number,
            Scope::User => self.user,
            Scope::Ip => self.ip,
            Scope::Prefix => self.prefix,
            Scope::Country => self.country,
        }
    }
}

impl Config {
    /// The defaults, then the file, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let defaults = format!("{PROCESS}\n{SETTINGS}");
        let config: Self =
            sallyport_chassis::config::load(&defaults, SECRETS, file, std::env::vars())?;
        ensure!(
            config.challenges.url.scheme() != "memory",
            "challenges.url must be redis:// or rediss:// (memory: lives in one process, and \
             otp-api and sms-dispatcher are two)"
        );
        config.check()?;
        Ok(config)
    }

    /// Refuses figures that cannot work, and in production what only development may have.
    pub fn check(&self) -> Result<()> {
        let otp = &self.otp;
        ensure!(
            (60..=LONGEST_LIFE.as_secs()).contains(&u64::from(otp.challenge_seconds)),
            "otp.challenge_seconds must be 60 to {}",
            LONGEST_LIFE.as_secs()
        );
        ensure!((1..=10).contains(&otp.tries), "otp.tries must be 1 to 10");
        ensure!((1..=10).contains(&otp.sends), "otp.sends must be 1 to 10");
        for (key, value) in [
            ("notice_seconds", otp.notice_seconds),
            ("confirm_seconds", otp.confirm_seconds),
            ("sweep_seconds", otp.sweep_seconds),
            ("watch_streams", otp.watch_streams),
            ("store_timeout_milliseconds", otp.store_timeout_milliseconds),
        ] {
            ensure!(value > 0, "otp.{key} must be above 0");
        }
        for scope in Scope::ALL {
            let cap = otp.limits.cap(scope);
            ensure!(
                (1..=100_000).contains(&cap.per_day) && (1..=cap.per_day).contains(&cap.per_hour),
                "otp.limits.{}: per_hour and per_day must be 1 to 100000, and per_hour no more \
                 than per_day",
                scope.name()
            );
        }
        otp.guard.check()?;
        otp.served()?;
        self.challenges.check(self.profile)?;
        let queue = &self.queue.url;
        let encrypted = queue.scheme() == "amqps";
        refuse_plaintext(self.profile, "queue.url", queue, encrypted, "amqps://")?;
        ensure!(
            matches!(
                self.database.url.scheme(),
                "sqlite" | "postgres" | "postgresql"
            ),
            "database.url must be sqlite://FOLDER or postgres://…"
        );
        self.database.check(self.profile)?;
        routes::check(&otp.routes, self.profile)
    }
}

impl Settings {
    /// The countries served.
    pub fn served(&self) -> Result<ServedCountries> {
        if self.countries.is_empty() {
            return Ok(ServedCountries::all());
        }
        let countries = self
            .countries
            .iter()
            .map(|code| {
                code.parse::<Country>()
                    .with_context(|| format!("otp.countries: {code:?} is no country"))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(ServedCountries::from_list(countries))
    }

    /// How long the store may take to answer.
    pub fn store_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.store_timeout_milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<()> {
        let defaults = format!("{PROCESS}\n{SETTINGS}");
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let config: Config = sallyport_chassis::config::load(&defaults, SECRETS, None, variables)?;
        config.check()
    }

    #[test]
    fn the_defaults_are_complete_and_allowed() {
        with(&[]).unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_key_to_set() {
        for (key, value, told) in [
            (
                "SALLYPORT__OTP__CHALLENGE_SECONDS",
                "601",
                "otp.challenge_seconds",
            ),
            ("SALLYPORT__OTP__TRIES", "0", "otp.tries"),
            ("SALLYPORT__OTP__SWEEP_SECONDS", "0", "otp.sweep_seconds"),
            (
                "SALLYPORT__OTP__LIMITS__IP__PER_HOUR",
                "101",
                "otp.limits.ip",
            ),
            ("SALLYPORT__OTP__GUARD__HOUR__LEAST", "0", "otp.guard.hour"),
            (
                "SALLYPORT__OTP__GUARD__DAY__PERCENT",
                "1001",
                "otp.guard.day",
            ),
            (
                "SALLYPORT__OTP__GUARD__KEEP_DAYS",
                "0",
                "otp.guard.keep_days",
            ),
            ("SALLYPORT__DATABASE__URL", "mysql://x", "database.url"),
            ("SALLYPORT__OTP__TRYS", "5", "trys"),
        ] {
            let error = format!("{:#}", with(&[(key, value)]).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn production_refuses_memory() {
        let memory = ("SALLYPORT__CHALLENGES__URL", "memory:");
        with(&[memory]).unwrap();
        let error = with(&[memory, ("SALLYPORT__PROFILE", "production")]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("challenges.url must be redis://"),
            "{error}"
        );
    }
}
