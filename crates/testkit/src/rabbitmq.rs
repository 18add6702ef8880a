//! RabbitMQ as a child process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;

use crate::account::Account;
use crate::folder::Folder;
use crate::port::Port;
use crate::supervised::{Launch, Supervised, find};

const PACKAGE: &str = "rabbitmq-server";

/// The scripts themselves. What Debian puts on `PATH` is a wrapper that changes the user by `su`,
/// in a session of its own, and writes to `/var/log`.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ broker without plugins, with its own name server (epmd), cookie, node name and
/// ports, so that it never meets another broker. Runs as the user `rabbitmq` when the test is root.
#[derive(Debug)]
pub struct RabbitMq {
    running: Option<Supervised>,
    _epmd: Supervised,
    launch: Launch,
    control: Launch,
    port: Port,
    _distribution_port: Port,
    _epmd_port: Port,
    folder: Folder,
}

impl RabbitMq {
    /// Starts an empty broker; returns when it accepts AMQP connections, after about 5 s.
    pub async fn start() -> anyhow::Result<Self> {
        let account = Account::if_root("rabbitmq", PACKAGE)?;
        let scripts = [PathBuf::from(SCRIPTS)];
        let server = find("rabbitmq-server", &scripts, PACKAGE)?;
        let rabbitmqctl = find("rabbitmqctl", &scripts, PACKAGE)?;
        let epmd = find("epmd", &[], "erlang-base")?;

        let mut folder = Folder::new("rabbitmq")?;
        let (port, distribution_port, epmd_port) = (Port::take()?, Port::take()?, Port::take()?);
        write_settings(folder.path(), port.number(), account.as_ref())?;

        let environment = |program: PathBuf, log: &str| {
            let inside = |name: &str| folder.join(name);
            Launch::new(program, folder.path(), inside(log))
                .env("HOME", folder.path())
                .env("ERL_EPMD_PORT", epmd_port.number().to_string())
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .env(
                    "RABBITMQ_NODENAME",
                    format!("sallyport{}@localhost", port.number()),
                )
                .env("RABBITMQ_NODE_PORT", port.number().to_string())
                .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_DIST_PORT", distribution_port.number().to_string())
                .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK_DISTRIBUTION)
                .env("RABBITMQ_MNESIA_BASE", inside("data"))
                .env("RABBITMQ_LOG_BASE", inside("log"))
                .env("RABBITMQ_PID_FILE", inside("pid"))
                .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq"))
                .env("RABBITMQ_ADVANCED_CONFIG_FILE", inside("advanced"))
                .env("RABBITMQ_GENERATED_CONFIG_DIR", inside("generated"))
                .env("RABBITMQ_CONF_ENV_FILE", inside("no-env.conf"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"))
                .account(account.clone())
        };
        // Started by hand and before the broker, which would start it as a daemon otherwise.
        let mut epmd = environment(epmd, "epmd.log").spawn()?;
        let epmd_address = ("127.0.0.1", epmd_port.number());
        epmd.until("it listened", || async {
            Ok(TcpStream::connect(epmd_address).await?)
        })
        .await?;
        let launch = environment(server, "rabbitmq.log");
        let control = environment(rabbitmqctl, "rabbitmqctl.log");
        let running = launch.spawn().inspect_err(|_| folder.keep())?;
        let mut broker = Self {
            running: None,
            _epmd: epmd,
            launch,
            control,
            port,
            _distribution_port: distribution_port,
            _epmd_port: epmd_port,
            folder,
        };
        broker
            .ready(running)
            .await
            .inspect_err(|_| broker.folder.keep())?;
        Ok(broker)
    }

    /// Where its files lie: what its queues keep, its settings and its logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `amqp://…` of the virtual host `/`.
    pub fn url(&self) -> String {
        self.url_of("%2f")
    }

    fn url_of(&self, vhost: &str) -> String {
        format!(
            "amqp://guest:guest@127.0.0.1:{}/{vhost}",
            self.port.number()
        )
    }

    /// Makes an empty virtual host (a name of lower-case letters, digits and `-`), open to `guest`;
    /// returns its URL. Takes about a second; several at once take hardly longer.
    pub async fn create_vhost(&self, name: &str) -> anyhow::Result<String> {
        let mut urls = self.create_vhosts(&[name.to_owned()]).await?;
        urls.pop().context("no virtual host was made")
    }

    /// Makes several virtual hosts by one call of `rabbitmqctl`, which takes a second to start.
    pub(crate) async fn create_vhosts(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        for name in names {
            ensure!(
                !name.is_empty() && name.chars().all(plain),
                "{name:?} is no plain vhost name"
            );
        }
        let list = names
            .iter()
            .map(|name| format!("<<\"{name}\">>"))
            .collect::<Vec<_>>()
            .join(",");
        let program = format!(
            "[begin ok = rabbit_vhost:add(V, <<\"testkit\">>), \
             ok = rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, V, \
             <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"testkit\">>) end || V <- [{list}]], made."
        );
        let printed = self
            .control
            .clone()
            .args(["-q", "eval", &program])
            .run()
            .await?;
        ensure!(
            printed.trim() == "made",
            "cannot make virtual hosts: {printed}"
        );
        Ok(names.iter().map(|name| self.url_of(name)).collect())
    }

    /// Ends the broker in order.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.running.take() {
            server.signal("TERM");
            server.end().await?;
        }
        Ok(())
    }

    /// Kills the broker at once. What it had confirmed as persistent stays.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut server) => server.kill9().await,
            None => Ok(()),
        }
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9): same port, same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "RabbitMQ is running already");
        self.ready(self.launch.spawn()?).await
    }

    async fn ready(&mut self, mut server: Supervised) -> anyhow::Result<()> {
        let (url, port) = (self.url(), self.port.number());
        server
            .until("it accepted AMQP connections", || async {
                TcpStream::connect(("127.0.0.1", port)).await?;
                let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
                connection.close(200, "ready".into()).await?;
                Ok(())
            })
            .await?;
        self.running = Some(server);
        Ok(())
    }
}

/// Erlang's distribution listens on every address by default.
const LOOPBACK_DISTRIBUTION: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// Writes the broker's settings, and gives the folder to the user that it runs as.
fn write_settings(folder: &Path, port: u16, account: Option<&Account>) -> anyhow::Result<()> {
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         # A developer's disk may be nearly full; a broker that blocks publishers would look hung.\n\
         disk_free_limit.absolute = 50MB\n"
    );
    let cookie = uuid::Uuid::now_v7().simple().to_string();
    for (name, content) in [
        ("rabbitmq.conf", settings.as_str()),
        ("advanced.config", "[].\n"),
        ("enabled_plugins", "[].\n"),
        (".erlang.cookie", cookie.as_str()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        // Erlang refuses a cookie that others can read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        if let Some(account) = account {
            account.own(&path)?;
        }
    }
    account.map_or(Ok(()), |account| account.own(folder))
}
