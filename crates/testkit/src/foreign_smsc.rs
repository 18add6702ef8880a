//! A carrier that Sallyport did not write: npm `smpp`, in `tests/foreign-smsc`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::folder::Folder;
use crate::port::Port;
use crate::supervised::{Launch, Supervised, find};

/// How long [`ForeignSmsc::wait_for`] waits at most.
const WAIT_SECONDS: u64 = 60;

/// How the carrier behaves.
#[derive(Debug, Clone)]
pub struct SmscOptions {
    /// The only `system_id` that may bind.
    pub system_id: String,
    /// Its password, at most 8 characters.
    pub password: String,
    /// How many messages are refused with `ESME_RTHROTTLED` before the first is accepted.
    pub throttle: u32,
    /// How long each answer is held back.
    pub delay: Duration,
    /// Whether a message that asks for a receipt gets one (`DELIVRD`).
    pub receipts: bool,
}

impl Default for SmscOptions {
    fn default() -> Self {
        Self {
            system_id: "sallyport".into(),
            password: "secret".into(),
            throttle: 0,
            delay: Duration::ZERO,
            receipts: true,
        }
    }
}

/// A message that arrived completely; the parts of a long one are put together.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct SmscMessage {
    /// The id that answered the `submit_sm` (of the first part).
    pub id: String,
    /// The sender, with `+` where its type of number is international.
    pub from: String,
    /// The destination, likewise.
    pub to: String,
    /// The text, decoded by the carrier's library.
    pub text: String,
    /// The `data_coding` of the (last) part.
    pub data_coding: u8,
    /// How many parts it came in.
    pub parts: u8,
    /// When the last part arrived (RFC 3339).
    pub at: String,
}

/// The carrier as a child process.
#[derive(Debug)]
pub struct ForeignSmsc {
    running: Option<Supervised>,
    launch: Launch,
    smpp: Port,
    http: Port,
    client: reqwest::Client,
    folder: Folder,
}

impl ForeignSmsc {
    /// Starts it; returns when both its ports listen.
    pub async fn start(options: SmscOptions) -> anyhow::Result<Self> {
        let node = find("node", &[], "nodejs")?;
        let folder = Folder::new("smsc")?;
        let (smpp, http) = (Port::take()?, Port::take()?);
        let mut launch = Launch::new(node, folder.path(), folder.join("smsc.log"))
            .arg(program_folder().join("smsc.mjs"))
            .args(["--port", &smpp.number().to_string()])
            .args(["--http-port", &http.number().to_string()])
            .args([
                "--system-id",
                &options.system_id,
                "--password",
                &options.password,
            ])
            .args(["--throttle", &options.throttle.to_string()])
            .args(["--delay", &options.delay.as_millis().to_string()]);
        if !options.receipts {
            launch = launch.arg("--no-receipts");
        }
        let client = reqwest::Client::builder().no_proxy().build()?;
        let running = launch.spawn()?;
        let mut smsc = Self {
            running: None,
            launch,
            smpp,
            http,
            client,
            folder,
        };
        smsc.ready(running)
            .await
            .inspect_err(|_| smsc.folder.keep())?;
        Ok(smsc)
    }

    /// `127.0.0.1:PORT` of the SMPP side.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.smpp.number())
    }

    /// What has arrived at a number (`+33…`), oldest first. Lost when the carrier stops.
    pub async fn messages(&self, to: &str) -> anyhow::Result<Vec<SmscMessage>> {
        self.query(&[("to", to)]).await
    }

    /// Waits until at least `count` messages have arrived at a number, and returns them all.
    pub async fn wait_for(&self, to: &str, count: usize) -> anyhow::Result<Vec<SmscMessage>> {
        let after = count.saturating_sub(1).to_string();
        let wait = WAIT_SECONDS.to_string();
        let found = self
            .query(&[("to", to), ("after", &after), ("wait", &wait)])
            .await?;
        ensure!(
            found.len() >= count,
            "the carrier has {} messages instead of {count} after {WAIT_SECONDS} s; log: {}",
            found.len(),
            self.launch.log().display()
        );
        Ok(found)
    }

    /// How many messages have arrived at each number (`+33…`).
    pub async fn counts(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let answer = self.client.get(self.url("/counts")).send().await;
        let answer = answer.context("the carrier does not answer")?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn query(&self, query: &[(&str, &str)]) -> anyhow::Result<Vec<SmscMessage>> {
        let mut url = url::Url::parse(&self.url("/messages"))?;
        url.query_pairs_mut().extend_pairs(query);
        let answer = self
            .client
            .get(url)
            .send()
            .await
            .context("the carrier does not answer")?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// While true, the carrier takes messages and never answers them.
    pub async fn hold_answers(&self, on: bool) -> anyhow::Result<()> {
        let url = self.url(&format!("/holding?on={on}"));
        self.client.put(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// An address of the carrier's HTTP side, for programs that read messages themselves.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http.number())
    }

    /// Ends the carrier; sessions are cut off.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.running.take() {
            server.signal("TERM");
            server.end().await?;
        }
        Ok(())
    }

    /// Starts it again after [`stop`](Self::stop), on the same ports, without any message.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "the carrier is running already");
        self.ready(self.launch.spawn()?).await
    }

    async fn ready(&mut self, mut server: Supervised) -> anyhow::Result<()> {
        let health = self.url("/health");
        server
            .until("it listened", || async {
                self.client.get(&health).send().await?.error_for_status()?;
                Ok(())
            })
            .await?;
        self.running = Some(server);
        Ok(())
    }
}

fn program_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign-smsc")
}
