//! Every service as its own process with mutual TLS, on PostgreSQL, Redis, RabbitMQ and a carrier
//! that somebody else wrote: what `make up` runs, on free ports, for tests that need real processes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sallyport_testkit::{
    ForeignSmsc, Port, Postgres, Process, RabbitMq, Ready, Redis, SmscOptions,
};

/// The processes. Dropping it kills them all.
pub struct Processes {
    /// identity
    pub identity: Process,
    /// otp-api
    pub otp_api: Process,
    /// The dispatchers.
    pub dispatchers: Vec<Process>,
    /// account-admin
    pub account_admin: Process,
    /// The gateway.
    pub gateway: Process,
    /// More of identity and otp-api, where they were asked for.
    pub second: Option<Second>,
    /// The carrier.
    pub smsc: ForeignSmsc,
    /// PostgreSQL of its own.
    pub postgres: Postgres,
    /// `postgres://…` of the database with the services' schemas.
    pub database: String,
    /// Redis of its own.
    pub redis: Redis,
    /// RabbitMQ of its own.
    pub rabbitmq: RabbitMq,
    /// The portal's address.
    pub portal: String,
    identity_port: Port,
    otp_port: Port,
    account_admin_port: Port,
    /// Where each program answers `/metrics`.
    metrics_ports: Vec<(&'static str, Port)>,
    _ports: Vec<Port>,
    folder: tempfile::TempDir,
}

/// A second identity, which calls a second otp-api, on the same stores as the first ones.
pub struct Second {
    /// identity
    pub identity: Process,
    /// otp-api
    pub otp_api: Process,
    identity_port: Port,
    otp_port: Port,
    _metrics_ports: [(&'static str, Port); 2],
}

/// The programs, by the names of their binaries.
const PROGRAMS: [&str; 5] = [
    "identity",
    "otp-api",
    "sms-dispatcher",
    "account-admin",
    "gateway",
];

/// The file of the `[[otp.routes]]`, in the folder of its process.
const ROUTES: &str = "otp.toml";

/// What a program's `/metrics` says.
pub struct Metrics(String);

impl Metrics {
    /// Every series, its name with its labels, and its value.
    pub fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' '))
    }

    /// Whether there is a series of this name; of a histogram, its buckets.
    pub fn has(&self, name: &str) -> bool {
        let bucket = format!("{name}_bucket");
        self.series()
            .any(|(series, _)| name_of(series) == name || name_of(series) == bucket)
    }

    /// The sum of a counter's series that have this label (`class="code"`); 0 where nothing was
    /// counted yet.
    pub fn total(&self, name: &str, label: &str) -> Result<u64> {
        let mut total = 0;
        for (series, value) in self.series() {
            if name_of(series) == name && series.contains(label) {
                let value: u64 = value
                    .parse()
                    .with_context(|| format!("{series} is {value}"))?;
                total += value;
            }
        }
        Ok(total)
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// An invited user.
pub struct Invited {
    /// The e-mail to sign in with.
    pub email: String,
    /// `spl_…`
    pub link_token: String,
}

impl Processes {
    /// Starts everything; `settings` are more variables: those of a service by its section
    /// (`OTP__RESEND_SECONDS`), `CHALLENGES__…` for otp-api and the dispatchers, and `TELEMETRY__…`
    /// for all.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_either(settings, false).await
    }

    /// The same with a second identity and a second otp-api.
    pub async fn start_doubled(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_either(settings, true).await
    }

    async fn start_either(settings: &[(&str, &str)], doubled: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        make_certificates(folder.path()).await?;
        let (postgres, redis, rabbitmq, smsc) = tokio::try_join!(
            Postgres::start(),
            Redis::start(),
            RabbitMq::start(),
            ForeignSmsc::start(SmscOptions::default()),
        )?;
        let ports = [Port::take()?, Port::take()?, Port::take()?, Port::take()?];
        let [identity_port, otp_port, account_admin_port, gateway_port] = ports;
        let portal = format!("http://localhost:{}", gateway_port.number());
        let metrics_ports = PROGRAMS
            .iter()
            .map(|program| Ok((*program, Port::take()?)))
            .collect::<Result<Vec<_>>>()?;
        let services = Services {
            folder: folder.path(),
            settings,
            database: postgres.create_database("sallyport").await?,
            redis: redis.url(),
            rabbitmq: rabbitmq.url(),
            route: crate::smpp_route("foreign", &smsc)?,
            portal: portal.clone(),
            identity: identity_port.number(),
            otp: otp_port.number(),
            account_admin: account_admin_port.number(),
            gateway: gateway_port.number(),
            metrics: &metrics_ports,
        };
        let otp_api = services.otp_api().await?;
        let identity = services.identity().await?;
        let account_admin = services.account_admin().await?;
        let dispatchers = vec![services.dispatcher().await?];
        let gateway = services.gateway().await?;
        let second = if doubled {
            Some(services.second().await?)
        } else {
            None
        };
        let database = services.database;
        Ok(Self {
            identity,
            otp_api,
            dispatchers,
            account_admin,
            gateway,
            second,
            smsc,
            postgres,
            database,
            redis,
            rabbitmq,
            portal,
            identity_port,
            otp_port,
            account_admin_port,
            metrics_ports,
            _ports: vec![gateway_port],
            folder,
        })
    }

    /// `localhost:PORT` of identity.
    pub fn identity_address(&self) -> String {
        localhost(&self.identity_port)
    }

    /// `localhost:PORT` of each identity.
    pub fn identity_addresses(&self) -> Vec<String> {
        let second = self.second.as_ref().map(|second| &second.identity_port);
        let ports = std::iter::once(&self.identity_port).chain(second);
        ports.map(localhost).collect()
    }

    /// `localhost:PORT` of each otp-api.
    pub fn otp_addresses(&self) -> Vec<String> {
        let second = self.second.as_ref().map(|second| &second.otp_port);
        let ports = std::iter::once(&self.otp_port).chain(second);
        ports.map(localhost).collect()
    }

    /// `localhost:PORT` of account-admin.
    pub fn account_admin_address(&self) -> String {
        localhost(&self.account_admin_port)
    }

    /// What the `/metrics` of a program says now.
    pub async fn metrics(&self, program: &str) -> Result<Metrics> {
        let address = address_of(&self.metrics_ports, program)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("http://{address}/metrics")).send().await;
        let answer = answer.with_context(|| format!("the metrics of {program}"))?;
        Ok(Metrics(answer.error_for_status()?.text().await?))
    }

