//! What is in flight: the table between submitters, reader and writer, and the end of it all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusmpp::pdus::{DeliverSmResp, SubmitSm};
use rusmpp::{Command, CommandStatus, Pdu};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::status;
use crate::config::SessionConfig;
use crate::outcome::{Answer, EndReason, NotWritten};

use super::meters::Meters;

/// The sequence number of the bind; what follows counts from here.
pub(super) const BIND_SEQUENCE: u32 = 1;
/// The last sequence number of SMPP 3.4 (3.2).
const LAST_SEQUENCE: u32 = 0x7FFF_FFFF;
/// PDUs that may wait for the writer. Far beyond what a window and the answers to a live peer come
/// to: who lets it grow that far has stopped reading.
const MOST_QUEUED: usize = 4 * SessionConfig::MOST_WINDOW;

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No octet of it was handed to the socket, and after it is withdrawn none will be.
    Queued,
    /// Some or all of its octets may be with the peer.
    Written,
}

/// How a message's wait ended.
#[derive(Debug)]
pub(super) enum Settled {
    Answer(Answer),
    Ended { written: bool, reason: EndReason },
}

#[derive(Debug)]
struct Flight {
    stage: Stage,
    settle: oneshot::Sender<Settled>,
}

#[derive(Debug)]
struct Table {
    last: u32,
    flights: HashMap<u32, Flight>,
    ended: Option<EndReason>,
}

impl Table {
    /// The next sequence number: 1 follows the last, and one that still waits for its answer is
    /// passed over.
    fn next(&mut self) -> u32 {
        loop {
            self.last = if self.last >= LAST_SEQUENCE {
                1
            } else {
                self.last + 1
            };
            if !self.flights.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

/// What the writer does besides writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Written only if it is still wanted.
    Submit,
    /// The last PDU of the session.
    Farewell(EndReason),
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) command: Command,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) window: Semaphore,
    pub(super) in_flight: TaskTracker,
    pub(super) over: CancellationToken,
    pub(super) meters: Meters,
    table: Mutex<Table>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    queued: AtomicUsize,
    unbinding: AtomicBool,
}

impl Shared {
    pub(super) fn new(config: &SessionConfig) -> (Arc<Self>, mpsc::UnboundedReceiver<Outgoing>) {
        // Bounded by `MOST_QUEUED`, which ends the session; a bounded channel would make the
        // reader wait for a peer that does not read.
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Self {
            window: Semaphore::new(config.window),
            in_flight: TaskTracker::new(),
            over: CancellationToken::new(),
            meters: Meters::new(&config.name),
            table: Mutex::new(Table {
                last: BIND_SEQUENCE,
                flights: HashMap::with_capacity(config.window),
                ended: None,
            }),
            outgoing,
            queued: AtomicUsize::new(0),
            unbinding: AtomicBool::new(false),
        };
        (Arc::new(shared), queue)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; a poisoned table is as good as any.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a message into the table and queues it.
    pub(super) fn launch(this: &Arc<Self>, submit: SubmitSm) -> Result<Waiting, NotWritten> {
        let (settle, settled) = oneshot::channel();
        let sequence_number = {
            let mut table = this.table();
            if let Some(reason) = table.ended {
                return Err(NotWritten::SessionEnded(reason));
            }
            let sequence_number = table.next();
            table.flights.insert(
                sequence_number,
                Flight {
                    stage: Stage::Queued,
                    settle,
                },
            );
            sequence_number
        };
        this.send(sequence_number, status::ROK, submit, Kind::Submit);
        Ok(Waiting {
            shared: Arc::clone(this),
            sequence_number,
            settled,
        })
    }

    /// The writer is about to hand a message to the socket. False if nobody wants it any more.
    pub(super) fn about_to_write(&self, sequence_number: u32) -> bool {
        match self.table().flights.get_mut(&sequence_number) {
            Some(flight) => {
                flight.stage = Stage::Written;
                true
            }
            None => false,
        }
    }

    /// The wait for an answer is over. A queued message is taken out, and so never written; a
    /// written one stays, for an answer that comes late. `None` if it was settled meanwhile.
    pub(super) fn withdraw(&self, sequence_number: u32) -> Option<Stage> {
        let mut table = self.table();
        let stage = table.flights.get(&sequence_number)?.stage;
        if stage == Stage::Queued {
            table.flights.remove(&sequence_number);
        }
        Some(stage)
    }

    /// False if no message waits for this answer.
    pub(super) fn answer(&self, sequence_number: u32, answer: Answer) -> bool {
        let flight = self.table().flights.remove(&sequence_number);
        match flight {
            Some(flight) => flight.settle.send(Settled::Answer(answer)).is_ok(),
            None => false,
        }
    }

    fn forget(&self, sequence_number: u32) {
        self.table().flights.remove(&sequence_number);
    }

    /// Why a slot is refused.
    pub(super) fn refusal(&self) -> NotWritten {
        self.end_reason()
            .map_or(NotWritten::Stopping, NotWritten::SessionEnded)
    }

    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.table().ended
    }

    /// Ends the session, once: settles everything in flight and stops both tasks.
    pub(super) fn end(&self, reason: EndReason) {
        let flights = {
            let mut table = self.table();
            if table.ended.is_some() {
                return;
            }
            table.ended = Some(reason);
            std::mem::take(&mut table.flights)
        };
        let unanswered = flights
            .values()
            .filter(|f| f.stage == Stage::Written)
            .count();
        tracing::info!(reason = reason.label(), unanswered, "session ended");
        self.meters.ended(reason);
        self.window.close();
        for flight in flights.into_values() {
            let written = flight.stage == Stage::Written;
            // Nobody may listen any more.
            let _ = flight.settle.send(Settled::Ended { written, reason });
        }
        self.over.cancel();
    }

