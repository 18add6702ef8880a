//! Cutting the stream into PDUs (SMPP 3.4, 3.2).
//!
//! The stream is cut by `command_length` first and a PDU is read afterwards, within its own
//! octets: the reader of one PDU can never eat into the next, as it can where the codec decodes
//! straight from the stream.

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// The length of `command_length`, `command_id`, `command_status` and `sequence_number`.
pub(crate) const HEADER: usize = 16;

/// `command_id` values (SMPP 3.4, 5.1.2.1) that a client may be sent.
pub(crate) mod command {
    pub(crate) const BIT_RESPONSE: u32 = 0x8000_0000;
    pub(crate) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(crate) const BIND_RECEIVER_RESP: u32 = 0x8000_0001;
    pub(crate) const BIND_TRANSMITTER_RESP: u32 = 0x8000_0002;
    pub(crate) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
    pub(crate) const DELIVER_SM: u32 = 0x0000_0005;
    pub(crate) const UNBIND: u32 = 0x0000_0006;
    pub(crate) const UNBIND_RESP: u32 = 0x8000_0006;
    pub(crate) const BIND_TRANSCEIVER_RESP: u32 = 0x8000_0009;
    pub(crate) const OUTBIND: u32 = 0x0000_000B;
    pub(crate) const ENQUIRE_LINK: u32 = 0x0000_0015;
    pub(crate) const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
    pub(crate) const ALERT_NOTIFICATION: u32 = 0x0000_0102;
}

/// One PDU: its header, and its body unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) command_id: u32,
    pub(crate) command_status: u32,
    pub(crate) sequence_number: u32,
    pub(crate) body: Bytes,
}

/// Why the stream cannot be cut any further.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The announced length is shorter than a header or longer than the limit.
    Length(u32),
    Io(std::io::Error),
}

impl From<std::io::Error> for FrameError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Holds at most one PDU of the longest length, and what one read brought beyond it.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    longest: usize,
}

impl FrameDecoder {
    pub(crate) fn new(longest: usize) -> Self {
        Self { longest }
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(announced) = source.first_chunk::<4>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*announced);
        let length = usize::try_from(announced).map_err(|_| FrameError::Length(announced))?;
        if length < HEADER || length > self.longest {
            return Err(FrameError::Length(announced));
        }
        if source.len() < length {
            source.reserve(length - source.len());
            return Ok(None);
        }
        let mut body = source.split_to(length).freeze();
        body.advance(4);
        Ok(Some(Frame {
            command_id: body.get_u32(),
            command_status: body.get_u32(),
            sequence_number: body.get_u32(),
            body,
        }))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        // A PDU cut off by the end of the stream is no PDU; the end itself is reported by the
        // stream.
        self.decode(source)
    }
}

/// The text up to the first NUL, or all of it where a peer forgot the NUL. Octets above 127 are
/// read as Latin-1: no text is refused, and different octets stay different.
pub(crate) fn text(octets: &[u8]) -> String {
    octets
        .iter()
        .take_while(|octet| **octet != 0)
        .map(|octet| char::from(*octet))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pdu(command_id: u32, body: &[u8]) -> Vec<u8> {
        let mut octets = u32::try_from(HEADER + body.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        octets.extend_from_slice(&command_id.to_be_bytes());
        octets.extend_from_slice(&7_u32.to_be_bytes());
        octets.extend_from_slice(&9_u32.to_be_bytes());
        octets.extend_from_slice(body);
        octets
    }

    #[test]
    fn waits_for_a_whole_pdu_and_leaves_the_next() {
        let mut decoder = FrameDecoder::new(1024);
        let whole = [pdu(5, b"abc"), pdu(6, b"")].concat();
        let mut source = BytesMut::new();
        for octet in &whole[..18] {
            source.extend_from_slice(&[*octet]);
            assert!(decoder.decode(&mut source).unwrap().is_none());
        }
        source.extend_from_slice(&whole[18..]);
        let first = decoder.decode(&mut source).unwrap().unwrap();
        assert_eq!(
            (
                first.command_id,
                first.command_status,
                first.sequence_number
            ),
            (5, 7, 9)
        );
        assert_eq!(&first.body[..], b"abc");
        let second = decoder.decode(&mut source).unwrap().unwrap();
        assert_eq!((second.command_id, second.body.len()), (6, 0));
        assert!(source.is_empty());
    }

    #[test]
    fn absurd_lengths_are_an_error() {
        for length in [0_u32, 15, 1025, 0x8000_0000, u32::MAX] {
            let mut source = BytesMut::from(&length.to_be_bytes()[..]);
            let error = FrameDecoder::new(1024).decode(&mut source).unwrap_err();
            assert!(matches!(error, FrameError::Length(announced) if announced == length));
        }
    }

    #[test]
    fn a_forgotten_nul_is_forgiven() {
        assert_eq!(text(b"abc\0def"), "abc");
        assert_eq!(text(b"abc"), "abc");
        assert_eq!(text(b""), "");
        assert_eq!(text(&[0xE9, 0]), "é");
    }

    proptest! {
        /// Whatever comes, in whatever pieces: no panic, and never more memory than one PDU of
        /// the longest length beside the piece itself.
        #[test]
        fn arbitrary_octets_are_bounded(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20),
            start in prop::option::of(16_u32..2048),
        ) {
            const LONGEST: usize = 2048;
            let mut decoder = FrameDecoder::new(LONGEST);
            let mut source = BytesMut::new();
            if let Some(length) = start {
                source.extend_from_slice(&length.to_be_bytes());
            }
            'stream: for piece in pieces {
                source.extend_from_slice(&piece);
                loop {
                    match decoder.decode(&mut source) {
                        Ok(Some(frame)) => prop_assert!(frame.body.len() <= LONGEST - HEADER),
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(source.len() < LONGEST + 600);
                prop_assert!(source.capacity() <= 4 * LONGEST + 1200, "{}", source.capacity());
            }
        }
    }
}