    /// Gives the dispatchers these `[[otp.routes]]`, as an operator does: by their file and a restart.
    pub async fn set_routes(&mut self, routes: &str) -> Result<()> {
        for dispatcher in &mut self.dispatchers {
            let status = dispatcher.term().await?;
            ensure!(status.success(), "{status}: {}", dispatcher.log()?);
            std::fs::write(dispatcher.folder().join(ROUTES), routes)?;
            dispatcher.start_again().await?;
        }
        Ok(())
    }

    /// A file of the certificate folder, e.g. `ca.pem` or `gateway.key`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join("certs").join(name)
    }

    /// Makes an organisation with `sallyportctl`, as an operator does, and gives its administrator.
    pub async fn organisation(&self, name: &str, email: &str) -> Result<Invited> {
        let url = format!("https://{}", self.account_admin_address());
        let path = |name: &str| self.certificate(name).display().to_string();
        let output = tokio::process::Command::new(Process::path_of("sallyportctl")?)
            .args(["--output", "json", "org", "create", "--url", &url])
            .args([
                "--cert",
                &path("operator.pem"),
                "--key",
                &path("operator.key"),
            ])
            .args(["--ca", &path("ca.pem"), "--name", name, "--email", email])
            .args(["--first-name", "First", "--last-name", "Administrator"])
            .args(["--idempotency-key", &format!("organisation-{name}")])
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}\naccount-admin says:\n{}\nidentity says:\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.account_admin.log()?,
            self.identity.log()?
        );
        let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let link = made[0]["link"].as_str().context("no link")?;
        let (_, link_token) = link.rsplit_once('/').context("no token")?;
        Ok(Invited {
            email: email.to_owned(),
            link_token: link_token.to_owned(),
        })
    }
}

#[derive(Clone)]
struct Services<'a> {
    folder: &'a Path,
    settings: &'a [(&'a str, &'a str)],
    database: String,
    redis: String,
    rabbitmq: String,
    route: String,
    portal: String,
    identity: u16,
    otp: u16,
    account_admin: u16,
    gateway: u16,
    metrics: &'a [(&'static str, Port)],
}

