//! The `[challenges]` section: where challenges, limits and message states live.

use anyhow::{Context, Result, ensure};
use sallyport_chassis::config::{Profile, refuse_plaintext};
use sallyport_chassis::{Secret, SecretUrl};
use serde::{Deserialize, Serialize};

/// What a URL that names sentinels looks like.
const FORM: &str = "redis+sentinel://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/NAME[/DATABASE], or \
                    rediss+sentinel:// with the same";

/// The `[challenges]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `memory:`, `redis://…`, `rediss://…`, `redis+sentinel://…` or `rediss+sentinel://…`.
    pub url: SecretUrl,
    /// Who the service is at the sentinels; empty: their default user.
    #[serde(default)]
    pub sentinel_user: String,
    /// Its password there; empty: the sentinels ask for none.
    #[serde(default)]
    pub sentinel_password: Secret,
}

/// What a URL that names sentinels says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// Whether TLS is spoken, with the sentinels and with the primary.
    pub tls: bool,
    /// Each as `HOST:PORT`.
    pub hosts: Vec<String>,
    /// What the sentinels call the primary.
    pub primary: String,
    /// The numbered database.
    pub database: u32,
    /// `USER:PASSWORD` at the primary, as the URL has it, or nothing.
    pub user_information: Secret,
}

impl StoreConfig {
    /// A store whose sentinels, if there are any, ask for no password.
    pub fn at(url: SecretUrl) -> Self {
        Self {
            url,
            sentinel_user: String::new(),
            sentinel_password: Secret::default(),
        }
    }

    /// The sentinels, where the URL names some.
    ///
    /// # Errors
    /// The URL has another form. What it says is not repeated, since a misplaced password may be
    /// part of it.
    pub fn sentinels(&self) -> Result<Option<Sentinels>> {
        let tls = match self.url.scheme() {
            "redis+sentinel" => false,
            "rediss+sentinel" => true,
            _ => return Ok(None),
        };
        let sentinels = Sentinels::parse(self.url.expose(), tls)
            .with_context(|| format!("challenges.url is not of the form {FORM}"))?;
        Ok(Some(sentinels))
    }

    /// Refuses what cannot work, and in production what only development may have.
    pub(super) fn check(&self, profile: Profile) -> Result<()> {
        ensure!(
            profile == Profile::Development || self.url.scheme() != "memory",
            "challenges.url must be redis:// or rediss:// with profile = \"production\" (memory: \
             is lost with the process)"
        );
        ensure!(
            self.sentinel_user.is_empty() || !self.sentinel_password.is_empty(),
            "challenges.sentinel_user needs challenges.sentinel_password"
        );
        let Some(sentinels) = self.sentinels()? else {
            ensure!(
                self.sentinel_password.is_empty(),
                "challenges.sentinel_password goes with a challenges.url of redis+sentinel:// or \
                 rediss+sentinel://"
            );
            let encrypted = self.url.scheme() == "rediss";
            return refuse_plaintext(profile, "challenges.url", &self.url, encrypted, "rediss://");
        };
        // Wherever the sentinels are, the primary that they name may be anywhere.
        ensure!(
            profile == Profile::Development || sentinels.tls,
            "challenges.url must be rediss+sentinel:// with profile = \"production\", since the \
             sentinels can name a primary on any machine"
        );
        Ok(())
    }
}

