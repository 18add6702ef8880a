//! One bound connection: a reader, a writer, and the table of what is in flight between them.

mod flight;
mod meters;
mod reader;
mod writer;

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::{Command, CommandStatus};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Encoder, FramedRead};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::answer::status;
use crate::config::{BindMode, ConfigError, SessionConfig};
use crate::deliver::Delivery;
use crate::frame::{FrameDecoder, FrameError, command, text};
use crate::outcome::{Answer, EndReason, NotWritten, SubmitOutcome, Unanswered, UnansweredReason};
use crate::request::SubmitRequest;

pub(crate) use flight::{Replier, Waiting};
use flight::{Settled, Shared, Stage};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings are at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The carrier cannot be reached, or TLS failed.
    #[error("cannot connect")]
    Io(#[from] std::io::Error),
    /// Connecting and binding took too long.
    #[error("no answer to the bind in time")]
    TimedOut,
    /// The carrier refuses the bind with this `command_status`.
    #[error("the bind was refused with status {0:#x}")]
    Refused(u32),
    /// The carrier ended the connection, or sent what is no SMPP, before it answered the bind.
    #[error("the connection ended before the bind was answered")]
    Ended(EndReason),
}

/// A bound session. It lives as long as its connection; [`crate::Bind`] makes a new one when it
/// ends. Dropping it closes the connection without an unbind: use [`Session::unbind`].
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    slot_timeout: Duration,
    response_timeout: Duration,
    mode: BindMode,
    retired: CancellationToken,
}