impl Services<'_> {
    async fn second(&self) -> Result<Second> {
        let (identity_port, otp_port) = (Port::take()?, Port::take()?);
        let metrics_ports = [("identity", Port::take()?), ("otp-api", Port::take()?)];
        let services = Services {
            identity: identity_port.number(),
            otp: otp_port.number(),
            metrics: &metrics_ports,
            ..self.clone()
        };
        let otp_api = services.otp_api().await?;
        let identity = services.identity().await?;
        Ok(Second {
            identity,
            otp_api,
            identity_port,
            otp_port,
            _metrics_ports: metrics_ports,
        })
    }

    async fn identity(&self) -> Result<Process> {
        let mut variables = vec![
            ("DATABASE__URL".to_owned(), self.database.clone()),
            ("KEYS__FOLDER".to_owned(), self.path("keys")),
            ("IDENTITY__PORTAL_URL".to_owned(), self.portal.clone()),
        ];
        variables.extend(self.listen("identity", self.identity));
        variables.extend(self.peer("identity", "OTP_API", self.otp));
        variables.extend(self.peer("identity", "ACCOUNT_ADMIN", self.account_admin));
        self.run("identity", "IDENTITY__", variables, tcp(self.identity))
            .await
    }

    async fn account_admin(&self) -> Result<Process> {
        let mut variables = vec![("DATABASE__URL".to_owned(), self.database.clone())];
        variables.extend(self.listen("account-admin", self.account_admin));
        variables.extend(self.peer("account-admin", "IDENTITY", self.identity));
        self.run(
            "account-admin",
            "ACCOUNT_ADMIN__",
            variables,
            tcp(self.account_admin),
        )
        .await
    }

    async fn otp_api(&self) -> Result<Process> {
        let mut variables = self.backends();
        variables.push(("DATABASE__URL".to_owned(), self.database.clone()));
        variables.extend(self.listen("otp-api", self.otp));
        self.run("otp-api", "OTP__", variables, tcp(self.otp)).await
    }

    async fn dispatcher(&self) -> Result<Process> {
        let ready = Ready::Line("consuming".to_owned());
        self.run("sms-dispatcher", "OTP__", self.backends(), ready)
            .await
    }

    async fn gateway(&self) -> Result<Process> {
        let mut variables = vec![
            (
                "LISTEN__ADDRESS".to_owned(),
                format!("127.0.0.1:{}", self.gateway),
            ),
            ("GATEWAY__PORTAL_URL".to_owned(), self.portal.clone()),
        ];
        variables.extend(self.peer("gateway", "IDENTITY", self.identity));
        variables.extend(self.peer("gateway", "OTP_API", self.otp));
        variables.extend(self.peer("gateway", "ACCOUNT_ADMIN", self.account_admin));
        let ready = Ready::Http(format!("http://127.0.0.1:{}/healthz", self.gateway));
        self.run("gateway", "GATEWAY__", variables, ready).await
    }

    /// What otp-api and the dispatchers share.
    fn backends(&self) -> Vec<(String, String)> {
        vec![
            ("KEYS__FOLDER".to_owned(), self.path("keys")),
            ("CHALLENGES__URL".to_owned(), self.redis.clone()),
            ("QUEUE__URL".to_owned(), self.rabbitmq.clone()),
        ]
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn listen(&self, name: &str, port: u16) -> Vec<(String, String)> {
        let mut variables = self.tls(name, "LISTEN");
        variables.push(("LISTEN__ADDRESS".to_owned(), format!("127.0.0.1:{port}")));
        variables
    }

    fn peer(&self, name: &str, section: &str, port: u16) -> Vec<(String, String)> {
        let mut variables = self.tls(name, &format!("PEERS__{section}"));
        variables.push((
            format!("PEERS__{section}__URL"),
            format!("https://localhost:{port}"),
        ));
        variables
    }

    fn tls(&self, name: &str, section: &str) -> Vec<(String, String)> {
        let file = |file: String| self.path(&format!("certs/{file}"));
        vec![
            (
                format!("{section}__TLS__CERT_FILE"),
                file(format!("{name}.pem")),
            ),
            (
                format!("{section}__TLS__KEY_FILE"),
                file(format!("{name}.key")),
            ),
            (
                format!("{section}__TLS__CA_FILE"),
                file("ca.pem".to_owned()),
            ),
        ]
    }

    /// Runs a program; `own` is the prefix of the settings that concern it.
    async fn run(
        &self,
        program: &str,
        own: &str,
        variables: Vec<(String, String)>,
        ready: Ready,
    ) -> Result<Process> {
        let mut builder = Process::builder(program)?;
        if own == "OTP__" {
            let path = builder.folder().join(ROUTES);
            std::fs::write(&path, &self.route)?;
            builder = builder.arg("--config").arg(path);
        }
        builder = builder.env("SALLYPORT__TELEMETRY__LOG_FORMAT", "json");
        let metrics = address_of(self.metrics, program)?;
        builder = builder.env("SALLYPORT__TELEMETRY__METRICS_ADDRESS", metrics);
        for (key, value) in variables {
            builder = builder.env(format!("SALLYPORT__{key}"), value);
        }
        let concerns = |key: &str| {
            key.starts_with(own)
                || key.starts_with("TELEMETRY__")
                || own == "OTP__" && key.starts_with("CHALLENGES__")
        };
        for (key, value) in self.settings.iter().filter(|(key, _)| concerns(key)) {
            builder = builder.env(format!("SALLYPORT__{key}"), value);
        }
        builder
            .start(ready)
            .await
            .with_context(|| format!("starting {program}"))
    }
}

fn address_of(ports: &[(&str, Port)], program: &str) -> Result<String> {
    let (_, port) = ports
        .iter()
        .find(|(name, _)| *name == program)
        .with_context(|| format!("there is no program {program}"))?;
    Ok(format!("127.0.0.1:{}", port.number()))
}

fn localhost(port: &Port) -> String {
    format!("localhost:{}", port.number())
}

fn tcp(port: u16) -> Ready {
    Ready::Tcp(([127, 0, 0, 1], port).into())
}

async fn make_certificates(folder: &Path) -> Result<()> {
    let status = tokio::process::Command::new(Process::path_of("sallyportctl")?)
        .args(["certs", "--out"])
        .arg(folder.join("certs"))
        .status()
        .await?;
    ensure!(status.success(), "sallyportctl certs failed");
    Ok(())
}