    fn send(&self, sequence_number: u32, command_status: u32, pdu: impl Into<Pdu>, kind: Kind) {
        let command = Command::new(CommandStatus::from(command_status), sequence_number, pdu);
        if self.queued.fetch_add(1, Ordering::Relaxed) >= MOST_QUEUED {
            self.end(EndReason::NotReading);
        }
        // The writer is gone only after the session's end, which settles everything.
        let _ = self.outgoing.send(Outgoing { command, kind });
    }

    /// The writer took one.
    pub(super) fn dequeued(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn enquire_link(&self) {
        let sequence_number = self.table().next();
        self.send(sequence_number, status::ROK, Pdu::EnquireLink, Kind::Plain);
    }

    pub(super) fn unbind(&self) {
        self.unbinding.store(true, Ordering::Release);
        let sequence_number = self.table().next();
        self.send(sequence_number, status::ROK, Pdu::Unbind, Kind::Plain);
    }

    pub(super) fn unbinding(&self) -> bool {
        self.unbinding.load(Ordering::Acquire)
    }

    pub(super) fn reply(&self, sequence_number: u32, command_status: u32, pdu: Pdu) {
        self.send(sequence_number, command_status, pdu, Kind::Plain);
    }

    pub(super) fn farewell(&self, sequence_number: u32, reason: EndReason) {
        self.send(
            sequence_number,
            status::ROK,
            Pdu::UnbindResp,
            Kind::Farewell(reason),
        );
    }
}

/// A message that waits to be settled. Dropped, it leaves the table.
#[derive(Debug)]
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    pub(super) sequence_number: u32,
    settled: oneshot::Receiver<Settled>,
}

impl Waiting {
    pub(super) async fn settled(&mut self) -> Settled {
        match (&mut self.settled).await {
            Ok(settled) => settled,
            // Its sender leaves the table only to be used, or by our own drop.
            Err(_) => Settled::Ended {
                written: true,
                reason: EndReason::Dropped,
            },
        }
    }

    /// The answer, if one comes before the session ends.
    pub(crate) async fn answer(mut self) -> Option<Answer> {
        match self.settled().await {
            Settled::Answer(answer) => Some(answer),
            Settled::Ended { .. } => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.forget(self.sequence_number);
    }
}

/// Answers a `deliver_sm` of this session.
#[derive(Debug, Clone)]
pub(crate) struct Replier(pub(super) Arc<Shared>);

impl Replier {
    pub(crate) fn deliver_sm_resp(&self, sequence_number: u32, command_status: u32) {
        self.0.reply(
            sequence_number,
            command_status,
            DeliverSmResp::default().into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Password;
    use crate::{Address, SubmitRequest};

    fn shared() -> (Arc<Shared>, mpsc::UnboundedReceiver<Outgoing>) {
        Shared::new(&SessionConfig::new(
            "test",
            "localhost",
            1,
            "id",
            Password::new(""),
        ))
    }

    fn submit() -> SubmitSm {
        let address = Address::new(3, 0, "12345").unwrap();
        SubmitRequest::new(address.clone(), address, 0, b"x".to_vec())
            .unwrap()
            .pdu()
    }

    #[test]
    fn sequence_numbers_wrap_and_pass_over_those_in_use() {
        let (shared, _queue) = shared();
        let first = Shared::launch(&shared, submit()).unwrap();
        assert_eq!(first.sequence_number, 2);
        shared.table().last = LAST_SEQUENCE - 1;
        assert_eq!(
            Shared::launch(&shared, submit()).unwrap().sequence_number,
            LAST_SEQUENCE
        );
        assert_eq!(
            Shared::launch(&shared, submit()).unwrap().sequence_number,
            1
        );
        assert_eq!(
            Shared::launch(&shared, submit()).unwrap().sequence_number,
            3
        );
    }

    #[test]
    fn a_withdrawn_message_is_never_written() {
        let (shared, _queue) = shared();
        let waiting = Shared::launch(&shared, submit()).unwrap();
        assert_eq!(
            shared.withdraw(waiting.sequence_number),
            Some(Stage::Queued)
        );
        assert!(!shared.about_to_write(waiting.sequence_number));
    }

    #[test]
    fn a_written_message_stays_for_a_late_answer_and_leaves_with_its_waiter() {
        let (shared, _queue) = shared();
        let waiting = Shared::launch(&shared, submit()).unwrap();
        let sequence_number = waiting.sequence_number;
        assert!(shared.about_to_write(sequence_number));
        assert_eq!(shared.withdraw(sequence_number), Some(Stage::Written));
        assert!(shared.table().flights.contains_key(&sequence_number));
        drop(waiting);
        assert!(shared.table().flights.is_empty());
    }

    #[test]
    fn after_the_end_nothing_is_launched() {
        let (shared, _queue) = shared();
        shared.end(EndReason::PeerClosed);
        shared.end(EndReason::Unbound);
        assert_eq!(
            Shared::launch(&shared, submit()).err(),
            Some(NotWritten::SessionEnded(EndReason::PeerClosed))
        );
    }

    #[test]
    fn a_peer_that_does_not_read_ends_the_session() {
        let (shared, _queue) = shared();
        for _ in 0..MOST_QUEUED {
            shared.reply(1, status::ROK, Pdu::EnquireLinkResp);
        }
        assert_eq!(shared.end_reason(), None);
        shared.reply(1, status::ROK, Pdu::EnquireLinkResp);
        assert_eq!(shared.end_reason(), Some(EndReason::NotReading));
    }
}
