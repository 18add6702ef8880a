//! How a session is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rusmpp::Pdu;
use rusmpp::pdus::{BindReceiver, BindTransceiver, BindTransmitter};
use rusmpp::types::COctetString;
use rusmpp::values::{InterfaceVersion, Npi, Ton};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

/// What a session may do. A carrier that offers no transceiver gets two [`crate::Bind`]s, one
/// transmitter and one receiver, that share one channel of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindMode {
    /// Sends messages and gets receipts.
    Transceiver,
    /// Sends messages.
    Transmitter,
    /// Gets receipts and inbound messages.
    Receiver,
}

/// A password that shows itself to nobody and is wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the password.
    #[must_use]
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// TLS from the first octet (there is no STARTTLS in SMPP).
#[derive(Clone)]
pub struct Tls {
    pub(crate) client: Arc<rustls::ClientConfig>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// Trusts what `client` trusts, and presents what it presents.
    #[must_use]
    pub fn new(client: Arc<rustls::ClientConfig>) -> Self {
        Self {
            client,
            server_name: None,
        }
    }

    /// Trusts the certificates of a PEM text alone. Many carriers sign their own.
    ///
    /// # Errors
    /// [`ConfigError::Certificates`] if there is none in it, or one cannot be read.
    pub fn trusting(pem: &[u8]) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| ConfigError::Certificates)?;
            roots
                .add(certificate)
                .map_err(|_| ConfigError::Certificates)?;
        }
        if roots.is_empty() {
            return Err(ConfigError::Certificates);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| ConfigError::Certificates)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(Arc::new(client)))
    }

    /// Expects the certificate of this name instead of the host's, for carriers that are reached
    /// by address.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// How a session is made and kept. [`SessionConfig::new`] fills in values that suit most carriers.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The name of the route, in logs and as the `bind` label of metrics.
    pub name: String,
    /// The carrier's host.
    pub host: String,
    /// The carrier's port; 2775 by habit, 3550 with TLS.
    pub port: u16,
    /// TLS, or a bare connection.
    pub tls: Option<Tls>,
    /// At most 15 ASCII characters.
    pub system_id: String,
    /// At most 8 ASCII characters.
    pub password: Password,
    /// At most 12 ASCII characters; most carriers want none.
    pub system_type: String,
    /// What the session may do.
    pub mode: BindMode,
    /// The most `submit_sm` that may be unanswered at a time, 1 to [`SessionConfig::MOST_WINDOW`].
    pub window: usize,
    /// How long a message may wait for a slot of the window.
    pub slot_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// How long connecting, TLS and binding may take together.
    pub bind_timeout: Duration,
    /// After this long without a PDU from the peer it is asked for a sign of life.
    pub enquire_link_interval: Duration,
    /// The longest PDU that is read, in octets, header included.
    pub longest_pdu: usize,
    /// The upper bound of the first wait before a new connection; it doubles from there.
    pub reconnect_first: Duration,
    /// The upper bound of every wait before a new connection.
    pub reconnect_most: Duration,
}

/// A setting that no carrier could accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too long for its field, or not ASCII.
    #[error("{0} is too long for SMPP 3.4 or is not ASCII")]
    Text(&'static str),
    /// Out of bounds.
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
    /// The trusted certificates cannot be read.
    #[error("the trusted certificates cannot be read")]
    Certificates,
}

impl SessionConfig {
    /// The widest window.
    pub const MOST_WINDOW: usize = 4096;