impl Sentinels {
    fn parse(url: &str, tls: bool) -> Result<Self> {
        let (_, rest) = url.split_once("://").context("no :// after the scheme")?;
        ensure!(!rest.contains(['?', '#']), "nothing follows a ? or a #");
        let (authority, path) = rest.split_once('/').context("no name of the primary")?;
        let (user_information, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let hosts = hosts.split(',').enumerate();
        let hosts = hosts
            .map(|(index, host)| {
                with_port(host.trim()).with_context(|| format!("sentinel {}", index + 1))
            })
            .collect::<Result<Vec<_>>>()?;
        let (primary, database) = path.split_once('/').unwrap_or((path, "0"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure!(
            !primary.is_empty() && primary.chars().all(plain),
            "the primary's name consists of letters, digits, '.', '_' and '-'"
        );
        let database = database
            .parse::<u32>()
            .context("the database is a number")?;
        Ok(Self {
            tls,
            hosts,
            primary: primary.to_owned(),
            database,
            user_information: Secret::new(user_information),
        })
    }
}

/// A sentinel with its port: the usual one where none is given.
fn with_port(host: &str) -> Result<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "26379"),
    };
    let bracketed = name.starts_with('[') && name.ends_with(']');
    ensure!(
        !name.is_empty() && (bracketed || !name.contains([':', '[', ']'])),
        "no host, or an IPv6 address without brackets"
    );
    let port = port.parse::<u16>().context("the port is a number")?;
    Ok(format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinels(url: &str) -> Result<Option<Sentinels>> {
        StoreConfig::at(SecretUrl::new(url)).sentinels()
    }

    #[test]
    fn a_url_names_sentinels_and_what_they_call_the_primary() {
        let read = sentinels("redis+sentinel://a.example:1,10.0.0.2,[::1]:3,[::2]/primary");
        assert_eq!(
            read.unwrap().unwrap(),
            Sentinels {
                tls: false,
                hosts: ["a.example:1", "10.0.0.2:26379", "[::1]:3", "[::2]:26379"]
                    .map(str::to_owned)
                    .to_vec(),
                primary: "primary".to_owned(),
                database: 0,
                user_information: Secret::default(),
            }
        );
        let read = sentinels("rediss+sentinel://portal:p%2Fa@ss@a:1, b:2/my-primary.1/7");
        let read = read.unwrap().unwrap();
        assert!(read.tls);
        assert_eq!(read.hosts, ["a:1", "b:2"]);
        assert_eq!((read.primary.as_str(), read.database), ("my-primary.1", 7));
        assert_eq!(read.user_information.expose(), "portal:p%2Fa@ss");
        assert_eq!(sentinels("redis://a:1/0").unwrap(), None);
        assert_eq!(sentinels("memory:").unwrap(), None);
    }

    #[test]
    fn what_names_no_primary_is_refused_by_its_reason_and_without_its_password() {
        for (url, told) in [
            ("redis+sentinel:a:1/primary", "no ://"),
            ("redis+sentinel://a:1", "no name of the primary"),
            ("redis+sentinel://a:1/", "the primary's name"),
            ("redis+sentinel://a:1/my primary", "the primary's name"),
            ("redis+sentinel://a:1/primary/x", "the database"),
            ("redis+sentinel://a:1/primary/", "the database"),
            ("redis+sentinel://a:1/primary/-1", "the database"),
            ("redis+sentinel://a:1/primary?db=1", "a ? or a #"),
            ("rediss+sentinel://a:1/primary#insecure", "a ? or a #"),
            ("redis+sentinel:///primary", "sentinel 1"),
            ("redis+sentinel://a:1,,b:2/primary", "sentinel 2"),
            ("redis+sentinel://a:1,b:x/primary", "the port is a number"),
            (
                "redis+sentinel://a:1,b:99999/primary",
                "the port is a number",
            ),
            ("redis+sentinel://::1:26379/primary", "without brackets"),
            ("redis+sentinel://u:hunter2/x@a:1/primary", "sentinel 1"),
        ] {
            let error = format!("{:#}", sentinels(url).unwrap_err());
            assert!(
                error.contains("challenges.url") && error.contains(told),
                "{url}: {error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn production_speaks_tls_with_sentinels_wherever_they_are() {
        let check = |url: &str, profile| StoreConfig::at(SecretUrl::new(url)).check(profile);
        let plain = "redis+sentinel://localhost:1/primary";
        check(plain, Profile::Development).unwrap();
        let error = check(plain, Profile::Production).unwrap_err().to_string();
        assert!(error.contains("rediss+sentinel://"), "{error}");
        check("rediss+sentinel://a:1,b:2/primary", Profile::Production).unwrap();
    }

    #[test]
    fn credentials_of_sentinels_go_with_sentinels() {
        let check = |url: &str, user: &str, password: &str| {
            let config = StoreConfig {
                url: SecretUrl::new(url),
                sentinel_user: user.to_owned(),
                sentinel_password: Secret::new(password),
            };
            config
                .check(Profile::Development)
                .map_err(|error| error.to_string())
        };
        let sentinels = "redis+sentinel://a:1/primary";
        check(sentinels, "portal", "secret").unwrap();
        check(sentinels, "", "secret").unwrap();
        let error = check(sentinels, "portal", "").unwrap_err();
        assert!(error.contains("challenges.sentinel_password"), "{error}");
        let error = check("redis://a:1", "", "secret").unwrap_err();
        assert!(error.contains("redis+sentinel://"), "{error}");
    }
}
