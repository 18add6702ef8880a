//! The way in to a service, as an operator.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use sallyport_chassis::Refusal;
use sallyport_chassis::channel::{Outgoing, connect, connect_unix};
use sallyport_chassis::config::{PeerConfig, TlsConfig};

/// The all-in-one's socket, or the service with an operator's certificate.
#[derive(Args)]
pub(crate) struct Door {
    /// The all-in-one's operator socket.
    #[arg(long, conflicts_with = "url")]
    socket: Option<PathBuf>,
    /// The service, e.g. https://localhost:7103
    #[arg(long, requires_all = ["cert", "key", "ca"])]
    url: Option<String>,
    /// The operator's certificate (PEM).
    #[arg(long)]
    cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long)]
    key: Option<PathBuf>,
    /// The authority of the service's certificate (PEM).
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl Door {
    /// A channel to the service of this name.
    pub(crate) fn open(self, service: &'static str) -> Result<Outgoing> {
        match self {
            Self {
                socket: Some(path), ..
            } => Ok(connect_unix(path)),
            Self {
                url: Some(url),
                cert: Some(cert_file),
                key: Some(key_file),
                ca: Some(ca_file),
                ..
            } => {
                let peer = PeerConfig {
                    url,
                    tls: Some(TlsConfig {
                        cert_file,
                        key_file,
                        ca_file,
                    }),
                };
                connect(&peer, service)
            }
            _ => bail!("give --socket FILE, or --url with --cert, --key and --ca"),
        }
    }
}

/// A refusal as its reason code, the fields it is about, and when to try again.
pub(crate) fn told(status: tonic::Status) -> anyhow::Error {
    let Some(refusal) = Refusal::from_status(&status) else {
        return anyhow::Error::new(status).context("the call failed; is the service up?");
    };
    let mut text = format!("refused: {}", refusal.reason);
    for (field, reason) in &refusal.fields {
        text.push_str(&format!("\n  {field}: {reason}"));
    }
    if let Some(delay) = refusal.retry_after {
        text.push_str(&format!("\n  try again in {} s", delay.as_secs()));
    }
    anyhow::anyhow!(text)
}
