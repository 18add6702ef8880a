//! The whole system, started for a test: embedded, or on PostgreSQL, Redis, RabbitMQ and a carrier
//! that somebody else wrote. The same services, the same front door; only three URLs differ.

pub mod attack;
pub mod bench;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod portal_client;
pub mod processes;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sallyport::{Config, Wiring};
use sallyport_testkit::{
    ForeignSmsc, ManualClock, SmscOptions, TestDatabase, TestRedis, TestVhost,
};
use tokio_util::sync::CancellationToken;

/// Which stack a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SQLite, challenges in memory, the inbox.
    Embedded,
    /// SQLite, challenges in memory, and SMPP to npm `smpp`.
    Carrier,
    /// PostgreSQL, Redis, RabbitMQ, and SMPP to npm `smpp`.
    Real,
}

/// Servers that live as long as the system.
struct Servers {
    _database: TestDatabase,
    _redis: TestRedis,
    _vhost: TestVhost,
}

/// The running system. It stops when dropped; [`System::stop`] also waits and reports failures.
pub struct System {
    /// The portal's address, `http://localhost:PORT`.
    pub portal: String,
    /// The time of every service.
    pub clock: Arc<ManualClock>,
    /// The first administrator's e-mail.
    pub admin_email: String,
    /// His one-time link.
    pub admin_link: String,
    kind: Kind,
    _servers: Option<Servers>,
    smsc: Option<ForeignSmsc>,
    stop: CancellationToken,
    waiting: Option<tokio::task::JoinHandle<Result<()>>>,
    folder: tempfile::TempDir,
}

impl System {
    /// Starts the system with an organisation and its invited administrator.
    pub async fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let http = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let portal = format!("http://localhost:{}", http.local_addr()?.port());
        let mut variables = vec![
            ("PORTAL_URL", portal.clone()),
            ("LISTEN__ADDRESS", http.local_addr()?.to_string()),
            ("OPERATOR__SOCKET", at("operator.sock")),
            ("KEYS__FOLDER", at("keys")),
            ("DATABASE__URL", format!("sqlite://{}", at("data"))),
            ("QUEUE__URL", format!("sqlite://{}", at("data"))),
        ];
        let servers = match kind {
            Kind::Embedded | Kind::Carrier => None,
            Kind::Real => {
                let database = sallyport_testkit::postgres().await?;
                let redis = sallyport_testkit::redis().await?;
                let vhost = sallyport_testkit::rabbitmq().await?;
                variables.extend([
                    ("DATABASE__URL", database.url.clone()),
                    ("CHALLENGES__URL", redis.url.clone()),
                    ("QUEUE__URL", vhost.url.clone()),
                ]);
                Some(Servers {
                    _database: database,
                    _redis: redis,
                    _vhost: vhost,
                })
            }
        };
        let mut file = None;
        let smsc = match kind {
            Kind::Embedded => None,
            Kind::Carrier | Kind::Real => {
                let smsc = ForeignSmsc::start(SmscOptions::default()).await?;
                let path = folder.path().join("sallyport.toml");
                std::fs::write(&path, smpp_route("foreign", &smsc)?)?;
                file = Some(path);
                Some(smsc)
            }
        };
        let variables = variables
            .into_iter()
            .map(|(k, v)| (format!("SALLYPORT__{k}"), v));
        let config = Config::layered(file.as_deref(), variables)?;
        let clock = Arc::new(ManualClock::new("2026-03-02T15:00:00Z".parse()?));
        let stop = CancellationToken::new();
        let wiring = Wiring {
            http,
            clock: clock.clone(),
        };
        let system = sallyport::start(&config, wiring, stop.clone()).await?;
        let first = system
            .first_administrator()
            .await?
            .context("an empty system")?;
        Ok(Self {
            admin_link: format!("{portal}/link/{}", first.link_token.expose()),
            admin_email: first.email,
            portal,
            clock,
            kind,
            _servers: servers,
            smsc,
            stop,
            waiting: Some(tokio::spawn(system.wait())),
            folder,
        })
    }

    /// Waits until at least `count` SMS with a code have arrived at the number, and gives their
    /// texts, oldest first: from the development inbox, or from the carrier. Notices are passed over.
    pub async fn codes(&self, number: &str, count: usize) -> Result<Vec<String>> {
        match &self.smsc {
            Some(smsc) => codes_at(smsc, number, count).await,
            None => self.inbox(number, count).await,
        }
    }

    /// The inbox says what came after a sequence, and waits while that is nothing.
    async fn inbox(&self, number: &str, count: usize) -> Result<Vec<String>> {
        let (mut texts, mut after) = (Vec::new(), 0);
        while texts.len() < count {
            let answer: serde_json::Value = reqwest::Client::new()
                .get(format!("{}/dev/inbox", self.portal))
                .query(&[
                    ("to", number),
                    ("wait", "20"),
                    ("after", &after.to_string()),
                ])
                .header("accept", "application/json")
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            let list = answer["sms"].as_array().context("no list of SMS")?;
            ensure!(!list.is_empty(), "{} SMS, not {count}", texts.len());
            for sms in list {
                let text = sms["text"].as_str().context("no text")?;
                texts.extend(code_in(text).is_ok().then(|| text.to_owned()));
                after = sms["sequence"].as_u64().context("no sequence")?;
            }
        }
        Ok(texts)
    }

    /// The unix socket at which whoever connects is an operator.
    pub fn operator_socket(&self) -> PathBuf {
        self.folder.path().join("operator.sock")
    }

    /// The folder of the SQLite files; the keys lie elsewhere.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The carrier; the embedded stack has none.
    pub fn smsc(&self) -> Option<&ForeignSmsc> {
        self.smsc.as_ref()
    }

    /// Which stack it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Stops it and waits; a service that failed is the error.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        match self.waiting.take() {
            Some(waiting) => waiting.await?,
            None => Ok(()),
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The `[[otp.routes]]` of a carrier, as TOML; further settings of the route may follow it.
pub fn smpp_route(name: &str, smsc: &ForeignSmsc) -> Result<String> {
    let address = smsc.address();
    let (host, port) = address
        .rsplit_once(':')
        .context("an address without port")?;
    Ok(format!(
        "[[otp.routes]]\nkind = \"smpp\"\nname = \"{name}\"\nhost = \"{host}\"\nport = {port}\n\
         system_id = \"sallyport\"\npassword = \"secret\"\nsource = \"Sallyport\"\n"
    ))
}

/// Waits until at least `count` messages with a code have arrived at a number, and gives their texts,
/// oldest first. Notices are passed over.
pub async fn codes_at(smsc: &ForeignSmsc, number: &str, count: usize) -> Result<Vec<String>> {
    let mut expected = count;
    loop {
        let messages = smsc.wait_for(number, expected).await?;
        expected = messages.len() + 1;
        let texts = messages.into_iter().map(|message| message.text);
        let codes: Vec<_> = texts.filter(|text| code_in(text).is_ok()).collect();
        if codes.len() >= count {
            return Ok(codes);
        }
    }
}

/// The code on the last line of an SMS, `@host #code`.
pub fn code_in(text: &str) -> Result<String> {
    let last = text.lines().last().context("an empty SMS")?;
    let (host, code) = last
        .split_once(" #")
        .context("no `@host #code` on the last line")?;
    ensure!(host == "@localhost", "the last line names {host}");
    ensure!(
        code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()),
        "not a code"
    );
    Ok(code.to_owned())
}
