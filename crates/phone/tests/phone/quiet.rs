//! What the number-plan library tells the log.

use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use sallyport_phone::parse;

use crate::country;

struct Recorder(Mutex<Vec<(Level, String)>>);

static RECORDER: Recorder = Recorder(Mutex::new(Vec::new()));

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0
            .lock()
            .unwrap()
            .push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// A release of the library that logs numbers where services listen must not get in unseen. At
/// *trace* it does log them, which the crate's documentation says; were that to end, the second
/// assertion says that the warning can go.
#[test]
fn numbers_reach_the_log_at_trace_only() {
    log::set_logger(&RECORDER).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for typed in [
        "06 12 34 56 78",
        "+33 6 12 34 56 78",
        "+1 612 345 678",
        "01 23 45 67 89",
        "0",
    ] {
        let _ = parse(typed, Some(country("FR"))).map(|number| number.international());
    }
    log::set_max_level(LevelFilter::Off);
    let records = RECORDER.0.lock().unwrap();
    let (traced, audible): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|(level, _)| *level == Level::Trace);
    let shows_digits = |text: &str| text.chars().filter(char::is_ascii_digit).count() > 3;
    assert!(
        audible.iter().all(|(_, text)| !shows_digits(text)),
        "{audible:?}"
    );
    assert!(traced.iter().any(|(_, text)| shows_digits(text)));
}
