//! The hash chain of an organisation's event log, and its verification (rule 69).
//!
//! A row's hash covers the row, its place and the hash before it. Of persons it covers only a salted
//! hash of the *side row* (names, e-mail, address, browser): erasing salt and values later leaves the
//! chain whole, and a value that is still there can be proven. Details and ids are never erased, so
//! nothing personal may stand in them.
//!
//! Encoding: SHA-256 over a label and the fields in order, each with its length (u64, big endian)
//! before it; integers are 8 bytes, big endian. Rows of the first format stay verifiable for ever: a
//! new format gets a new label.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A place in a chain: its head, a retention checkpoint, or a head published elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Sequence of the row; 0 before the first.
    pub sequence: i64,
    /// Its hash.
    pub hash: Hash,
}

impl Mark {
    /// Before the first row.
    pub const START: Self = Self {
        sequence: 0,
        hash: [0; 32],
    };
}

/// What is personal in an event.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// 128 random bits in base64url, so that the hash cannot be tried out.
    pub salt: String,
    /// Address of the client.
    pub client_ip: String,
    /// Browser.
    pub user_agent: String,
    /// Name of the acting user at that time.
    pub actor_name: String,
    /// His e-mail.
    pub actor_email: String,
    /// Name of the user acted on.
    pub target_name: String,
    /// His e-mail.
    pub target_email: String,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(•••)")
    }
}

impl Person {
    /// The salted hash that the chain covers.
    pub fn hash(&self) -> Hash {
        let mut hash = Fields::new("sallyport.event.person.v1");
        for text in [
            &self.salt,
            &self.client_ip,
            &self.user_agent,
            &self.actor_name,
            &self.actor_email,
            &self.target_name,
            &self.target_email,
        ] {
            hash.text(text);
        }
        hash.done()
    }
}

/// The side row as verification finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// Its values are there.
    Present(Person),
    /// It was erased, and says so.
    Erased,
    /// It is not there at all.
    Missing,
}

/// A row's content, before it has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Made where the event happened.
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub occurred_at: i64,
    /// Type.
    pub kind: String,
    /// `success` or `refused`.
    pub result: String,
    /// Who acted: a user id, `operator:NAME`, `service:NAME`, or empty.
    pub actor: String,
    /// What was acted on.
    pub target: String,
    /// Reason of a refusal.
    pub reason: String,
    /// Joins the events of one request.
    pub request_id: String,
    /// Typed details.
    pub details: BTreeMap<String, String>,
    /// [`Person::hash`] of the side row.
    pub person_hash: Hash,
}

impl Content {
    /// The hash of this content as the row behind `previous`.
    pub fn hash(&self, organisation: Uuid, previous: Mark) -> Hash {
        let mut hash = Fields::new("sallyport.event.v1");
        hash.bytes(organisation.as_bytes());
        hash.number(previous.sequence + 1);
        hash.bytes(&previous.hash);
        hash.bytes(self.event_id.as_bytes());
        hash.number(self.occurred_at);
        for text in [
            &self.kind,
            &self.result,
            &self.actor,
            &self.target,
            &self.reason,
            &self.request_id,
        ] {
            hash.text(text);
        }
        hash.number(self.details.len() as i64);
        for (key, value) in &self.details {
            hash.text(key);
            hash.text(value);
        }
        hash.bytes(&self.person_hash);
        hash.done()
    }
}

struct Fields(Sha256);

impl Fields {
    fn new(label: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.text(label);
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn done(self) -> Hash {
        self.0.finalize().into()
    }
}

/// A stored row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its place.
    pub sequence: i64,
    /// What it says.
    pub content: Content,
    /// Hash of the row before, as stored.
    pub previous_hash: Hash,
    /// Its own hash, as stored.
    pub hash: Hash,
    /// Its side row.
    pub side: Side,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The row, or its link, is not what was written.
    Edited {
        /// The row.
        sequence: i64,
    },
    /// Rows are missing from the middle.
    Removed {
        /// First missing.
        first: i64,
        /// Last missing.
        last: i64,
    },
    /// Rows are missing from the end.
    CutOff {
        /// First missing.
        first: i64,
        /// Last missing, as the head knows.
        last: i64,
    },
    /// A personal value is not what was written.
    PersonEdited {
        /// The row.
        sequence: i64,
    },
    /// The side row is gone without having been erased.
    PersonRemoved {
        /// The row.
        sequence: i64,
    },
    /// The chain was written anew: its rows agree with each other and not with the head.
    Rewritten {
        /// Where it should agree.
        sequence: i64,
    },
}

/// What verification found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Rows whose personal part was erased in order.
    pub erased: u64,
    /// Rows before the start, retired in order under a checkpoint.
    pub retired: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies a log row by row, so that it need not fit into memory.
#[derive(Debug)]
pub struct Verifier {
    organisation: Uuid,
    /// The last row seen.
    last: Mark,
    head: Mark,
    report: Report,
}

impl Verifier {
    /// A log that starts behind `start` (or a retention checkpoint) and should reach `head`: the
    /// stored head, or one that was published elsewhere.
    pub fn new(organisation: Uuid, start: Mark, head: Mark) -> Self {
        Self {
            organisation,
            last: start,
            head,
            report: Report {
                retired: u64::try_from(start.sequence).unwrap_or(0),
                ..Report::default()
            },
        }
    }

    /// The next row by sequence.
    pub fn push(&mut self, row: &Row) {
        self.report.rows += 1;
        let sequence = row.sequence;
        let expected = self.last.sequence + 1;
        // Behind a gap only the row's own claim about its predecessor is left.
        let previous = if sequence == expected {
            self.last
        } else {
            self.report.findings.push(if sequence > expected {
                Finding::Removed {
                    first: expected,
                    last: sequence - 1,
                }
            } else {
                Finding::Edited { sequence }
            });
            Mark {
                sequence: sequence - 1,
                hash: row.previous_hash,
            }
        };
        let whole = row.previous_hash == previous.hash
            && row.content.hash(self.organisation, previous) == row.hash;
        if !whole {
            self.report.findings.push(Finding::Edited { sequence });
        } else if sequence == self.head.sequence && row.hash != self.head.hash {
            self.report.findings.push(Finding::Rewritten { sequence });
        }
        match &row.side {
            Side::Present(person) if person.hash() == row.content.person_hash => {}
            Side::Present(_) => self
                .report
                .findings
                .push(Finding::PersonEdited { sequence }),
            Side::Erased => self.report.erased += 1,
            Side::Missing => self
                .report
                .findings
                .push(Finding::PersonRemoved { sequence }),
        }
        self.last = Mark {
            sequence,
            hash: row.hash,
        };
    }

    /// The end of the rows.
    pub fn finish(mut self) -> Report {
        if self.last.sequence < self.head.sequence {
            self.report.findings.push(Finding::CutOff {
                first: self.last.sequence + 1,
                last: self.head.sequence,
            });
        }
        self.report
    }
}

/// Verifies rows that are at hand, in order of their sequence.
pub fn verify<'a>(
    organisation: Uuid,
    start: Mark,
    head: Mark,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Report {
    let mut verifier = Verifier::new(organisation, start, head);
    for row in rows {
        verifier.push(row);
    }
    verifier.finish()
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
