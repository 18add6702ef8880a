//! The `[[otp.routes]]` list: ways to carriers, each by its kind.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::Secret;
use sallyport_chassis::config::Profile;
use serde::{Deserialize, Serialize};

/// One route.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RouteConfig {
    /// A carrier over SMPP 3.4.
    Smpp(Box<SmppRouteConfig>),
    /// The development inbox: texts stay in memory and reach nobody.
    Inbox(InboxRouteConfig),
}

impl RouteConfig {
    /// The name in states, logs and metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Smpp(route) => &route.name,
            Self::Inbox(route) => &route.name,
        }
    }

    /// The name, where texts go to the carrier without TLS.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Smpp(route) => (!route.tls).then_some(route.name.as_str()),
            Self::Inbox(_) => None,
        }
    }

    /// Lower ones are tried first.
    pub fn priority(&self) -> u32 {
        match self {
            Self::Smpp(route) => route.priority,
            Self::Inbox(route) => route.priority,
        }
    }
}

/// A carrier over SMPP 3.4.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmppRouteConfig {
    /// `a-z`, `0-9` and `-`, at most 32; kept for as long as receipts may come.
    pub name: String,
    /// Lower ones are tried first.
    #[serde(default)]
    pub priority: u32,
    /// The carrier's host.
    pub host: String,
    /// The carrier's port; 2775 by habit, 3550 with TLS.
    pub port: u16,
    /// TLS from the first octet.
    #[serde(default)]
    pub tls: bool,
    /// PEM file of the authorities that the carrier's certificate may come from; needed with TLS.
    #[serde(default)]
    pub tls_ca_file: Option<PathBuf>,
    /// The name in the carrier's certificate where it is not the host.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// At most 15 characters.
    pub system_id: String,
    /// At most 8 characters.
    #[serde(default)]
    pub password: Secret,
    /// A file that holds the password instead.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Most carriers want none.
    #[serde(default)]
    pub system_type: String,
    /// The most messages that may be without an answer at a time, as the contract says.
    #[serde(default = "window")]
    pub window: usize,
    /// How long the carrier may take to answer a message.
    #[serde(default = "response_timeout_seconds")]
    pub response_timeout_seconds: u32,
    /// The sender: a name of at most 11 characters, `+` and a number, or a short code.
    pub source: String,
    /// Type of number of the sender; without it 5 for a name, 1 for a number, 3 for a short code.
    #[serde(default)]
    pub source_ton: Option<u8>,
    /// Numbering plan of the sender; without it 1 for a number and 0 for the others.
    #[serde(default)]
    pub source_npi: Option<u8>,
    /// Whether the carrier is told how long it may try.
    #[serde(default = "yes")]
    pub validity: bool,
}

/// The development inbox.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InboxRouteConfig {
    /// `a-z`, `0-9` and `-`, at most 32.
    pub name: String,
    /// Lower ones are tried first.
    #[serde(default)]
    pub priority: u32,
}

fn window() -> usize {
    10
}

fn response_timeout_seconds() -> u32 {
    5
}

fn yes() -> bool {
    true
}

impl SmppRouteConfig {
    /// The password, from its file if it has one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read_password(&self) -> Result<Secret> {
        match &self.password_file {
            None => Ok(self.password.clone()),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    let (name, path) = (&self.name, path.display());
                    format!("otp.routes: password_file {path} of {name} cannot be read")
                })?;
                Ok(Secret::new(text.trim_end()))
            }
        }
    }
}

/// Refuses lists that cannot work, and in production the inbox.
pub(super) fn check(routes: &[RouteConfig], profile: Profile) -> Result<()> {
    ensure!(
        !routes.is_empty(),
        "otp.routes must name at least one route"
    );
    let mut names = HashSet::new();
    for route in routes {
        let name = route.name();
        ensure!(
            (1..=32).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "otp.routes: the name {name:?} is not 1 to 32 of a-z, 0-9 and -"
        );
        ensure!(
            names.insert(name),
            "otp.routes: the name {name} stands twice"
        );
        match route {
            RouteConfig::Inbox(_) => ensure!(
                profile == Profile::Development,
                "otp.routes must not hold kind = \"inbox\" with profile = \"production\" (its \
                 texts reach nobody); set a route of kind = \"smpp\""
            ),
            RouteConfig::Smpp(smpp) => {
                ensure!(
                    !smpp.tls || smpp.tls_ca_file.is_some(),
                    "otp.routes: {name} has tls, so it needs tls_ca_file"
                );
                ensure!(
                    (1..=60).contains(&smpp.response_timeout_seconds),
                    "otp.routes: response_timeout_seconds of {name} must be 1 to 60"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        routes: Vec<RouteConfig>,
    }

    const SMPP: &str = "[[routes]]\nkind = \"smpp\"\nname = \"a\"\nhost = \"h\"\nport = 2775\n\
                        system_id = \"s\"\nsource = \"SALLYPORT\"\n";
    const INBOX: &str = "[[routes]]\nkind = \"inbox\"\nname = \"inbox\"\n";

    fn refusal(text: &str, profile: Profile) -> Option<String> {
        let read: Result<Sample, _> = toml::from_str(text);
        let checked = read
            .map_err(anyhow::Error::from)
            .and_then(|s| check(&s.routes, profile));
        checked.err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_list_of_both_kinds_is_read_with_its_defaults() {
        let sample: Sample = toml::from_str(&format!("{SMPP}{INBOX}")).unwrap();
        let RouteConfig::Smpp(smpp) = &sample.routes[0] else {
            panic!("{:?}", sample.routes[0]);
        };
        assert_eq!(
            (smpp.window, smpp.response_timeout_seconds, smpp.validity),
            (10, 5, true)
        );
        assert_eq!(
            refusal(&format!("{SMPP}{INBOX}"), Profile::Development),
            None
        );
        assert_eq!(refusal(SMPP, Profile::Production), None);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let told = |text: &str, profile, words: &str| {
            let refusal = refusal(text, profile).unwrap_or_default();
            assert!(refusal.contains(words), "{refusal}");
        };
        told("routes = []", Profile::Development, "at least one");
        told(
            &format!("{SMPP}{SMPP}"),
            Profile::Development,
            "stands twice",
        );
        told(INBOX, Profile::Production, "must not hold kind = \"inbox\"");
        told(
            &format!("{SMPP}tls = true\n"),
            Profile::Production,
            "tls_ca_file",
        );
        told(&format!("{SMPP}windw = 3\n"), Profile::Development, "windw");
        told(
            &SMPP.replace("\"a\"", "\"a+b\""),
            Profile::Development,
            "a-z",
        );
    }

    #[test]
    fn the_password_comes_from_its_file_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let text = format!("{SMPP}password = \"other\"\npassword_file = {path:?}\n");
        let sample: Sample = toml::from_str(&text).unwrap();
        let RouteConfig::Smpp(smpp) = &sample.routes[0] else {
            panic!("{:?}", sample.routes[0]);
        };
        assert_eq!(smpp.read_password().unwrap().expose(), "hunter2");
        assert!(!format!("{smpp:?}").contains("other"));
    }
}
