//! What a test expects of an outcome.

use std::time::Duration;

use sallyport_smpp::{Answer, NotWritten, SubmitOutcome, UnansweredReason};

/// Longer than anything a session waits for by itself.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn answer(outcome: SubmitOutcome) -> Answer {
    match outcome {
        SubmitOutcome::Answered(answer) => answer,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn accepted(id: &str) -> Answer {
    Answer {
        command_status: 0,
        message_id: Some(id.into()),
    }
}

pub(crate) fn unanswered(outcome: &SubmitOutcome) -> UnansweredReason {
    match outcome {
        SubmitOutcome::Unanswered(unanswered) => unanswered.reason(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn not_written(outcome: &SubmitOutcome) -> NotWritten {
    match outcome {
        SubmitOutcome::NotWritten(why) => *why,
        other => panic!("{other:?}"),
    }
}
