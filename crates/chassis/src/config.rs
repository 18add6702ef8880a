//! Layered configuration: the commented `defaults.toml` in the binary, then a file, then the
//! environment (`SALLYPORT__SECTION__KEY`). Unknown keys are refused. Every secret can be given as
//! `KEY_file`, the path of a file that holds it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::SecretUrl;
use crate::keyring::Keyring;

/// What a deployment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A laptop or a test: embedded stores, the inbox and plain loopback listeners are allowed.
    Development,
    /// Users depend on it: those are refused at start.
    Production,
}

/// Where a service listens.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Socket address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS with client certificates; required off loopback and in production.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Connections served at once.
    pub max_connections: u32,
    /// Those from one address (IPv6: one /64).
    pub max_connections_per_address: u32,
}

/// Certificate, key and the authority that peers' certificates must come from (PEM files).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Our certificate chain.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The authority of the other side's certificates.
    pub ca_file: PathBuf,
}

/// Another service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// `https://host:port`, or `http://` on loopback in development.
    pub url: String,
    /// Our client certificate.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

impl PeerConfig {
    /// Refuses, in production, a peer that is not called with mutual TLS; `name` is its key under
    /// `[peers]`.
    ///
    /// # Errors
    /// A sentence that says what to set.
    pub fn check(&self, name: &str, profile: Profile) -> Result<()> {
        ensure!(
            profile == Profile::Development
                || self.tls.is_some() && self.url.starts_with("https://"),
            "peers.{name}.url must be https:// and peers.{name}.tls set with profile = \"production\""
        );
        Ok(())
    }
}

/// The `[keys]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The folder of the key files, each of mode 0600.
    pub folder: PathBuf,
}

impl KeysConfig {
    /// Opens a ring. Development makes a missing one; production wants it there, since a ring made
    /// anew on each replica would verify and open nobody else's.
    ///
    /// # Errors
    /// The file is missing, malformed, or may be read by others.
    pub fn ring(&self, file: &str, profile: Profile) -> Result<Keyring> {
        let path = self.folder.join(file);
        match profile {
            Profile::Development => Keyring::load_or_create(&path),
            Profile::Production => Keyring::load(&path),
        }
        .with_context(|| format!("keys.folder: {file}"))
    }
}

/// Refuses, in production, a server on another machine that is reached without TLS: whoever sits on
/// the way would read and change what the service relies on. `encrypted` says what to set.
///
/// # Errors
/// A sentence that says what to set.
pub fn refuse_plaintext(
    profile: Profile,
    key: &str,
    url: &SecretUrl,
    is_encrypted: bool,
    encrypted: &str,
) -> Result<()> {
    ensure!(
        profile == Profile::Development || is_encrypted || url.is_local(),
        "{key} must be {encrypted} with profile = \"production\", unless the server is on this machine"
    );
    Ok(())
}

/// Logs, traces and metrics.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Filter directives, e.g. `info,sallyport=debug`.
    pub log: String,
    /// `pretty` or `json`.
    pub log_format: LogFormat,
    /// OTLP collector (gRPC), e.g. `http://127.0.0.1:4317`; empty: traces are not exported.
    #[serde(default)]
    pub otlp_endpoint: String,
    /// Where `/metrics` answers; empty: nowhere.
    #[serde(default)]
    pub metrics_address: String,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Reads a configuration.
