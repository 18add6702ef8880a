//! What can be set.

mod passkeys;
mod second_step;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::Secret;
use sallyport_chassis::config::{KeysConfig, ListenConfig, PeerConfig, Profile, TelemetryConfig};
use sallyport_sql::DatabaseConfig;
use serde::{Deserialize, Serialize};

pub use passkeys::PasskeySettings;
pub use second_step::SecondStepSettings;

/// Commented defaults of the `[identity]` section.
pub const SETTINGS: &str = include_str!("../defaults.toml");
/// Commented defaults of what a process of its own needs besides.
pub const PROCESS: &str = include_str!("../process.toml");
/// Dotted keys that may also be given as `…_file`.
pub const SECRETS: &[&str] = &["database.url", "identity.mail.smtp.password"];

/// Least cost of argon2id (OWASP password storage): 19 MiB, two passes, one lane.
const LEAST_MEMORY_KIB: u32 = 19 * 1024;
const LEAST_PASSES: u32 = 2;

/// The whole configuration of the service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the deployment is for.
    pub profile: Profile,
    /// Where a process of its own listens; unused inside another process.
    #[serde(default)]
    pub listen: Option<ListenConfig>,
    /// The service's database.
    pub database: DatabaseConfig,
    /// Where `lookup.keys`, `pepper.keys` and `totp.keys` are.
    pub keys: KeysConfig,
    /// Logs, traces and metrics; unused inside another process.
    pub telemetry: TelemetryConfig,
    /// The services that this one calls; unused inside another process.
    #[serde(default)]
    pub peers: Option<PeersConfig>,
    /// The service's own section.
    pub identity: Settings,
}

/// The `[peers]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeersConfig {
    /// Makes and checks codes.
    pub otp_api: PeerConfig,
    /// Takes events.
    pub account_admin: PeerConfig,
}

/// The `[identity]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where people reach the portal; links in mails start with it.
    pub portal_url: url_text::PortalUrl,
    /// Passwords and their hashing.
    pub password: PasswordSettings,
    /// Sessions.
    pub sessions: SessionSettings,
    /// Limits on wrong passwords.
    pub guesses: GuessSettings,
    /// Limits on wrong codes, and what is remembered for how long.
    pub second_step: SecondStepSettings,
    /// What passkeys are bound to.
    pub passkeys: PasskeySettings,
    /// One-time links.
    pub links: LinkSettings,
    /// How mail leaves.
    pub mail: MailSettings,
}

/// Passwords and their hashing.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordSettings {
    /// Fewest code points where the password is the only factor.
    pub minimum_alone: usize,
    /// Fewest code points where a second factor is asked too.
    pub minimum_with_second_factor: usize,
    /// Memory of argon2id, KiB.
    pub memory_kib: u32,
    /// Passes of argon2id.
    pub passes: u32,
    /// Lanes of argon2id.
    pub lanes: u32,
    /// Threads that hash; 0: cores less one.
    pub hash_threads: usize,
    /// Longest estimated wait for a thread.
    #[serde(rename = "longest_queue_milliseconds", with = "milliseconds")]
    pub longest_queue: Duration,
    /// Part of the queue that only remembered browsers may use, percent.
    pub remembered_percent: u32,
    /// How long a typed password counts as fresh.
    #[serde(rename = "fresh_seconds", with = "seconds")]
    pub fresh: Duration,
}

/// Lives of sessions.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// From the first step to the end, whatever happens.
    #[serde(rename = "overall_seconds", with = "seconds")]
    pub overall: Duration,
    /// From the last use to the end.
    #[serde(rename = "idle_seconds", with = "seconds")]
    pub idle: Duration,
    /// How often the last use is written.
    #[serde(rename = "touch_seconds", with = "seconds")]
    pub touch: Duration,
}

/// Limits on wrong passwords.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuessSettings {
    /// Failures of one address within the window, after which it waits.
    pub address_failures: u32,
    /// The window.
    #[serde(rename = "address_window_seconds", with = "seconds")]
    pub address_window: Duration,
    /// The first failure that is followed by a wait.
    pub delay_from_failure: u32,
    /// The first wait; each further failure doubles it.
    #[serde(rename = "first_delay_seconds", with = "seconds")]
    pub first_delay: Duration,
    /// The longest wait.
    #[serde(rename = "longest_delay_seconds", with = "seconds")]
    pub longest_delay: Duration,
    /// Failures in all, from which only a remembered browser or a reset link gets in.
    pub closed_at_failures: u32,
    /// When an untouched count is forgotten.
    #[serde(rename = "forget_seconds", with = "seconds")]
    pub forget: Duration,
}

/// Lives of one-time links.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSettings {
    /// Of a link that resets a password, or lets a disabled second factor be enrolled anew.
    #[serde(rename = "reset_seconds", with = "seconds")]
    pub reset: Duration,
    /// Of an invitation.
    #[serde(rename = "invitation_seconds", with = "seconds")]
    pub invitation: Duration,
    /// Links of each of these two kinds that one user is mailed within an hour.
    pub resets_per_hour: u64,
}

/// How mail leaves.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// The implementation.
    pub route: MailRouteKind,
    /// The sender, `Name <address>`.
    pub from: String,
    /// For the SMTP route.
    pub smtp: SmtpSettings,
}

/// The implementations of the mail route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum MailRouteKind {
    /// Keeps the newest mails in memory, for development and tests.
    #[serde(rename = "inbox:")]
    Inbox,
    /// Hands mails to an SMTP submission server.
    #[serde(rename = "smtp:")]
    Smtp,
}

