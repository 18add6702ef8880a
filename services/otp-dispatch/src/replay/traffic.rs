//! The traffic file: CSV with a header, a row for each code that was asked for. docs/fraud.md
//! describes it.

use std::collections::HashMap;
use std::fmt::Write;

use sallyport_chassis::clock::from_ms;
use sallyport_phone::PhoneNumber;

use crate::domain::challenge::Purpose;

/// The columns, in the order in which they are written.
const COLUMNS: [&str; 6] = [
    "time",
    "number",
    "purpose",
    "trusted",
    "verified_at",
    "pumped",
];

/// A code that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When, in unix milliseconds.
    pub at: i64,
    /// Where it was to go.
    pub number: PhoneNumber,
    /// What for.
    pub purpose: Purpose,
    /// A confirmed factor, or the one live code of a licensed user.
    pub trusted: bool,
    /// When the right code was given.
    pub verified_at: Option<i64>,
    /// What is known of who asked.
    pub pumped: Option<bool>,
}

/// Who asked for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    Good,
    /// Somebody who earns by the message.
    Pumped,
    /// One of the two: nobody verified it, and the file does not say.
    Unknown,
}

impl Row {
    /// Who asked. Where the file does not say, whoever gave the right code is good.
    pub fn kind(&self) -> Kind {
        match (self.pumped, self.verified_at) {
            (Some(true), _) => Kind::Pumped,
            (Some(false), _) | (None, Some(_)) => Kind::Good,
            (None, None) => Kind::Unknown,
        }
    }
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Counted from 1, the header included.
    pub line: usize,
    /// What is wrong, in words.
    pub what: String,
}

/// Reads a file. Columns stand in any order; those that are not ours are passed over, and all but
/// `time` and `number` may be missing.
///
/// # Errors
/// The first line that cannot be read.
pub fn read(text: &str) -> Result<Vec<Row>, Malformed> {
    let mut lines = text.lines().enumerate();
    let malformed = |index: usize, what: String| Malformed {
        line: index + 1,
        what,
    };
    let (_, header) = lines
        .next()
        .ok_or_else(|| malformed(0, "the file is empty".to_owned()))?;
    let header = header.trim_start_matches('\u{feff}');
    let columns: HashMap<&str, usize> = cells(header).zip(0..).collect();
    for needed in ["time", "number"] {
        if !columns.contains_key(needed) {
            return Err(malformed(0, format!("there is no column {needed}")));
        }
    }
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let cells: Vec<&str> = cells(line).collect();
            let cell = |name: &str| {
                let place = columns.get(name)?;
                cells.get(*place).copied().filter(|cell| !cell.is_empty())
            };
            row(cell).map_err(|what| malformed(index, what))
        })
        .collect()
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| cell.trim().trim_matches('"'))
}

fn row<'a>(cell: impl Fn(&str) -> Option<&'a str>) -> Result<Row, String> {
    let instant = |name: &str| match cell(name) {
        None => Ok(None),
        Some(text) => match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Some(instant.as_millisecond())),
            Err(_) => Err(format!("{name} {text:?} is no RFC 3339 instant")),
        },
    };
    let flag = |name: &str| match cell(name) {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(text) => Err(format!("{name} {text:?} is neither true nor false")),
    };
    let at = instant("time")?.ok_or("time is empty")?;
    let verified_at = instant("verified_at")?;
    if verified_at.is_some_and(|verified_at| verified_at < at) {
        return Err("verified_at is before time".to_owned());
    }
    let number = cell("number").ok_or("number is empty")?;
    let purpose = match cell("purpose") {
        None => Purpose::Enrolment,
        Some(word) => Purpose::ALL
            .into_iter()
            .find(|purpose| purpose.name() == word)
            .ok_or_else(|| format!("purpose {word:?} is unknown"))?,
    };
    Ok(Row {
        at,
        // Not repeated, as a traffic file's mistakes may end in a log.
        number: PhoneNumber::parse_e164(number).map_err(|_| "number is no E.164 number")?,
        purpose,
        trusted: flag("trusted")?.unwrap_or_default(),
        verified_at,
        pumped: flag("pumped")?,
    })
}

/// Writes a file that [`read`] reads.
pub fn write(rows: &[Row]) -> String {
    let mut text = COLUMNS.join(",");
    text.push('\n');
    for row in rows {
        let verified_at = row
            .verified_at
            .map(|at| from_ms(at).to_string())
            .unwrap_or_default();
        let pumped = row.pumped.map(|flag| flag.to_string()).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{verified_at},{pumped}",
            from_ms(row.at),
            row.number.e164(),
            row.purpose.name(),
            row.trusted,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_by_its_header_and_says_only_what_it_knows() {
        let text = "\u{feff}number, note ,time,verified_at\n\
                    +33612345678,x,2026-01-05T08:00:00Z,2026-01-05T08:00:20Z\n\n\
                    \"+33612345679\",,2026-01-05T09:00:00+01:00,\n";
        let rows = read(text).unwrap();
        let at = "2026-01-05T08:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let at = at.as_millisecond();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].at, rows[1].at), (at, at));
        assert_eq!(rows[0].verified_at, Some(at + 20_000));
        assert_eq!(rows[1].number.e164(), "+33612345679");
        assert_eq!(
            (rows[0].kind(), rows[1].kind()),
            (Kind::Good, Kind::Unknown)
        );
        assert!(!rows[1].trusted);
        assert_eq!(rows[1].purpose, Purpose::Enrolment);
    }

    #[test]
    fn what_is_written_is_read() {
        let number = PhoneNumber::parse_e164("+33612345678").unwrap();
        let rows: Vec<Row> = [None, Some(false), Some(true)]
            .into_iter()
            .zip(Purpose::ALL)
            .map(|(pumped, purpose)| Row {
                at: 1_764_000_000_000,
                number: number.clone(),
                purpose,
                trusted: pumped == Some(false),
                verified_at: pumped.map(|_| 1_764_000_020_000),
                pumped,
            })
            .collect();
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_no_number_is_repeated() {
        let header = "time,number,purpose,trusted,verified_at,pumped\n";
        let good = "2026-01-05T08:00:00Z,+33612345678,sign_in,true,,";
        assert_eq!(read(&format!("{header}{good}\n")).unwrap().len(), 1);
        for (from, to, told) in [
            ("2026-01-05T08:00:00Z", "yesterday", "RFC 3339"),
            ("2026-01-05T08:00:00Z", "", "time is empty"),
            ("+33612345678", "0612345678", "E.164"),
            ("+33612345678", "", "number is empty"),
            ("sign_in", "fun", "purpose"),
            ("true", "yes", "trusted"),
            ("true,", "true,2026-01-05T07:59:59Z", "before time"),
        ] {
            let text = format!("{header}{good}\n{}\n", good.replace(from, to));
            let error = read(&text).unwrap_err();
            assert_eq!(error.line, 3);
            assert!(error.what.contains(told), "{error}");
            assert!(!error.what.contains("612345678"), "{error}");
        }
        assert_eq!(read("").unwrap_err().line, 1);
        let error = read("time,phone\n").unwrap_err();
        assert_eq!(error.to_string(), "line 1: there is no column number");
    }
}
