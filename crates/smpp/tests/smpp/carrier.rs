//! The carrier's side of one connection, on the codec's own decoder: an independent reading of
//! what we write.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rusmpp::pdus::{
    BindReceiverResp, BindTransceiverResp, BindTransmitterResp, SubmitSm, SubmitSmResp,
};
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::types::COctetString;
use rusmpp::{Command, CommandId, CommandStatus, Pdu};
use sallyport_smpp::{Address, Delivery, Password, Session, SessionConfig, SubmitRequest};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::Framed;

pub(crate) struct Carrier<S> {
    framed: Framed<S, CommandCodec>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carrier<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            framed: Framed::new(stream, CommandCodec::new()),
        }
    }

    /// The next PDU, or nothing once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        self.framed
            .next()
            .await
            .map(|command| command.expect("we write what the codec reads"))
    }

    pub(crate) async fn expect(&mut self, id: CommandId) -> Command {
        let command = self.next().await.expect("the connection is open");
        assert_eq!(command.id(), id);
        command
    }

    /// On a paused clock: everything has come to rest, and no PDU came.
    pub(crate) async fn expect_nothing(&mut self) {
        let next = timeout(Duration::from_millis(1), self.next()).await;
        assert!(
            next.is_err(),
            "unexpected {:?}",
            next.map(|c| c.map(|c| c.id()))
        );
    }

    pub(crate) async fn submit(&mut self) -> (u32, SubmitSm) {
        let command = self.expect(CommandId::SubmitSm).await;
        match command.pdu() {
            Some(Pdu::SubmitSm(submit)) => (command.sequence_number(), submit.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, sequence: u32, status: u32, pdu: impl Into<Pdu>) {
        let command = Command::new(CommandStatus::from(status), sequence, pdu);
        self.framed
            .send(command)
            .await
            .expect("the connection is open");
    }

    /// An answer with an id, as most carriers write it.
    pub(crate) async fn answer(&mut self, sequence: u32, status: u32, id: &str) {
        let id: COctetString<1, 65> = id.parse().unwrap();
        self.send(
            sequence,
            status,
            SubmitSmResp::builder().message_id(id).build(),
        )
        .await;
    }

    pub(crate) async fn raw(&mut self, octets: &[u8]) {
        let stream = self.framed.get_mut();
        stream
            .write_all(octets)
            .await
            .expect("the connection is open");
        stream.flush().await.expect("the connection is open");
    }

    /// For floods and garbage, after which the other side may be gone.
    pub(crate) async fn raw_unless_closed(&mut self, octets: &[u8]) {
        let _ = self.framed.get_mut().write_all(octets).await;
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        self.framed.get_mut()
    }

    /// Reads a bind and answers it.
    pub(crate) async fn bind(&mut self, status: u32) -> Command {
        let bind = self.next().await.expect("a bind");
        let sequence = bind.sequence_number();
        match bind.id() {
            CommandId::BindTransceiver => {
                self.send(sequence, status, BindTransceiverResp::default())
                    .await;
            }
            CommandId::BindTransmitter => {
                self.send(sequence, status, BindTransmitterResp::default())
                    .await;
            }
            CommandId::BindReceiver => {
                self.send(sequence, status, BindReceiverResp::default())
                    .await;
            }
            other => panic!("{other:?} is no bind"),
        }
        bind
    }
}

/// A PDU, octet by octet, for what the codec would not write.
pub(crate) fn pdu(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(16 + body.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    for word in [command, status, sequence] {
        octets.extend_from_slice(&word.to_be_bytes());
    }
    octets.extend_from_slice(body);
    octets
}

pub(crate) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
pub(crate) const DELIVER_SM: u32 = 0x0000_0005;

/// A `deliver_sm` with a receipt for `id`.
pub(crate) fn receipt(sequence: u32, id: &str) -> Vec<u8> {
    let text = format!("id:{id} sub:001 dlvrd:001 stat:DELIVRD err:000 text:");
    let mut body = b"\0\x01\x0133612345678\0\x05\x00SALLYPORT\0\x04\0\0\0\0\0\0\0\0".to_vec();
    body.push(u8::try_from(text.len()).unwrap());
    body.extend_from_slice(text.as_bytes());
    pdu(DELIVER_SM, 0, sequence, &body)
}

pub(crate) fn config() -> SessionConfig {
    SessionConfig::new("test", "127.0.0.1", 1, "sallyport", Password::new("secret"))
}

pub(crate) fn request() -> SubmitRequest {
    request_with("Your code is 123456")
}

pub(crate) fn request_with(text: &str) -> SubmitRequest {
    SubmitRequest::new(
        Address::alphanumeric("SALLYPORT").unwrap(),
        Address::international("+33612345678").unwrap(),
        0,
        text.as_bytes().to_vec(),
    )
    .unwrap()
}

/// A session bound over memory, its carrier, and what it delivers.
pub(crate) async fn bound(
    config: &SessionConfig,
) -> (Session, Carrier<DuplexStream>, mpsc::Receiver<Delivery>) {
    bound_over(config, 64 * 1024).await
}

/// The same over a stream that holds this many octets.
pub(crate) async fn bound_over(
    config: &SessionConfig,
    room: usize,
) -> (Session, Carrier<DuplexStream>, mpsc::Receiver<Delivery>) {
    let (ours, theirs) = tokio::io::duplex(room);
    let mut carrier = Carrier::new(theirs);
    let (sender, deliveries) = mpsc::channel(8);
    let (session, _) = tokio::join!(Session::over(ours, config, sender), carrier.bind(0));
    (session.expect("bound"), carrier, deliveries)
}
