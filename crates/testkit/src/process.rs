//! One of our own programs as a child process.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::folder::Folder;
use crate::supervised::{Launch, Supervised};

/// By what a program shows that it serves.
#[derive(Debug, Clone)]
pub enum Ready {
    /// A line of its output that contains this text.
    Line(String),
    /// A connection is accepted at this address.
    Tcp(SocketAddr),
    /// `GET` of this URL, plain HTTP, is answered by 2xx.
    Http(String),
    /// `grpc.health.v1` at this endpoint (with TLS where that is configured) says `SERVING`.
    Grpc(Box<Endpoint>),
}

/// A program and what to run it with.
#[derive(Debug)]
pub struct ProcessBuilder {
    launch: Launch,
    folder: Folder,
}

impl ProcessBuilder {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.launch = self.launch.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.launch = self.launch.args(args);
        self
    }

    /// Sets a variable. Beside `PATH` and `LANG` nothing is inherited from the test.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// Sets the working directory; without it, the process's own temporary folder.
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.launch = self.launch.folder(folder);
        self
    }

    /// The process's temporary folder, for its configuration and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program; returns when it is ready.
    pub async fn start(self, ready: Ready) -> anyhow::Result<Process> {
        let Self { launch, folder } = self;
        let mut process = Process {
            running: None,
            launch,
            ready,
            log_start: 0,
            folder,
        };
        process
            .start_again()
            .await
            .inspect_err(|_| process.folder.keep())?;
        Ok(process)
    }
}

/// A running program, killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    running: Option<Supervised>,
    launch: Launch,
    ready: Ready,
    /// Where the log of the present start begins.
    log_start: usize,
    folder: Folder,
}

impl Process {
    /// Where a program of this workspace is: in the folder that Cargo built the caller into.
    pub fn path_of(program: &str) -> anyhow::Result<PathBuf> {
        locate(program.as_ref())
    }

    /// A program of this workspace by name, from the folder that Cargo built the test into, or
    /// any program by path.
    pub fn builder(program: impl AsRef<Path>) -> anyhow::Result<ProcessBuilder> {
        let program = locate(program.as_ref())?;
        let folder = Folder::new(&program.file_name().unwrap_or_default().to_string_lossy())?;
        let launch = Launch::new(program, folder.path(), folder.join("output.log"));
        Ok(ProcessBuilder { launch, folder })
    }

    /// The process's temporary folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed on stdout and stderr since it was last started.
    pub fn log(&self) -> anyhow::Result<String> {
        read_log(self.launch.log(), self.log_start)
    }

    /// Waits for a line of output, since the last start, that contains `text`; returns that line.
    /// Fails when the program ends before.
    pub async fn wait_for_line(&mut self, text: &str) -> anyhow::Result<String> {
        let running = self
            .running
            .as_mut()
            .context("the program is not running")?;
        wait_for_line(running, self.launch.log(), self.log_start, text).await
    }

    /// Whether it has ended by itself, and how; `128 + N` where a signal N ended it.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.running
            .as_mut()
            .context("the program is not running")?
            .ended()
    }

    /// Sends SIGTERM and waits for the end; returns how it ended.
    pub async fn term(&mut self) -> anyhow::Result<ExitStatus> {
        let mut running = self.running.take().context("the program is not running")?;
        running.signal("TERM");
        running.end().await
    }

    /// Waits until it ends by itself; returns how.
    pub async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let mut running = self.running.take().context("the program is not running")?;
        running.end().await
    }

    /// Kills it at once.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut running) => running.kill9().await,
            None => Ok(()),
        }
    }

    /// Starts it again, with the same arguments, environment and folder, and waits until ready.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "the program is running already");
        self.log_start = std::fs::metadata(self.launch.log()).map_or(0, |log| log.len() as usize);
        let mut running = self.launch.spawn()?;
        let log = self.launch.log();
        match &self.ready {
            Ready::Line(text) => {
                wait_for_line(&mut running, log, self.log_start, text).await?;
            }
            Ready::Tcp(address) => {
                let probe = || async { Ok(TcpStream::connect(address).await.map(drop)?) };
                running.until("it accepted connections", probe).await?;
            }
            Ready::Http(url) => {
                let client = reqwest::Client::builder().no_proxy().build()?;
                let probe = || async {
                    client.get(url).send().await?.error_for_status()?;
                    Ok(())
                };
                running.until("it answered by 2xx", probe).await?;
            }
            Ready::Grpc(endpoint) => {
                running
                    .until("it was SERVING", || serving(endpoint))
                    .await?;
            }
        }
        self.running = Some(running);
        Ok(())
    }
}

async fn serving(endpoint: &Endpoint) -> anyhow::Result<()> {
    let mut health = HealthClient::new(endpoint.connect().await?);
    // The empty name asks for the server as a whole.
    let status = health
        .check(HealthCheckRequest::default())
        .await?
        .into_inner()
        .status();
    ensure!(
        status == ServingStatus::Serving,
        "it says {}",
        status.as_str_name()
    );
    Ok(())
}

async fn wait_for_line(
    running: &mut Supervised,
    log: &Path,
    start: usize,
    text: &str,
) -> anyhow::Result<String> {
    running
        .until(&format!("it printed {text:?}"), || async {
            let printed = read_log(log, start)?;
            // The last piece may be half a line.
            let complete = printed
                .rsplit_once('\n')
                .map_or("", |(complete, _)| complete);
            let line = complete.lines().find(|line| line.contains(text));
            line.map(str::to_owned).context("no such line")
        })
        .await
}

fn read_log(log: &Path, start: usize) -> anyhow::Result<String> {
    let bytes = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes[start..]).into_owned())
}

/// A test's own program is in `target/PROFILE/deps`, the workspace's are one folder above.
fn locate(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().count() > 1 {
        ensure!(
            program.is_file(),
            "there is no program {}",
            program.display()
        );
        return Ok(program.to_owned());
    }
    let test = std::env::current_exe().context("cannot find the test's own program")?;
    let mut folder = test.parent().context("the test's program has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("the folder `deps` has no parent")?;
    }
    let path = folder.join(program);
    let name = program.display();
    ensure!(
        path.is_file(),
        "there is no {}; run: cargo build --bin {name}",
        path.display()
    );
    Ok(path)
}
