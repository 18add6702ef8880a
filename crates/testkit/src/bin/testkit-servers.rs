//! Owns the servers of a test run; the crate's documentation says how.

use std::future::pending;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};
use sallyport_testkit::lender::{ProcessId, lend};
use sallyport_testkit::servers::{AMQP_URL, Kind, POSTGRES_URL, REDIS_URL, Servers};
use sallyport_testkit::{LENDER, target_folder};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

const USAGE: &str = "testkit-servers run --urls FILE   start PostgreSQL, Redis and RabbitMQ, write
                                  their URLs to FILE as NAME=VALUE lines, and stay until
                                  stdin closes or SIGTERM
testkit-servers nextest-setup     for .config/nextest.toml: start `lend` in the background
                                  and tell the tests, through NEXTEST_ENV, where it listens
testkit-servers lend PID START    start servers when tests ask for them, until the process
                                  PID that started at START (clock ticks) is gone, or SIGTERM";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", "--urls", file] => run(Path::new(file)).await,
        ["nextest-setup"] => nextest_setup(),
        ["lend", pid, started] => match (pid.parse(), started.parse()) {
            (Ok(pid), Ok(started)) => lend_until_gone(ProcessId { pid, started }).await,
            _ => Err(anyhow::anyhow!("PID and START are numbers")),
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testkit-servers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns at SIGTERM or SIGINT.
async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn run(file: &Path) -> anyhow::Result<()> {
    let servers = Servers::from_env();
    // A thread of its own, which the end of the program does not wait for.
    let (closed, stdin_closed) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        closed.send(())
    });
    let serve = async {
        let (postgres, redis, amqp) = tokio::try_join!(
            servers.url(Kind::Postgres),
            servers.url(Kind::Redis),
            servers.url(Kind::RabbitMq)
        )?;
        let lines = format!("{POSTGRES_URL}={postgres}\n{REDIS_URL}={redis}\n{AMQP_URL}={amqp}\n");
        // Whoever waits for the file must not read half of it.
        let mut part = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
        part.write_all(lines.as_bytes())?;
        part.persist(file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        pending().await
    };
    tokio::select! {
        outcome = serve => outcome,
        outcome = told_to_stop() => outcome,
        _ = stdin_closed => Ok(()),
    }
}

/// The setup script must end before the tests start, so the lender is a process of its own. It
/// takes no handle of the script's along, which the runner would wait for.
fn nextest_setup() -> anyhow::Result<()> {
    let Some(environment) = std::env::var_os("NEXTEST_ENV") else {
        bail!("NEXTEST_ENV is not set: this is a setup script of cargo nextest");
    };
    let runner = ProcessId::of_runner()?;
    let log_path = target_folder().join("testkit-servers.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("cannot open {}", log_path.display()))?;
    let lender = Command::new(std::env::current_exe()?)
        .arg("lend")
        .args([runner.pid.to_string(), runner.started.to_string()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start the lender")?;
    let mut socket = String::new();
    BufReader::new(lender.stdout.context("the lender has no stdout")?).read_line(&mut socket)?;
    ensure!(
        !socket.is_empty(),
        "the lender did not start; see {}",
        log_path.display()
    );
    let mut file = std::fs::OpenOptions::new().append(true).open(environment)?;
    writeln!(file, "{LENDER}={}", socket.trim_end())?;
    Ok(())
}

async fn lend_until_gone(runner: ProcessId) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("sallyport-servers-")
        .tempdir()?;
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("cannot listen on {}", socket.display()))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", socket.display())?;
    stdout.flush()?;
    let stop = async {
        tokio::select! {
            () = runner.gone() => {}
            _ = told_to_stop() => {}
        }
    };
    lend(listener, stop).await
}
