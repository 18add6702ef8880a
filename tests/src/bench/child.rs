//! A server under measure: this program again, as a child, so that its CPU and memory are its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hyper_util::rt::TokioIo;
use sallyport_testkit::{Process, Ready};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::load::CONNECTIONS;
use super::machine::field;

/// What a child prints, with its process id, once its sockets are bound.
const READY: &str = "serving as process ";

/// Linux counts CPU time in hundredths of a second towards programs, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child, killed when this is dropped.
pub struct Child {
    pid: u32,
    _process: Option<Process>,
}

impl Child {
    /// Starts `bench serve ARGS…`.
    pub async fn start(args: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut process = Process::builder(program)?
            .arg("serve")
            .args(args)
            .start(Ready::Line(READY.to_owned()))
            .await?;
        let line = process.wait_for_line(READY).await?;
        let pid = line
            .split(READY)
            .nth(1)
            .and_then(|pid| pid.trim().parse().ok());
        let pid = pid.with_context(|| format!("no process id in {line:?}"))?;
        Ok(Self {
            pid,
            _process: Some(process),
        })
    }

    /// This process itself.
    #[cfg(test)]
    pub fn this() -> Self {
        Self {
            pid: std::process::id(),
            _process: None,
        }
    }

    /// CPU that it has used so far, user and system, seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = std::fs::read_to_string(&path).context("the server has ended")?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("{path} has another form"))?;
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// Resident memory now, MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path).context("the server has ended")?;
        let kib = field(&status, "VmRSS")
            .and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok())
            .with_context(|| format!("{path} has another form"))?;
        Ok(kib / 1_024.0)
    }
}

/// User and system time of `/proc/PID/stat`, fields 14 and 15. The name before them may hold
/// anything, so they are counted from its closing parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Tells the parent that this child's sockets are bound.
pub fn say_ready() {
    use std::io::Write;
    // A parent that is gone has nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{READY}{}", std::process::id());
}

/// A folder for the sockets of a row's servers: paths of sockets are short.
pub struct Sockets {
    folder: tempfile::TempDir,
}

impl Sockets {
    /// An empty folder.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("sallyport-bench-")
            .tempdir()?;
        Ok(Self { folder })
    }

    /// The path of a socket or of another file of the row.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> Result<String> {
        self.path(name)
            .into_os_string()
            .into_string()
            .ok()
            .context("a path that is no UTF-8")
    }
}

/// As many connections to a server's unix socket as every row makes.
pub async fn connect(socket: &Path) -> Result<Vec<Channel>> {
    ensure!(socket.exists(), "{} is not there", socket.display());
    let mut channels = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://bench.invalid");
        channels.push(endpoint.connect_with_connector(connector).await?);
    }
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_past_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let this = Child::this();
        assert!(this.rss_mib().unwrap() > 0.0);
        assert!(this.cpu_seconds().unwrap() >= 0.0);
    }
}