///
/// `defaults` is the commented TOML in the binary; `secrets` lists the dotted keys that may be given
/// as `…_file`; `variables` is the environment, passed in so that tests need not change the
/// process's own.
pub fn load<T: DeserializeOwned>(
    defaults: &str,
    secrets: &[&str],
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T> {
    let mut builder = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("configuration file {} cannot be read", path.display()))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    // Only names of ours: SALLYPORT__SECTION__KEY. Others (SALLYPORT_TEST_…) are not configuration.
    let ours: HashMap<String, String> = variables
        .into_iter()
        .filter(|(key, _)| key.starts_with("SALLYPORT__"))
        .collect();
    // A secret is its text: "0123" is no number.
    let texts: Vec<_> = secrets
        .iter()
        .filter_map(|key| {
            let name = format!("SALLYPORT__{}", key.replace('.', "__").to_uppercase());
            Some((*key, ours.get(&name)?.clone()))
        })
        .collect();
    let environment = Environment::with_prefix("SALLYPORT")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .source(Some(ours));
    builder = builder.add_source(environment);
    let layered = builder.build().context("configuration")?;
    let mut merged = Config::builder().add_source(layered.clone());
    for (key, text) in texts {
        merged = merged.set_override(key, text)?;
    }
    for key in secrets {
        if let Ok(path) = layered.get_string(&format!("{key}_file")) {
            if path.is_empty() {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{key}_file {path} cannot be read"))?;
            merged = merged.set_override(*key, text.trim_end().to_owned())?;
        }
    }
    let mut tree: toml::Table = merged.build()?.try_deserialize().context("configuration")?;
    for key in secrets {
        remove(&mut tree, &format!("{key}_file"));
    }
    let text = toml::to_string(&tree)?;
    match toml::from_str(&text) {
        Ok(config) => Ok(config),
        Err(error) => bail!("configuration: {}", error.message()),
    }
}

fn remove(tree: &mut toml::Table, key: &str) {
    match key.split_once('.') {
        None => {
            tree.remove(key);
        }
        Some((section, rest)) => {
            if let Some(toml::Value::Table(inner)) = tree.get_mut(section) {
                remove(inner, rest);
            }
        }
    }
}

/// The effective values as TOML, secrets masked: what `config check` prints.
pub fn effective<T: Serialize>(config: &T) -> Result<String> {
    Ok(toml::to_string_pretty(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        profile: Profile,
        database: Database,
        limit: u32,
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Database {
        url: SecretUrl,
        #[serde(default)]
        password: Secret,
    }

    const DEFAULTS: &str =
        "profile = \"development\"\nlimit = 5\n[database]\nurl = \"sqlite://data\"\n";

    fn read(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Sample> {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(DEFAULTS, &["database.password"], file, variables)
    }

    #[test]
    fn environment_beats_file_beats_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(
            &file,
            "limit = 6\n[database]\nurl = \"postgres://u:p@h/d\"\n",
        )
        .unwrap();
        let config = read(Some(&file), &[("SALLYPORT__LIMIT", "7")]).unwrap();
        assert_eq!(config.limit, 7);
        assert_eq!(config.database.url.scheme(), "postgres");
        assert_eq!(read(None, &[]).unwrap().limit, 5);
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_stand() {
        let error = read(None, &[("SALLYPORT__DATABASE__ULR", "x")]).unwrap_err();
        assert!(error.to_string().contains("ulr"), "{error}");
        assert!(read(None, &[("SALLYPORT_TEST_THING", "x")]).is_ok());
    }

    #[test]
    fn a_secret_can_come_from_a_file_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hunter2\n").unwrap();
        let path = file.display().to_string();
        let config = read(None, &[("SALLYPORT__DATABASE__PASSWORD_FILE", &path)]).unwrap();
        assert_eq!(config.database.password.expose(), "hunter2");
        assert!(!effective(&config).unwrap().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn production_wants_tls_to_servers_on_other_machines() {
        let ask = |profile, url: &str| {
            let url = SecretUrl::new(url);
            let encrypted = url.scheme() == "rediss";
            refuse_plaintext(profile, "x.url", &url, encrypted, "rediss://")
        };
        for url in [
            "rediss://cache.example:6379/0",
            "redis://127.0.0.1:6379/0",
            "redis://u:p@localhost:6379",
            "redis://[::1]:6379",
            "memory:",
            "sqlite://data",
            "postgres:///sallyport?host=/run/postgresql",
        ] {
            ask(Profile::Production, url).unwrap();
        }
        for url in [
            "redis://cache.example:6379/0",
            "amqp://u:localhost@a:1,b:2/vh",
            "amqp://localhost:1,b:2/vh",
            "redis://localhost.example",
        ] {
            ask(Profile::Development, url).unwrap();
            let error = ask(Profile::Production, url).unwrap_err();
            assert!(
                error.to_string().contains("x.url must be rediss://"),
                "{url}"
            );
        }
    }

    #[test]
    fn production_wants_its_keys_there_and_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeysConfig {
            folder: folder.path().join("keys"),
        };
        let refused = keys.ring("code.keys", Profile::Production).unwrap_err();
        let told = format!("{refused:#}");
        assert!(told.contains("keys.folder: code.keys"), "{told}");
        assert!(told.contains("cannot be read"), "{told}");
        assert!(!keys.folder.exists(), "neither the ring nor its folder");
        let made = keys.ring("code.keys", Profile::Development).unwrap();
        let found = keys.ring("code.keys", Profile::Production).unwrap();
        assert_eq!(found.lookup(&[b"x"]), made.lookup(&[b"x"]));
    }

    #[test]
    fn a_secret_of_digits_stays_the_text_it_is() {
        let config = read(None, &[("SALLYPORT__DATABASE__PASSWORD", "0123456789")]).unwrap();
        assert_eq!(config.database.password.expose(), "0123456789");
    }
}
