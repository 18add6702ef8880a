//! The program that owns the servers of a test run and lends parts of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::servers::{Answer, Servers};

/// Between two looks at whether the run is over.
const PACE: Duration = Duration::from_millis(200);

/// Serves tests until `stop` resolves, then ends every server. A test connects, writes the name of
/// a server, reads one line of JSON ([`Answer`]), and keeps the connection for as long as it uses
/// what it got.
pub async fn lend(listener: UnixListener, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let servers = Arc::new(Servers::from_env());
    let mut tests = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => {
                let (connection, _) = accepted.context("cannot accept a test's connection")?;
                let servers = Arc::clone(&servers);
                tests.spawn(async move {
                    if let Err(error) = serve(connection, &servers).await {
                        eprintln!("testkit-servers: {error:#}");
                    }
                });
            }
            Some(_) = tests.join_next() => {}
        }
    }
    tests.shutdown().await;
    drop(servers);
    Ok(())
}

async fn serve(connection: UnixStream, servers: &Servers) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut name = String::new();
    connection.read_line(&mut name).await?;
    let lent = match name.trim().parse() {
        Ok(kind) => servers.lend(kind).await,
        Err(error) => Err(error),
    };
    let answer = match &lent {
        Ok(part) => Answer::Url(part.url.clone()),
        Err(error) => Answer::Error(format!("{error:#}")),
    };
    let line = serde_json::to_string(&answer)? + "\n";
    // A test that was killed meanwhile is an end like any other.
    if connection.write_all(line.as_bytes()).await.is_ok() {
        let _ = connection.read_u8().await;
    }
    match lent {
        Ok(part) => servers.take_back(part).await,
        Err(_) => Ok(()),
    }
}

/// A process, told apart from a later one of the same id by when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// In clock ticks since the machine started (`proc(5)`, `/proc/PID/stat` field 22).
    pub started: u64,
}

impl ProcessId {
    /// The test runner above this process: the nearest ancestor called `cargo-nextest`, else the
    /// parent.
    pub fn of_runner() -> anyhow::Result<Self> {
        let parent = std::os::unix::process::parent_id();
        let mut pid = parent;
        while pid > 1 {
            let stat = Stat::read(pid)?;
            if stat.command == "cargo-nextest" {
                return Ok(Self {
                    pid,
                    started: stat.started,
                });
            }
            pid = stat.parent;
        }
        Ok(Self {
            pid: parent,
            started: Stat::read(parent)?.started,
        })
    }

    /// Returns when the process is gone.
    pub async fn gone(&self) {
        while Stat::read(self.pid).is_ok_and(|stat| stat.started == self.started && !stat.zombie) {
            tokio::time::sleep(PACE).await;
        }
    }
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    command: String,
    zombie: bool,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let line = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&line).with_context(|| format!("{path} has an unknown form"))
    }

    fn parse(line: &str) -> Option<Self> {
        // The command may hold spaces and parentheses, so the last parenthesis ends it.
        let (head, tail) = line.rsplit_once(')')?;
        let (_, command) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        Some(Self {
            command: command.to_owned(),
            zombie: *fields.first()? == "Z",
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) (b c) S 7 42 42 0 -1 4 1 0 0 0 5 6 0 0 20 0 1 0 9001 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.command.as_str(), stat.parent, stat.started),
            ("a) (b c", 7, 9001)
        );
    }

    #[tokio::test]
    async fn a_process_is_gone_when_it_ended_or_its_id_was_given_away() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = ProcessId {
            pid: child.id(),
            started: Stat::read(child.id()).unwrap().started,
        };
        ProcessId {
            started: id.started + 1,
            ..id.clone()
        }
        .gone()
        .await;
        let gone = tokio::spawn(async move { id.gone().await });
        drop(child.stdin.take());
        gone.await.unwrap();
        child.wait().unwrap();
    }
}
