//! Fuzz targets of what a carrier sends and of how texts are written; `crates/fuzz` says what runs
//! them. That a session survives arbitrary octets is a property in `tests/smpp/hostile.rs`.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::deliver::{self, Event, Inbound, Read};
use crate::frame::{FrameDecoder, FrameError, HEADER, command, text};
use crate::text::{Coding, decode, encode_gsm7, segments, septets, without_header};

/// The limit of the sessions.
const LONGEST: usize = 64 * 1024;

/// A stream of PDUs, as it is cut and its messages are read. No PDU reaches into the next, none is
/// longer than the limit, and what a person or a carrier wrote is not shown.
///
/// # Panics
/// Where that does not hold.
pub fn smpp(data: &[u8]) {
    let mut decoder = FrameDecoder::new(LONGEST);
    let mut source = BytesMut::from(data);
    loop {
        let before = source.len();
        match decoder.decode(&mut source) {
            Ok(Some(frame)) => {
                assert!(frame.body.len() <= LONGEST - HEADER);
                assert_eq!(before - source.len(), HEADER + frame.body.len());
                assert!(!text(&frame.body).contains('\0'));
                if frame.command_id == command::DELIVER_SM {
                    message(frame.body);
                }
            }
            Ok(None) => break,
            Err(FrameError::Length(length)) => {
                assert!(usize::try_from(length).is_ok_and(|l| !(HEADER..=LONGEST).contains(&l)));
                break;
            }
            Err(FrameError::Io(error)) => panic!("nothing is read from outside: {error}"),
        }
    }
    // The same octets as one message, which a stream seldom is.
    message(Bytes::copy_from_slice(data));
}

fn message(body: Bytes) {
    let octets = body.len();
    match deliver::read(body) {
        Ok(Read::Event(Event::Receipt(receipt))) => {
            assert!(!receipt.message_id.is_empty(), "a receipt names a message");
        }
        Ok(Read::Event(Event::Inbound(inbound))) => {
            assert!(inbound.text.chars().count() <= octets);
            let shown = format!("{inbound:?}");
            let nobody = Inbound {
                from: String::new(),
                text: String::new(),
                to: inbound.to,
            };
            assert_eq!(shown, format!("{nobody:?}"), "Debug shows who wrote what");
        }
        Ok(Read::Nameless) | Err(deliver::Unreadable) => {}
    }
}

/// A text as it is written: whole or in parts it is read again as itself, and no part is longer than
/// a message may be.
///
/// # Panics
/// Where that does not hold.
pub fn sms_text(data: &[u8]) {
    let Ok(written) = std::str::from_utf8(data) else {
        return;
    };
    assert_eq!(
        septets(written),
        encode_gsm7(written).map(|octets| octets.len())
    );
    let Ok(parts) = segments(written, 7) else {
        return;
    };
    let mut read = String::new();
    for part in &parts {
        let longest = match part.coding {
            Coding::Gsm7 if part.has_header => 7 + 152,
            Coding::Gsm7 => 160,
            Coding::Ucs2 => 140,
        };
        assert!(part.octets.len() <= longest, "{part:?}");
        assert_eq!(part.has_header, parts.len() > 1);
        let octets = without_header(&part.octets, part.has_header);
        read.push_str(&decode(part.coding.data_coding(), octets));
    }
    assert_eq!(read, written);
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_that_a_carrier_sends_breaks_a_promise() {
        sallyport_fuzz::check("smpp", super::smpp);
    }

    #[test]
    fn every_text_is_read_as_it_was_written() {
        sallyport_fuzz::check("sms_text", super::sms_text);
    }
}
