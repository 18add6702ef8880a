//! A server as a child process that cannot outlive the test.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::account::Account;

/// Between two looks at something that cannot be waited for.
const PACE: Duration = Duration::from_millis(20);
/// How long a server may take to become ready on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a server may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long one probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// A command with everything that it needs. The environment holds `PATH`, `LANG` and what is named
/// here, nothing else, so that settings of the person who runs the tests change nothing.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    account: Option<Account>,
    folder: PathBuf,
    log: PathBuf,
}

impl Launch {
    /// `folder` becomes the working directory; output is appended to `log`.
    pub(crate) fn new(program: PathBuf, folder: &Path, log: PathBuf) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/bin".into());
        let env = vec![("PATH".into(), path), ("LANG".into(), "C.UTF-8".into())];
        let folder = folder.to_owned();
        Self {
            program,
            args: Vec::new(),
            env,
            account: None,
            folder,
            log,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The program's name, for errors.
    fn name(&self) -> String {
        self.program
            .file_name()
            .unwrap_or(self.program.as_os_str())
            .display()
            .to_string()
    }

    fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        if let Some(account) = &self.account {
            words.extend(account.prefix().into_iter().map(OsString::from));
        }
        words.push(self.program.clone().into_os_string());
        words.extend(self.args.iter().cloned());
        words
    }

    /// Runs the command to its end and returns what it printed on stdout; the error holds stderr.
    pub(crate) async fn run(&self) -> anyhow::Result<String> {
        let words = self.words();
        let output = tokio::process::Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("cannot run {}", self.name()))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} ended with {}:\n{stdout}{stderr}",
                self.name(),
                output.status
            );
        }
        Ok(stdout)
    }

    /// Starts the command under a supervisor (`supervisor.sh` says how that works).
    pub(crate) fn spawn(&self) -> anyhow::Result<Supervised> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open the log {}", self.log.display()))?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(include_str!("supervisor.sh"))
            .arg("supervisor")
            .args(self.words())
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            // Ctrl-C on the terminal reaches the test alone, and its end reaches the server.
            .process_group(0)
            .spawn()
            .context("cannot run sh")?;
        Ok(Supervised {
            child,
            name: self.name(),
            log: self.log.clone(),
        })
    }
}

/// A running server. Dropping it kills the server and everything that the server started.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Supervised {
    /// Sends a signal by its name without `SIG`; no effect on a server that has ended.
    pub(crate) fn signal(&mut self, name: &str) {
        if let Some(pipe) = self.child.stdin.as_mut() {
            // A broken pipe means that the supervisor, and so the server, is gone: nothing to do.
            let _ = writeln!(pipe, "{name}").and_then(|()| pipe.flush());
        }
    }

    /// `None` while it runs.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .context("cannot ask whether a child has ended")
    }

    /// Waits until the server has ended by itself or by a signal.
    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > STOP_LIMIT {
                bail!(
                    "{} did not end within {STOP_LIMIT:?}{}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Kills the server and everything that it started, and waits until they are gone.
    pub(crate) async fn kill9(&mut self) -> anyhow::Result<()> {
        self.signal("KILL");
        self.end().await.map(drop)
    }

    /// Calls `probe` until it succeeds. Fails when the server ends before, or after the limit,
    /// with the last failure of the probe and the end of the server's log.
    pub(crate) async fn until<T, F, P>(&mut self, ready: &str, mut probe: P) -> anyhow::Result<T>
    where
        P: FnMut() -> F,
        F: Future<Output = anyhow::Result<T>>,
    {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                bail!(
                    "{} ended ({status}) before {ready}{}",
                    self.name,
                    self.log_tail()
                );
            }
            let failure = match tokio::time::timeout(PROBE_LIMIT, probe()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(_) => anyhow::anyhow!("no answer within {PROBE_LIMIT:?}"),
            };
            if started.elapsed() > START_LIMIT {
                let end = self.log_tail();
                return Err(failure.context(format!(
                    "{}: not {ready} within {START_LIMIT:?}{end}",
                    self.name
                )));
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// The last lines of the log, as the end of an error.
    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(25)..].join("\n");
        format!("; its log, {}, ends:\n{tail}", self.log.display())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // End of file tells the supervisor to kill everything; then it ends at once.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Where a program is: in one of `folders`, else on `PATH`. The error names the Debian package.
pub(crate) fn find(name: &str, folders: &[PathBuf], package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed; install the Debian package {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, folder: &Path) -> Launch {
        Launch::new("/bin/sh".into(), folder, folder.join("log")).args(["-c", script])
    }

    /// Whether a process is alive: a zombie that nobody has collected yet is not.
    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or("")
                .trim()
                .starts_with('Z')
        })
    }

    /// Starts a shell with a grandchild that left its session and ignores every polite signal.
    async fn family(folder: &Path) -> (Supervised, Vec<String>) {
        let script = "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM HUP; echo $$; \
                      while :; do sleep 1000; done' & echo $$; wait";
        let mut parent = sh(script, folder).spawn().unwrap();
        let log = folder.join("log");
        let pids = parent
            .until("both have printed their ids", || async {
                let pids: Vec<String> = std::fs::read_to_string(&log)?
                    .lines()
                    .map(str::to_owned)
                    .collect();
                anyhow::ensure!(pids.len() == 2);
                Ok(pids)
            })
            .await
            .unwrap();
        assert!(pids.iter().all(|pid| alive(pid)));
        (parent, pids)
    }

    #[tokio::test]
    async fn kill9_reaches_what_left_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let (mut parent, pids) = family(folder.path()).await;
        parent.kill9().await.unwrap();
        assert!(!pids.iter().any(|pid| alive(pid)), "left behind: {pids:?}");
    }

    #[tokio::test]
    async fn drop_reaches_what_left_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let (parent, pids) = family(folder.path()).await;
        drop(parent);
        assert!(!pids.iter().any(|pid| alive(pid)), "left behind: {pids:?}");
    }

    #[tokio::test]
    async fn a_server_can_be_killed_before_it_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..10 {
            drop(sh("sleep 1000", folder.path()).spawn().unwrap());
        }
    }

    #[tokio::test]
    async fn the_status_is_the_servers() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = sh("exit 7", folder.path()).spawn().unwrap();
        assert_eq!(server.end().await.unwrap().code(), Some(7));
        let mut server = sh("sleep 1000", folder.path()).spawn().unwrap();
        server.signal("TERM");
        assert_eq!(server.end().await.unwrap().code(), Some(128 + 15));
    }

    #[tokio::test]
    async fn a_server_that_ends_before_it_is_ready_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = sh("echo no room >&2; exit 3", folder.path())
            .spawn()
            .unwrap();
        let never = || async { anyhow::bail!("not yet") };
        let error = server
            .until::<(), _, _>("it was ready", never)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no room"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-server", &[], "some-package")
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("install the Debian package some-package"),
            "{error}"
        );
    }
}
