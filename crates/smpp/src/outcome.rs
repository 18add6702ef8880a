//! What became of a `submit_sm`.

use std::time::Duration;

use crate::answer::{Class, classify};
use crate::session::Waiting;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// We unbound it.
    Unbound,
    /// The peer unbound it.
    PeerUnbound,
    /// The peer closed the connection.
    PeerClosed,
    /// Reading or writing failed.
    Io(std::io::ErrorKind),
    /// The peer announced a PDU shorter than a header or longer than the limit: what follows
    /// cannot be framed any more.
    BadLength(u32),
    /// The peer did not answer `enquire_link` in time.
    Silent,
    /// The peer sends, and does not read what it gets.
    NotReading,
    /// Its owner dropped it.
    Dropped,
}

impl EndReason {
    /// A word for metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::PeerUnbound => "peer_unbound",
            Self::PeerClosed => "peer_closed",
            Self::Io(_) => "io",
            Self::BadLength(_) => "bad_length",
            Self::Silent => "silent",
            Self::NotReading => "not_reading",
            Self::Dropped => "dropped",
        }
    }
}

/// Why a message was not written. None of its octets were handed to the socket: an attempt
/// elsewhere is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotWritten {
    /// There is no bound session now.
    NotBound,
    /// The bind rests because the carrier asked for it.
    Paused,
    /// No slot of the window came free in time.
    WindowFull,
    /// The connection took no octets within the response time-out.
    Stalled,
    /// The session ended before the message's turn.
    SessionEnded(EndReason),
    /// The bind is stopping.
    Stopping,
    /// The session is bound as a receiver.
    ReceiverOnly,
    /// What had to come before the writing said no.
    Withdrawn,
}

/// The answer of the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `command_status`, as it came, known or not. Of a `generic_nack` too.
    pub command_status: u32,
    /// The carrier's id of the message, verbatim, if it gave one. Octets above 127 are read as
    /// Latin-1, so that different ids stay different.
    pub message_id: Option<String>,
}

/// Why there is no answer to a written message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnansweredReason {
    /// Not within the response time-out. The window's slot is free again.
    TimedOut,
    /// The session ended first.
    SessionEnded(EndReason),
}

/// A message that was written (or may have been in part) and has no answer.
#[derive(Debug)]
pub struct Unanswered {
    pub(crate) reason: UnansweredReason,
    pub(crate) waiting: Option<Waiting>,
}

impl Unanswered {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> UnansweredReason {
        self.reason
    }

    /// Waits for an answer that comes late after all. `None` if it does not come within `at_most`,
    /// or cannot come because the session is gone.
    pub async fn late(self, at_most: Duration) -> Option<Answer> {
        let waiting = self.waiting?;
        tokio::time::timeout(at_most, waiting.answer())
            .await
            .ok()
            .flatten()
    }
}

/// What became of a `submit_sm`.
#[derive(Debug)]
pub enum SubmitOutcome {
    /// It never left: a free retry.
    NotWritten(NotWritten),
    /// It left and nobody answered: a second copy may reach the person.
    Unanswered(Unanswered),
    /// It was answered. [`classify`] says what the answer means.
    Answered(Answer),
}

impl SubmitOutcome {
    /// What to do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NotWritten(_) => Class::FreeRetry,
            Self::Unanswered(_) => Class::Ambiguous,
            Self::Answered(answer) => classify(answer.command_status),
        }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NotWritten(_) => "not_written",
            Self::Unanswered(_) => "unanswered",
            Self::Answered(answer) if answer.command_status == 0 => "accepted",
            Self::Answered(_) => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_class() {
        let answered = |command_status| {
            SubmitOutcome::Answered(Answer {
                command_status,
                message_id: None,
            })
        };
        assert_eq!(
            SubmitOutcome::NotWritten(NotWritten::Stalled).class(),
            Class::FreeRetry
        );
        assert_eq!(
            SubmitOutcome::Unanswered(Unanswered {
                reason: UnansweredReason::TimedOut,
                waiting: None
            })
            .class(),
            Class::Ambiguous
        );
        assert_eq!(answered(0).class(), Class::Accepted);
        assert_eq!(answered(0x0B).class(), Class::Permanent);
    }
}