impl Session {
    /// Connects, by TLS if so configured, and binds. What the carrier delivers goes into
    /// `deliveries`; while that channel is full or closed the carrier is told to try again later.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(
        config: &SessionConfig,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, ConnectError> {
        let connecting = async {
            let tcp = TcpStream::connect((config.host.as_str(), config.port)).await?;
            tcp.set_nodelay(true)?;
            let Some(tls) = &config.tls else {
                return Self::bind(tcp, config, deliveries).await;
            };
            let name = tls.server_name.as_ref().unwrap_or(&config.host);
            let name = ServerName::try_from(name.clone())
                .map_err(|_| ConnectError::Config(ConfigError::Text("server_name")))?;
            let stream = TlsConnector::from(Arc::clone(&tls.client))
                .connect(name, tcp)
                .await?;
            Self::bind(stream, config, deliveries).await
        };
        timeout(config.bind_timeout, connecting)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Binds over a connection that was made elsewhere, such as a tunnel.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn over<S>(
        stream: S,
        config: &SessionConfig,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        timeout(config.bind_timeout, Self::bind(stream, config, deliveries))
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn bind<S>(
        stream: S,
        config: &SessionConfig,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        config.validate()?;
        let (read, mut write) = tokio::io::split(stream);
        let mut frames = FramedRead::new(read, FrameDecoder::new(config.longest_pdu));
        exchange_bind(&mut frames, &mut write, config).await?;

        let (shared, outgoing) = Shared::new(config);
        let span = tracing::info_span!("smpp", bind = config.name);
        let reader = reader::Reader {
            shared: Arc::clone(&shared),
            deliveries,
            enquire_link_interval: config.enquire_link_interval,
            response_timeout: config.response_timeout,
        };
        tokio::spawn(reader.run(frames).instrument(span.clone()));
        tokio::spawn(writer::run(write, outgoing, Arc::clone(&shared)).instrument(span));
        Ok(Self {
            shared,
            slot_timeout: config.slot_timeout,
            response_timeout: config.response_timeout,
            mode: config.mode,
            retired: CancellationToken::new(),
        })
    }

    /// Sends a message and waits for what becomes of it: at most [`SessionConfig::slot_timeout`]
    /// for a slot of the window and [`SessionConfig::response_timeout`] for the answer.
    ///
    /// Dropping the future frees the slot. The message may then have been written or not.
    pub async fn submit(&self, request: &SubmitRequest) -> SubmitOutcome {
        self.submit_with(request, ready(Ok(())), |_| ()).await
    }

    /// [`Session::submit`], with a last word of `gate` once the slot is there, and with `learn`
    /// told the answer while the slot is still held: what it decides holds for the next message.
    pub(crate) async fn submit_with(
        &self,
        request: &SubmitRequest,
        gate: impl Future<Output = Result<(), NotWritten>>,
        learn: impl FnOnce(&Answer),
    ) -> SubmitOutcome {
        let outcome = self
            .launch(request, gate, learn)
            .await
            .unwrap_or_else(SubmitOutcome::NotWritten);
        self.shared.meters.outcome(&outcome);
        outcome
    }

    async fn launch(
        &self,
        request: &SubmitRequest,
        gate: impl Future<Output = Result<(), NotWritten>>,
        learn: impl FnOnce(&Answer),
    ) -> Result<SubmitOutcome, NotWritten> {
        if self.mode == BindMode::Receiver {
            return Err(NotWritten::ReceiverOnly);
        }
        // Counted before the slot is there: whoever drains the session closes the window first, and
        // so misses nobody.
        let _in_flight = self.shared.in_flight.token();
        let _slot = timeout(self.slot_timeout, self.shared.window.acquire())
            .await
            .map_err(|_| NotWritten::WindowFull)?
            .map_err(|_| self.shared.refusal())?;
        gate.await?;
        let mut waiting = Shared::launch(&self.shared, request.pdu())?;
        let started = tokio::time::Instant::now();
        let settled = match timeout(self.response_timeout, waiting.settled()).await {
            Ok(settled) => settled,
            Err(_) => match self.shared.withdraw(waiting.sequence_number) {
                Some(Stage::Queued) => return Err(NotWritten::Stalled),
                Some(Stage::Written) => {
                    return Ok(SubmitOutcome::Unanswered(Unanswered {
                        reason: UnansweredReason::TimedOut,
                        waiting: Some(waiting),
                    }));
                }
                // Settled in this very instant.
                None => waiting.settled().await,
            },
        };
        match settled {
            Settled::Answer(answer) => {
                self.shared.meters.answered(started.elapsed());
                learn(&answer);
                Ok(SubmitOutcome::Answered(answer))
            }
            Settled::Ended {
                written: false,
                reason,
            } => Err(NotWritten::SessionEnded(reason)),
            Settled::Ended {
                written: true,
                reason,
            } => Ok(SubmitOutcome::Unanswered(Unanswered {
                reason: UnansweredReason::SessionEnded(reason),
                waiting: None,
            })),
        }
    }

    /// Waits until the session ends, and says why.
    pub async fn ended(&self) -> EndReason {
        self.shared.over.cancelled().await;
        self.shared.end_reason().unwrap_or(EndReason::Dropped)
    }

    /// Ends the session politely: takes no more messages, waits at most `grace` for those in
    /// flight, unbinds, waits for that to be answered, and closes. Messages that are still without
    /// an answer then come back as unanswered.
    pub async fn unbind(&self, grace: Duration) {
        self.shared.window.close();
        self.shared.in_flight.close();
        // Elapsed or not, what follows is the same.
        let _ = timeout(grace, self.shared.in_flight.wait()).await;
        self.shared.unbind();
        let _ = timeout(self.response_timeout, self.shared.over.cancelled()).await;
        self.shared.end(EndReason::Unbound);
    }

    /// Asks the owner to unbind this session and make a new one. Those in flight keep their chance
    /// of an answer.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    pub(crate) async fn retired(&self) {
        self.retired.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end(EndReason::Dropped);
    }
}

/// Sends the bind and reads until it is answered. The frames keep what came with the answer.
async fn exchange_bind<S>(
    frames: &mut FramedRead<ReadHalf<S>, FrameDecoder>,
    write: &mut WriteHalf<S>,
    config: &SessionConfig,
) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite,
{
    let mut octets = BytesMut::new();
    let bind = Command::new(
        CommandStatus::EsmeRok,
        flight::BIND_SEQUENCE,
        config.bind_pdu()?,
    );
    CommandCodec::new()
        .encode(bind, &mut octets)
        .map_err(std::io::Error::other)?;
    write.write_all(&octets).await?;
    write.flush().await?;
    let expected = match config.mode {
        BindMode::Transceiver => command::BIND_TRANSCEIVER_RESP,
        BindMode::Transmitter => command::BIND_TRANSMITTER_RESP,
        BindMode::Receiver => command::BIND_RECEIVER_RESP,
    };
    loop {
        let frame = match frames.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(FrameError::Io(error))) => return Err(error.into()),
            Some(Err(FrameError::Length(length))) => {
                return Err(ConnectError::Ended(EndReason::BadLength(length)));
            }
            None => return Err(ConnectError::Ended(EndReason::PeerClosed)),
        };
        match (frame.command_id, frame.command_status) {
            (id, status::ROK) if id == expected => {
                tracing::info!(bind = config.name, peer = text(&frame.body), "bound");
                return Ok(());
            }
            (id, command_status) if id == expected || id == command::GENERIC_NACK => {
                return Err(ConnectError::Refused(command_status));
            }
            // An outbind, or an early enquire_link: the bind's answer follows.
            (id, _) => tracing::debug!(command_id = id, "ignored before the bind's answer"),
        }
    }
}