    /// A transceiver with a window of 10, 5 s for an answer and 30 s between signs of life.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        host: impl Into<String>,
        port: u16,
        system_id: impl Into<String>,
        password: Password,
    ) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            port,
            tls: None,
            system_id: system_id.into(),
            password,
            system_type: String::new(),
            mode: BindMode::Transceiver,
            window: 10,
            slot_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            bind_timeout: Duration::from_secs(10),
            enquire_link_interval: Duration::from_secs(30),
            longest_pdu: 64 * 1024,
            reconnect_first: Duration::from_secs(1),
            reconnect_most: Duration::from_secs(60),
        }
    }

    /// Checks everything that can be checked without the carrier.
    ///
    /// # Errors
    /// The first setting at fault.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.window == 0 || self.window > Self::MOST_WINDOW {
            return Err(ConfigError::Bounds("window"));
        }
        if !(1024..=1024 * 1024).contains(&self.longest_pdu) {
            return Err(ConfigError::Bounds("longest_pdu"));
        }
        for (name, value) in [
            ("response_timeout", self.response_timeout),
            ("bind_timeout", self.bind_timeout),
            ("enquire_link_interval", self.enquire_link_interval),
            ("reconnect_first", self.reconnect_first),
        ] {
            if value.is_zero() {
                return Err(ConfigError::Bounds(name));
            }
        }
        if self.reconnect_most < self.reconnect_first {
            return Err(ConfigError::Bounds("reconnect_most"));
        }
        self.bind_pdu().map(drop)
    }

    /// The bind request (SMPP 3.4, 4.1).
    pub(crate) fn bind_pdu(&self) -> Result<Pdu, ConfigError> {
        fn text<const MOST: usize>(
            name: &'static str,
            value: &str,
        ) -> Result<COctetString<1, MOST>, ConfigError> {
            value.parse().map_err(|_| ConfigError::Text(name))
        }
        let system_id = text("system_id", &self.system_id)?;
        let password = text("password", &self.password.0)?;
        let system_type = text("system_type", &self.system_type)?;
        let (version, range) = (InterfaceVersion::Smpp3_4, COctetString::empty());
        let (ton, npi) = (Ton::Unknown, Npi::Unknown);
        Ok(match self.mode {
            BindMode::Transceiver => {
                BindTransceiver::new(system_id, password, system_type, version, ton, npi, range)
                    .into()
            }
            BindMode::Transmitter => {
                BindTransmitter::new(system_id, password, system_type, version, ton, npi, range)
                    .into()
            }
            BindMode::Receiver => {
                BindReceiver::new(system_id, password, system_type, version, ton, npi, range).into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SessionConfig {
        SessionConfig::new(
            "route",
            "localhost",
            2775,
            "sallyport",
            Password::new("hunter2"),
        )
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn the_password_is_never_shown() {
        assert!(!format!("{:?}", config()).contains("hunter2"));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let text = |change: fn(&mut SessionConfig)| {
            let mut config = config();
            change(&mut config);
            config.validate()
        };
        assert_eq!(
            text(|c| c.password = Password::new("123456789")),
            Err(ConfigError::Text("password"))
        );
        assert_eq!(text(|c| c.password = Password::new("12345678")), Ok(()));
        assert_eq!(
            text(|c| c.system_id = "x".repeat(16)),
            Err(ConfigError::Text("system_id"))
        );
        assert_eq!(
            text(|c| c.system_type = "é".into()),
            Err(ConfigError::Text("system_type"))
        );
        assert_eq!(text(|c| c.window = 0), Err(ConfigError::Bounds("window")));
        assert_eq!(
            text(|c| c.window = 5000),
            Err(ConfigError::Bounds("window"))
        );
        assert_eq!(
            text(|c| c.longest_pdu = 15),
            Err(ConfigError::Bounds("longest_pdu"))
        );
        assert_eq!(
            text(|c| c.response_timeout = Duration::ZERO),
            Err(ConfigError::Bounds("response_timeout"))
        );
        assert_eq!(
            text(|c| c.reconnect_most = Duration::ZERO),
            Err(ConfigError::Bounds("reconnect_most"))
        );
    }

    #[test]
    fn trusting_nothing_is_refused() {
        assert_eq!(Tls::trusting(b"").err(), Some(ConfigError::Certificates));
    }
}
