//! What can be set, parsed into types that cannot be wrong.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::config::{PeerConfig, Profile, TelemetryConfig};
use serde::{Deserialize, Serialize};
use url::Url;

/// The commented defaults of the section `[gateway]`.
pub const SETTINGS: &str = include_str!("../defaults.toml");
/// The commented defaults of a process of its own.
pub const PROCESS: &str = include_str!("../process.toml");

/// The configuration of a gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the deployment is for.
    pub profile: Profile,
    /// Where it listens; unused in the all-in-one, which binds the socket itself.
    pub listen: Option<Listen>,
    /// Logs, traces and metrics; unused in the all-in-one.
    pub telemetry: TelemetryConfig,
    /// The services behind it; unused in the all-in-one.
    pub peers: Option<Peers>,
    /// The gateway's own section.
    pub gateway: Settings,
}

/// The public socket.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Socket address; port 0 takes a free one.
    pub address: SocketAddr,
}

/// The services behind the gateway.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Sign-in, sessions, codes and factors.
    pub identity: PeerConfig,
    /// Number rules and, in development, the SMS inbox.
    pub otp_api: PeerConfig,
    /// Profiles, users, licences, domains and events.
    pub account_admin: PeerConfig,
}

/// The section `[gateway]`; every key is explained in `defaults.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The portal's address as people type it.
    pub portal_url: String,
    /// The name in the top bar before sign-in.
    pub portal_name: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How long a request may take, in seconds.
    pub request_seconds: u32,
    /// How long a browser keeps the token of a remembered browser, in days.
    pub remember_browser_days: u32,
    /// Connections served at once.
    pub max_connections: u32,
    /// Those from one address (IPv6: one /56); behind proxies they count for nobody.
    pub max_connections_per_address: u32,
    /// TLS of the public listener.
    #[serde(default)]
    pub tls: Option<PublicTls>,
}

/// Certificate and key of the public listener (PEM files).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublicTls {
    /// The certificate chain.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

impl Config {
    /// Reads the configuration of a process of its own: defaults, then the file, then the
    /// environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let defaults = format!("{PROCESS}\n{SETTINGS}");
        let config: Self = sallyport_chassis::config::load(&defaults, &[], file, std::env::vars())?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot work, by a sentence that says what to set.
    pub fn check(&self) -> Result<()> {
        let url = self.gateway.url()?;
        ensure!(
            (1..=300).contains(&self.gateway.request_seconds),
            "gateway.request_seconds must be between 1 and 300"
        );
        ensure!(
            self.gateway.max_connections > 0 && self.gateway.max_connections_per_address > 0,
            "gateway.max_connections and max_connections_per_address must be at least 1"
        );
        let covered = self.gateway.tls.is_some() || !self.gateway.trusted_proxies.is_empty();
        if let Some(listen) = &self.listen {
            ensure!(
                covered || listen.address.ip().is_loopback(),
                "listen.address {} is not on loopback: set gateway.tls, or gateway.trusted_proxies \
                 where a proxy in front does TLS",
                listen.address
            );
        }
        if self.profile == Profile::Development {
            // Its inbox shows every code and link to whoever asks.
            let local = match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            };
            let listens_here = self
                .listen
                .as_ref()
                .is_none_or(|listen| listen.address.ip().is_loopback());
            ensure!(
                local && listens_here,
                "profile = \"development\" is for one machine: gateway.portal_url must be on localhost \
                 and listen.address on loopback; set profile = \"production\" for anything else"
            );
        }
        if self.profile == Profile::Production {
            ensure!(
                url.scheme() == "https",
                "gateway.portal_url must start with https:// with profile = \"production\""
            );
            ensure!(
                covered,
                "with profile = \"production\" set gateway.tls, or gateway.trusted_proxies where a \
                 proxy in front does TLS"
            );
        }
        if let Some(peers) = &self.peers {
            for (name, peer) in [
                ("identity", &peers.identity),
                ("otp_api", &peers.otp_api),
                ("account_admin", &peers.account_admin),
            ] {
                peer.check(name, self.profile)?;
            }
        }
        Ok(())
    }
}

impl Settings {
    /// The portal's address.
    pub fn url(&self) -> Result<Url> {
        let url = Url::parse(&self.portal_url)
            .with_context(|| format!("gateway.portal_url {} is not a URL", self.portal_url))?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.path() == "/",
            "gateway.portal_url must be http:// or https:// and a host, without a path"
        );
        Ok(url)
    }

    /// The limit of a request.
    pub fn request_limit(&self) -> Duration {
        Duration::from_secs(self.request_seconds.into())
    }
}

/// An address or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address lies in the network. IPv4 inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn same(a: &[u8], b: &[u8], bits: u8) -> bool {
            let (whole, rest) = (usize::from(bits / 8), bits % 8);
            a[..whole] == b[..whole] && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0)
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(&a.octets(), &b.octets(), self.bits),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(&a.octets(), &b.octets(), self.bits),
            _ => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text} is neither an address nor a network such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_| wrong())?,
        };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Config {
        Config::load(None).unwrap()
    }

    #[test]
    fn the_commented_defaults_load_and_pass() {
        assert_eq!(defaults().gateway.url().unwrap().port(), Some(8080));
    }

    #[test]
    fn production_refuses_plain_addresses_by_a_sentence_that_says_what_to_set() {
        let mut config = defaults();
        config.profile = Profile::Production;
        let refused = |config: &Config| config.check().unwrap_err().to_string();
        assert!(refused(&config).contains("gateway.portal_url must start with https"));
        config.gateway.portal_url = "https://portal.example".into();
        assert!(refused(&config).contains("set gateway.tls"));
        config.gateway.trusted_proxies = vec![Network::try_from("10.0.0.0/8".to_owned()).unwrap()];
        assert!(refused(&config).contains("peers.identity"));
    }

    #[test]
    fn a_public_socket_needs_tls_or_a_proxy() {
        let mut config = defaults();
        config.listen = Some(Listen {
            address: "0.0.0.0:80".parse().unwrap(),
        });
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("not on loopback")
        );
    }

    #[test]
    fn development_is_for_one_machine() {
        let refused = |config: &Config| {
            let told = config.check().unwrap_err().to_string();
            assert!(told.contains("is for one machine"), "{told}");
        };
        let mut config = defaults();
        config.gateway.trusted_proxies = vec![Network::try_from("10.0.0.0/8".to_owned()).unwrap()];
        config.check().unwrap();
        config.gateway.portal_url = "https://portal.example".into();
        refused(&config);
        let mut config = defaults();
        config.gateway.trusted_proxies = vec![Network::try_from("10.0.0.0/8".to_owned()).unwrap()];
        config.listen = Some(Listen {
            address: "0.0.0.0:80".parse().unwrap(),
        });
        refused(&config);
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let inside = |net: &str, ip: &str| network(net).unwrap().contains(ip.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.0.1"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("192.0.2.128/25", "192.0.2.129"));
        assert!(!inside("192.0.2.128/25", "192.0.2.127"));
        assert!(inside("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(inside("fd00::/8", "fd12::1"));
        assert!(!inside("::1", "127.0.0.1"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(network("10.0.0.0/33").is_err());
        assert!(network("proxy").is_err());
    }
}