/// A submission server (RFC 6409).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Its name, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub encryption: SmtpEncryption,
    /// Empty: no authentication.
    #[serde(default)]
    pub username: String,
    /// The user's password.
    #[serde(default)]
    pub password: Secret,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpEncryption {
    /// STARTTLS, required (RFC 3207).
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None: development only.
    None,
}

impl Settings {
    /// What passkeys are bound to; `None` where the portal has an address and no name.
    pub fn relying_party_id(&self) -> Option<String> {
        let host = self.portal_url.domain()?;
        Some(match self.passkeys.rp_id.as_str() {
            "" => host,
            rp_id => rp_id.to_owned(),
        })
    }
}

impl Config {
    /// Reads the defaults, then the file, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let defaults = format!("{PROCESS}\n{SETTINGS}");
        let config: Self =
            sallyport_chassis::config::load(&defaults, SECRETS, file, std::env::vars())?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what must not run, by a sentence that says what to set.
    pub fn check(&self) -> Result<()> {
        let password = &self.identity.password;
        ensure!(
            password.memory_kib >= LEAST_MEMORY_KIB && password.passes >= LEAST_PASSES,
            "identity.password.memory_kib must be at least {LEAST_MEMORY_KIB} and passes at least {LEAST_PASSES}"
        );
        ensure!(
            (1..=64).contains(&password.lanes),
            "identity.password.lanes must be 1 to 64"
        );
        ensure!(
            password.minimum_with_second_factor >= 8
                && password.minimum_alone >= password.minimum_with_second_factor
                && password.minimum_alone <= 64,
            "identity.password.minimum_with_second_factor must be at least 8, minimum_alone at least as much and at most 64"
        );
        ensure!(
            password.remembered_percent <= 90,
            "identity.password.remembered_percent must be at most 90"
        );
        ensure!(
            (1..=100).contains(&self.identity.links.resets_per_hour),
            "identity.links.resets_per_hour must be 1 to 100"
        );
        let sessions = &self.identity.sessions;
        ensure!(
            sessions.overall <= Duration::from_secs(86_400)
                && sessions.idle <= Duration::from_secs(3_600),
            "identity.sessions.overall_seconds must be at most 86400 and idle_seconds at most 3600"
        );
        ensure!(
            sessions.touch < sessions.idle,
            "identity.sessions.touch_seconds must be shorter than idle_seconds"
        );
        let guesses = &self.identity.guesses;
        ensure!(
            (1..=100).contains(&guesses.closed_at_failures)
                && (1..=guesses.closed_at_failures).contains(&guesses.delay_from_failure)
                && guesses.address_failures >= 1,
            "identity.guesses.closed_at_failures must be 1 to 100, delay_from_failure 1 to that, address_failures at least 1"
        );
        self.identity.second_step.check()?;
        let host = self.identity.portal_url.domain();
        self.identity.passkeys.check(host.as_deref())?;
        self.identity
            .mail
            .from
            .parse::<lettre::message::Mailbox>()
            .context("identity.mail.from is not `Name <address>`")?;
        if let Some(peers) = &self.peers {
            peers.otp_api.check("otp_api", self.profile)?;
            peers.account_admin.check("account_admin", self.profile)?;
        }
        self.database.check(self.profile)?;
        if self.profile == Profile::Production {
            self.check_production()?;
        }
        Ok(())
    }

    fn check_production(&self) -> Result<()> {
        let mail = &self.identity.mail;
        ensure!(
            mail.route == MailRouteKind::Smtp,
            "identity.mail.route must be \"smtp:\" with profile = \"production\" (the inbox is for development)"
        );
        ensure!(
            mail.smtp.encryption != SmtpEncryption::None,
            "identity.mail.smtp.encryption must be \"starttls\" or \"tls\" with profile = \"production\""
        );
        ensure!(
            self.identity.portal_url.is_https(),
            "identity.portal_url must start with https:// with profile = \"production\""
        );
        ensure!(
            self.identity.relying_party_id().is_some(),
            "identity.portal_url must have a name with profile = \"production\": no passkey is bound to an address"
        );
        Ok(())
    }
}

mod seconds {
    use super::*;

    pub fn serialize<S: serde::Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(value.as_secs())
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        u64::deserialize(input).map(Duration::from_secs)
    }
}

mod milliseconds {
    use super::*;

    pub fn serialize<S: serde::Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(value.as_millis() as u64)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        u64::deserialize(input).map(Duration::from_millis)
    }
}

/// The portal's address.
pub mod url_text {
    use serde::{Deserialize, Deserializer, Serialize};

    /// An http(s) URL without query, fragment or trailing slash.
    #[derive(Debug, Clone, Serialize)]
    #[serde(transparent)]
    pub struct PortalUrl(String);

    impl PortalUrl {
        /// The page that a one-time link opens.
        pub fn link(&self, token: &str) -> String {
            format!("{}/link/{token}", self.0)
        }

        /// The address itself.
        pub fn as_str(&self) -> &str {
            &self.0
        }

        /// Its host, if that is a name and no address.
        pub fn domain(&self) -> Option<String> {
            let url = url::Url::parse(&self.0).ok()?;
            url.domain().map(str::to_owned)
        }

        /// Whether it is protected.
        pub fn is_https(&self) -> bool {
            self.0.starts_with("https://")
        }
    }

    impl<'de> Deserialize<'de> for PortalUrl {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            use serde::de::Error;
            let text = String::deserialize(input)?;
            let url = url::Url::parse(&text).map_err(D::Error::custom)?;
            let plain = matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none();
            if !plain {
                return Err(D::Error::custom("portal_url is not http(s)://HOST"));
            }
            Ok(Self(text.trim_end_matches('/').to_owned()))
        }
    }
}
