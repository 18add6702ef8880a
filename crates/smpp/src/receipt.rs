//! Delivery receipts: from optional parameters first, then from the text (SMPP 3.4, appendix B).

use bytes::Bytes;

use crate::frame::text;

/// What a receipt says about a message (SMPP 3.4, 5.2.28; `Scheduled` and `Skipped` are of 5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptState {
    /// Waits for its time.
    Scheduled,
    /// On its way.
    Enroute,
    /// On the handset.
    Delivered,
    /// Its validity ran out.
    Expired,
    /// Deleted at the carrier.
    Deleted,
    /// Will never be delivered.
    Undeliverable,
    /// Taken by the carrier's staff on behalf of the subscriber; many carriers mean "on its way".
    Accepted,
    /// The carrier knows nothing, or says something unknown.
    Unknown,
    /// Refused by the carrier.
    Rejected,
    /// Left out on purpose.
    Skipped,
}

/// How much a [`ReceiptState`] settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finality {
    /// The message arrived; nothing follows.
    Delivered,
    /// The message will not arrive; nothing follows.
    Failed,
    /// More may follow.
    Intermediate,
    /// Says nothing: changes no stored state.
    Nothing,
}

impl ReceiptState {
    /// How much this state settles.
    #[must_use]
    pub const fn finality(self) -> Finality {
        match self {
            Self::Delivered => Finality::Delivered,
            Self::Expired
            | Self::Deleted
            | Self::Undeliverable
            | Self::Rejected
            | Self::Skipped => Finality::Failed,
            Self::Accepted | Self::Enroute | Self::Scheduled => Finality::Intermediate,
            Self::Unknown => Finality::Nothing,
        }
    }

    const fn from_octet(state: u8) -> Self {
        match state {
            0 => Self::Scheduled,
            1 => Self::Enroute,
            2 => Self::Delivered,
            3 => Self::Expired,
            4 => Self::Deleted,
            5 => Self::Undeliverable,
            6 => Self::Accepted,
            8 => Self::Rejected,
            9 => Self::Skipped,
            _ => Self::Unknown,
        }
    }

    /// By the first letters: carriers write both the seven-letter form and the whole word.
    fn from_word(word: &str) -> Self {
        let word = word.to_ascii_uppercase();
        [
            ("DELIV", Self::Delivered),
            ("EXPIR", Self::Expired),
            ("DELET", Self::Deleted),
            ("UNDEL", Self::Undeliverable),
            ("ACCEP", Self::Accepted),
            ("REJEC", Self::Rejected),
            ("ENROU", Self::Enroute),
            ("SCHED", Self::Scheduled),
            ("SKIPP", Self::Skipped),
        ]
        .into_iter()
        .find_map(|(start, state)| word.starts_with(start).then_some(state))
        .unwrap_or(Self::Unknown)
    }
}

/// What became of a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The carrier's id, verbatim. Carriers change its form between the answer and the receipt
    /// (hexadecimal and decimal, leading zeros, case): whoever matches must try each.
    pub message_id: String,
    /// What it says.
    pub state: ReceiptState,
    /// The network's error: the number of `network_error_code`, else the text's `err`, verbatim.
    pub error_code: Option<String>,
    /// The network that the number of `network_error_code` belongs to (SMPP 3.4, 5.3.2.31).
    pub network_type: Option<u8>,
    /// The text's `submit date`, verbatim and in the carrier's own time zone.
    pub submitted: Option<String>,
    /// The text's `done date`, likewise.
    pub done: Option<String>,
}

/// The optional parameters that matter here.
#[derive(Debug, Default)]
pub(crate) struct Tlvs {
    pub(crate) receipted_message_id: Option<String>,
    pub(crate) payload: Option<Bytes>,
    message_state: Option<u8>,
    network_error: Option<(u8, u16)>,
}

impl Tlvs {
    pub(crate) fn see(&mut self, tag: u16, value: Bytes) {
        match (tag, &value[..]) {
            (0x001E, id) => self.receipted_message_id = Some(text(id)),
            (0x0427, [state]) => self.message_state = Some(*state),
            (0x0423, [network, high, low]) => {
                self.network_error = Some((*network, u16::from_be_bytes([*high, *low])));
            }
            (0x0424, _) => self.payload = Some(value),
            _ => {}
        }
    }
}

impl Receipt {
    /// `None` if neither the parameters nor the text name a message.
    pub(crate) fn read(message: &[u8], tlvs: &Tlvs) -> Option<Self> {
        let words = Words::read(message);
        let message_id = tlvs
            .receipted_message_id
            .clone()
            .filter(|id| !id.is_empty())
            .or(words.id)
            .filter(|id| !id.is_empty())?;
        let state = match tlvs.message_state {
            Some(state) => ReceiptState::from_octet(state),
            None => words
                .stat
                .as_deref()
                .map_or(ReceiptState::Unknown, ReceiptState::from_word),
        };
        Some(Self {
            message_id,
            state,
            error_code: tlvs
                .network_error
                .map(|(_, code)| code.to_string())
                .or(words.err),
            network_type: tlvs.network_error.map(|(network, _)| network),
            submitted: words.submitted,
            done: words.done,
        })
    }
}

/// The words of `id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:…`, in any order
/// and case, with any of them missing. Nothing after `text:` is read: it is a piece of the message.
#[derive(Debug, Default)]
struct Words {
    id: Option<String>,
    submitted: Option<String>,
    done: Option<String>,
    stat: Option<String>,
    err: Option<String>,
}

