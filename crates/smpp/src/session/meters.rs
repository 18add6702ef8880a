//! The metrics of a session. Handles are made once: a label costs nothing per message.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::outcome::{EndReason, SubmitOutcome};

/// Why a PDU was of no use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Useless {
    /// Its body could not be read.
    Malformed,
    /// Its command is none that a client is sent.
    UnknownCommand,
    /// Nobody waits for it: late, repeated or invented.
    Unmatched,
    /// A receipt that names no message.
    NamelessReceipt,
}

pub(super) struct Meters {
    bind: String,
    seconds: Histogram,
    outcomes: [(&'static str, Counter); 4],
}

impl Meters {
    pub(super) fn new(bind: &str) -> Self {
        let outcomes = ["not_written", "unanswered", "accepted", "refused"].map(|outcome| {
            let counter = counter!(
                "smpp_submits_total", "bind" => bind.to_owned(), "outcome" => outcome);
            (outcome, counter)
        });
        Self {
            bind: bind.to_owned(),
            seconds: histogram!("smpp_submit_seconds", "bind" => bind.to_owned()),
            outcomes,
        }
    }

    pub(super) fn outcome(&self, outcome: &SubmitOutcome) {
        let label = outcome.label();
        for (name, counter) in &self.outcomes {
            if *name == label {
                counter.increment(1);
            }
        }
    }

    pub(super) fn answered(&self, after: Duration) {
        self.seconds.record(after.as_secs_f64());
    }

    pub(super) fn ended(&self, reason: EndReason) {
        counter!("smpp_sessions_ended_total",
            "bind" => self.bind.clone(), "reason" => reason.label())
        .increment(1);
    }

    pub(super) fn useless(&self, why: Useless) {
        let why = match why {
            Useless::Malformed => "malformed",
            Useless::UnknownCommand => "unknown_command",
            Useless::Unmatched => "unmatched",
            Useless::NamelessReceipt => "nameless_receipt",
        };
        counter!("smpp_useless_pdus_total", "bind" => self.bind.clone(), "why" => why).increment(1);
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters")
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}
