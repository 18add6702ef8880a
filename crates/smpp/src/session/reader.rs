//! The reader: takes what the peer sends, and minds the time since it last did.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rusmpp::Pdu;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::FramedRead;

use crate::answer::status;
use crate::deliver::{self, Acknowledgement, Delivery, Read, Unreadable};
use crate::frame::{Frame, FrameDecoder, FrameError, command, text};
use crate::outcome::{Answer, EndReason};

use super::flight::{Replier, Shared};
use super::meters::Useless;

/// RUNKNOWNERR. A negative answer that claims success is still negative.
const UNKNOWN_ERROR: u32 = 0xFF;

pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) deliveries: mpsc::Sender<Delivery>,
    pub(super) enquire_link_interval: Duration,
    pub(super) response_timeout: Duration,
}

impl Reader {
    pub(super) async fn run<R>(self, mut frames: FramedRead<R, FrameDecoder>)
    where
        R: AsyncRead + Unpin,
    {
        let reason = self.read(&mut frames).await;
        self.shared.end(reason);
    }

    async fn read<R>(&self, frames: &mut FramedRead<R, FrameDecoder>) -> EndReason
    where
        R: AsyncRead + Unpin,
    {
        let shared = Arc::clone(&self.shared);
        let mut over = std::pin::pin!(shared.over.cancelled());
        let mut deadline = Instant::now() + self.enquire_link_interval;
        let mut enquired = false;
        // Set anew only when it fires: a busy session does not touch the timer for every PDU.
        let mut timer = std::pin::pin!(sleep_until(deadline));
        loop {
            let next = tokio::select! {
                biased;
                () = &mut over => return EndReason::Dropped,
                next = frames.next() => next,
                () = &mut timer => {
                    if Instant::now() < deadline {
                        timer.as_mut().reset(deadline);
                        continue;
                    }
                    if enquired {
                        return EndReason::Silent;
                    }
                    enquired = true;
                    self.shared.enquire_link();
                    deadline = Instant::now() + self.response_timeout;
                    timer.as_mut().reset(deadline);
                    continue;
                }
            };
            match next {
                Some(Ok(frame)) => {
                    // Any PDU is a sign of life.
                    deadline = Instant::now() + self.enquire_link_interval;
                    if enquired {
                        enquired = false;
                        timer.as_mut().reset(deadline);
                    }
                    self.take(frame);
                }
                Some(Err(FrameError::Length(length))) => return EndReason::BadLength(length),
                Some(Err(FrameError::Io(error))) => return EndReason::Io(error.kind()),
                None => return EndReason::PeerClosed,
            }
        }
    }

    fn take(&self, frame: Frame) {
        let Frame {
            command_id,
            command_status,
            sequence_number,
            body,
        } = frame;
        match command_id {
            command::SUBMIT_SM_RESP => {
                // The header alone says whether the message was accepted. The body may be missing,
                // empty, or anything.
                let message_id = Some(text(&body)).filter(|id| !id.is_empty());
                self.answer(
                    sequence_number,
                    Answer {
                        command_status,
                        message_id,
                    },
                );
            }
            command::GENERIC_NACK => {
                let command_status = if command_status == status::ROK {
                    UNKNOWN_ERROR
                } else {
                    command_status
                };
                self.answer(
                    sequence_number,
                    Answer {
                        command_status,
                        message_id: None,
                    },
                );
            }
            command::DELIVER_SM => self.deliver(sequence_number, body),
            command::ENQUIRE_LINK => {
                self.shared
                    .reply(sequence_number, status::ROK, Pdu::EnquireLinkResp);
            }
            command::ENQUIRE_LINK_RESP | command::ALERT_NOTIFICATION | command::OUTBIND => {}
            command::UNBIND => self
                .shared
                .farewell(sequence_number, EndReason::PeerUnbound),
            command::UNBIND_RESP if self.shared.unbinding() => {
                self.shared.end(EndReason::Unbound);
            }
            _ if command_id & command::BIT_RESPONSE != 0 => {
                self.shared.meters.useless(Useless::Unmatched);
                tracing::warn!(command_id, sequence_number, "response to nothing ignored");
            }
            _ => {
                self.shared.meters.useless(Useless::UnknownCommand);
                tracing::warn!(command_id, sequence_number, "unknown command refused");
                self.shared
                    .reply(sequence_number, status::RINVCMDID, Pdu::GenericNack);
            }
        }
    }

    fn answer(&self, sequence_number: u32, answer: Answer) {
        let command_status = answer.command_status;
        if !self.shared.answer(sequence_number, answer) {
            self.shared.meters.useless(Useless::Unmatched);
            tracing::warn!(
                sequence_number,
                command_status,
                "nobody waits for this answer"
            );
        }
    }

    fn deliver(&self, sequence_number: u32, body: Bytes) {
        let replier = Replier(Arc::clone(&self.shared));
        let length = body.len();
        match deliver::read(body) {
            Ok(Read::Event(event)) => {
                let acknowledgement = Acknowledgement::new(replier, sequence_number);
                // If nobody takes it, it is dropped here, which asks the peer to try again. To
                // wait would be to leave the answers behind it unread.
                if self
                    .deliveries
                    .try_send(Delivery {
                        event,
                        acknowledgement,
                    })
                    .is_err()
                {
                    tracing::warn!(sequence_number, "no room for a delivery: refused for now");
                }
            }
            Ok(Read::Nameless) => {
                self.shared.meters.useless(Useless::NamelessReceipt);
                tracing::warn!(sequence_number, "a receipt names no message");
                replier.deliver_sm_resp(sequence_number, status::ROK);
            }
            Err(Unreadable) => {
                self.shared.meters.useless(Useless::Malformed);
                tracing::warn!(sequence_number, length, "unreadable deliver_sm refused");
                replier.deliver_sm_resp(sequence_number, status::RX_P_APPN);
            }
        }
    }
}