const KEYS: [&str; 10] = [
    "submit date",
    "submit_date",
    "done date",
    "done_date",
    "dlvrd",
    "stat",
    "text",
    "sub",
    "err",
    "id",
];

impl Words {
    fn read(message: &[u8]) -> Self {
        let whole: String = message.iter().map(|octet| char::from(*octet)).collect();
        let lower = whole.to_ascii_lowercase();
        // (start of the key, start of the value, key)
        let mut found: Vec<(usize, usize, &str)> = Vec::new();
        let mut at = 0;
        while let Some((key, value)) = next_key(&lower, at) {
            found.push((key.0, value, key.1));
            if key.1 == "text" {
                break;
            }
            at = value;
        }
        let mut words = Self::default();
        for (index, (_, start, key)) in found.iter().enumerate() {
            let end = found.get(index + 1).map_or(whole.len(), |next| next.0);
            let value = whole[*start..end]
                .trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0' || c == ',')
                .to_owned();
            let field = match *key {
                "id" => &mut words.id,
                "submit date" | "submit_date" => &mut words.submitted,
                "done date" | "done_date" => &mut words.done,
                "stat" => &mut words.stat,
                "err" => &mut words.err,
                _ => continue,
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value);
            }
        }
        words
    }
}

/// The next `key:` at or after `from` that begins a word: its place, its name and where its value
/// begins.
fn next_key(lower: &str, from: usize) -> Option<((usize, &'static str), usize)> {
    let octets = lower.as_bytes();
    (from..octets.len()).find_map(|at| {
        if at > 0 && octets[at - 1].is_ascii_alphanumeric() {
            return None;
        }
        KEYS.into_iter().find_map(|key| {
            let rest = octets[at..].strip_prefix(key.as_bytes())?;
            let spaces = rest.iter().take_while(|octet| **octet == b' ').count();
            (rest.get(spaces) == Some(&b':')).then_some(((at, key), at + key.len() + spaces + 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &str) -> Receipt {
        Receipt::read(message.as_bytes(), &Tlvs::default()).unwrap()
    }

    #[test]
    fn reads_the_form_of_appendix_b() {
        let receipt = read(
            "id:0123456789 sub:001 dlvrd:001 submit date:2601021530 done date:2601021531 \
             stat:UNDELIV err:027 text:id:9 stat:DELIVRD",
        );
        assert_eq!(
            receipt,
            Receipt {
                message_id: "0123456789".into(),
                state: ReceiptState::Undeliverable,
                error_code: Some("027".into()),
                network_type: None,
                submitted: Some("2601021530".into()),
                done: Some("2601021531".into()),
            }
        );
    }

    #[test]
    fn order_case_spaces_and_gaps_do_not_matter() {
        let receipt = read("Stat : delivered\r\nDONE DATE:260102 Id: a-B/9 ,Err:\0");
        assert_eq!(receipt.message_id, "a-B/9");
        assert_eq!(receipt.state, ReceiptState::Delivered);
        assert_eq!(receipt.done.as_deref(), Some("260102"));
        assert_eq!(receipt.error_code, None);
    }

    #[test]
    fn a_key_inside_a_word_is_no_key() {
        let receipt = read("id:grid:7 mystat:x stat:EXPIRED");
        assert_eq!(receipt.message_id, "grid:7 mystat:x");
        assert_eq!(receipt.state, ReceiptState::Expired);
    }

    #[test]
    fn every_word_has_its_state_and_finality() {
        use Finality::{Delivered, Failed, Intermediate, Nothing};
        for (word, state, finality) in [
            ("DELIVRD", ReceiptState::Delivered, Delivered),
            ("EXPIRED", ReceiptState::Expired, Failed),
            ("DELETED", ReceiptState::Deleted, Failed),
            ("UNDELIV", ReceiptState::Undeliverable, Failed),
            ("REJECTD", ReceiptState::Rejected, Failed),
            ("SKIPPED", ReceiptState::Skipped, Failed),
            ("ACCEPTD", ReceiptState::Accepted, Intermediate),
            ("ENROUTE", ReceiptState::Enroute, Intermediate),
            ("SCHEDLD", ReceiptState::Scheduled, Intermediate),
            ("UNKNOWN", ReceiptState::Unknown, Nothing),
            ("BUFFERED", ReceiptState::Unknown, Nothing),
        ] {
            assert_eq!(read(&format!("id:1 stat:{word}")).state, state, "{word}");
            assert_eq!(state.finality(), finality, "{word}");
        }
    }

    #[test]
    fn every_octet_has_its_state() {
        use ReceiptState::*;
        let expected = [
            Scheduled,
            Enroute,
            Delivered,
            Expired,
            Deleted,
            Undeliverable,
            Accepted,
            Unknown,
            Rejected,
            Skipped,
            Unknown,
        ];
        for (octet, state) in (0..).zip(expected) {
            assert_eq!(ReceiptState::from_octet(octet), state);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(message in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Receipt::read(&message, &Tlvs::default());
        }

        #[test]
        fn an_id_survives_any_company(id in "[A-Za-z0-9-]{1,64}", before in "[a-z ]{0,20}") {
            let receipt = read(&format!("{before} id:{id} stat:DELIVRD"));
            prop_assert_eq!(receipt.message_id, id);
        }
    }
}
