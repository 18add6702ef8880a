//! Reading a `deliver_sm` (SMPP 3.4, 4.6.1), leniently.
//!
//! The codec refuses a whole `deliver_sm` for an identifier without its NUL, an address with a
//! Latin-1 letter or a TLV of an unusual length. Carriers send all three, and what is lost then is
//! a receipt. So the fields are read here, and a fault in the optional parameters costs those
//! parameters alone.

use std::fmt;

use bytes::Bytes;

use crate::answer::status;
use crate::frame::text;
use crate::receipt::{Receipt, Tlvs};
use crate::session::Replier;
use crate::text as coding;

/// A message that a person sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Who sent it: digits or a name, as it came.
    pub from: String,
    /// To which of our numbers.
    pub to: String,
    /// The text, read by its `data_coding` and without its user data header.
    pub text: String,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// What a `deliver_sm` brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What became of a message of ours.
    Receipt(Receipt),
    /// A message from a person.
    Inbound(Inbound),
}

/// An event, and the duty to say when it is safe.
#[derive(Debug)]
pub struct Delivery {
    /// What came.
    pub event: Event,
    /// To be used once the event is durable.
    pub acknowledgement: Acknowledgement,
}

/// The answer that a carrier waits for. Dropped unused it says "not now", and the carrier sends the
/// same again later.
#[derive(Debug)]
#[must_use = "dropped, it asks the carrier to send the same again"]
pub struct Acknowledgement {
    replier: Replier,
    sequence_number: u32,
    answered: bool,
}

impl Acknowledgement {
    pub(crate) fn new(replier: Replier, sequence_number: u32) -> Self {
        Self {
            replier,
            sequence_number,
            answered: false,
        }
    }

    /// The event is durable: the carrier may forget it. Has no effect on a session that is gone;
    /// the carrier then sends the event again on the next one.
    pub fn durable(mut self) {
        self.answer(status::ROK);
    }

    fn answer(&mut self, command_status: u32) {
        if !self.answered {
            self.answered = true;
            self.replier
                .deliver_sm_resp(self.sequence_number, command_status);
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        self.answer(status::RX_T_APPN);
    }
}

/// The mandatory part ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What was read from a `deliver_sm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Event(Event),
    /// A receipt that names no message: nothing can be done with it.
    Nameless,
}

struct Fields {
    rest: Bytes,
}

impl Fields {
    fn octet(&mut self) -> Result<u8, Unreadable> {
        let octet = *self.rest.first().ok_or(Unreadable)?;
        self.rest = self.rest.slice(1..);
        Ok(octet)
    }

    fn skip(&mut self, count: usize) -> Result<(), Unreadable> {
        self.take(count).map(drop)
    }

    fn take(&mut self, count: usize) -> Result<Bytes, Unreadable> {
        if self.rest.len() < count {
            return Err(Unreadable);
        }
        Ok(self.rest.split_to(count))
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        let end = self
            .rest
            .iter()
            .position(|octet| *octet == 0)
            .ok_or(Unreadable)?;
        let octets = self.take(end + 1)?;
        Ok(text(&octets))
    }

    /// The optional parameters up to the first that does not fit into what is left.
    fn tlvs(mut self) -> Tlvs {
        let mut tlvs = Tlvs::default();
        while let Ok(header) = self.take(4) {
            let tag = u16::from_be_bytes([header[0], header[1]]);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let Ok(value) = self.take(length) else { break };
            tlvs.see(tag, value);
        }
        tlvs
    }
}

pub(crate) fn read(body: Bytes) -> Result<Read, Unreadable> {
    let mut fields = Fields { rest: body };
    fields.string()?; // service_type
    fields.skip(2)?; // source TON, NPI
    let from = fields.string()?;
    fields.skip(2)?; // destination TON, NPI
    let to = fields.string()?;
    let esm_class = fields.octet()?;
    fields.skip(2)?; // protocol_id, priority_flag
    fields.string()?; // schedule_delivery_time
    fields.string()?; // validity_period
    fields.skip(2)?; // registered_delivery, replace_if_present_flag
    let data_coding = fields.octet()?;
    fields.skip(1)?; // sm_default_msg_id
    let length = usize::from(fields.octet()?);
    let short_message = fields.take(length)?;
    let mut tlvs = fields.tlvs();
    let message = match tlvs.payload.take() {
        Some(payload) if short_message.is_empty() => payload,
        _ => short_message,
    };

    // Bits 5–2 (5.2.12): 0001 is a receipt and 1000 an intermediate notification. Some carriers
    // leave them at zero and only add receipted_message_id, which nothing but a receipt carries.
    let kind = esm_class & 0x3C;
    if kind == 0x04 || kind == 0x20 || tlvs.receipted_message_id.is_some() {
        return Ok(match Receipt::read(&message, &tlvs) {
            Some(receipt) => Read::Event(Event::Receipt(receipt)),
            None => Read::Nameless,
        });
    }
    let with_header = esm_class & 0x40 != 0;
    Ok(Read::Event(Event::Inbound(Inbound {
        from,
        to,
        text: coding::decode(data_coding, coding::without_header(&message, with_header)),
    })))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::receipt::ReceiptState;
    use proptest::prelude::*;

    /// A `deliver_sm` body, field by field.
    pub(crate) fn body(esm_class: u8, data_coding: u8, message: &[u8], tlvs: &[u8]) -> Vec<u8> {
        let mut body = b"\0\x01\x0133612345678\0\x05\x00SALLYPORT\0".to_vec();
        body.extend_from_slice(&[esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0]);
        body.push(u8::try_from(message.len()).unwrap());
        body.extend_from_slice(message);
        body.extend_from_slice(tlvs);
        body
    }

    fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
        let mut tlv = tag.to_be_bytes().to_vec();
        tlv.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        tlv.extend_from_slice(value);
        tlv
    }

    fn receipt(body: Vec<u8>) -> Receipt {
        match read(body.into()) {
            Ok(Read::Event(Event::Receipt(receipt))) => receipt,
            other => panic!("{other:?}"),
        }
    }

    fn inbound(body: Vec<u8>) -> Inbound {
        match read(body.into()) {
            Ok(Read::Event(Event::Inbound(inbound))) => inbound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_receipt_from_its_text() {
        let receipt = receipt(body(0x04, 0, b"id:a1 stat:DELIVRD err:000", &[]));
        assert_eq!(receipt.message_id, "a1");
        assert_eq!(receipt.state, ReceiptState::Delivered);
    }

    #[test]
    fn parameters_come_before_the_text() {
        let tlvs = [
            tlv(0x1403, b"vendor"),
            tlv(0x001E, b"tlv-id\0"),
            tlv(0x0427, &[5]),
            tlv(0x0423, &[3, 0, 27]),
        ]
        .concat();
        let receipt = receipt(body(0x04, 0, b"id:text-id stat:DELIVRD err:000", &tlvs));
        assert_eq!(receipt.message_id, "tlv-id");
        assert_eq!(receipt.state, ReceiptState::Undeliverable);
        assert_eq!(receipt.error_code.as_deref(), Some("27"));
        assert_eq!(receipt.network_type, Some(3));
    }

    /// What the codec refuses and carriers send: an id without NUL, odd lengths, a cut-off end.
    #[test]
    fn faulty_parameters_cost_themselves_alone() {
        let tlvs = [
            tlv(0x001E, b"no-nul"),
            tlv(0x0427, &[0, 2]),
            vec![0x04, 0x23, 0x00],
        ]
        .concat();
        let receipt = receipt(body(0x04, 0, b"id:text-id stat:EXPIRED", &tlvs));
        assert_eq!(receipt.message_id, "no-nul");
        assert_eq!(receipt.state, ReceiptState::Expired);
        assert_eq!(receipt.error_code, None);
    }

    #[test]
    fn a_receipt_may_hide_behind_a_plain_esm_class() {
        let receipt = receipt(body(
            0,
            0,
            b"",
            &[tlv(0x001E, b"x\0"), tlv(0x0427, &[2])].concat(),
        ));
        assert_eq!(
            (receipt.message_id.as_str(), receipt.state),
            ("x", ReceiptState::Delivered)
        );
    }

    #[test]
    fn the_payload_parameter_replaces_an_empty_message() {
        let receipt = receipt(body(0x04, 0, b"", &tlv(0x0424, b"id:p1 stat:REJECTD")));
        assert_eq!(
            (receipt.message_id.as_str(), receipt.state),
            ("p1", ReceiptState::Rejected)
        );
    }

    #[test]
    fn a_receipt_without_any_id_is_nameless() {
        assert_eq!(
            read(body(0x04, 0, b"stat:DELIVRD", &[]).into()),
            Ok(Read::Nameless)
        );
        assert_eq!(
            read(body(0x04, 0, b"", &tlv(0x001E, b"\0")).into()),
            Ok(Read::Nameless)
        );
    }

    #[test]
    fn reads_inbound_messages_in_every_coding() {
        let read = inbound(body(0, 0, b"ARR\x1fT", &[]));
        assert_eq!(
            (read.from.as_str(), read.to.as_str()),
            ("33612345678", "SALLYPORT")
        );
        assert_eq!(read.text, "ARRÉT");
        assert_eq!(inbound(body(0, 3, &[b'A', 0xEA], &[])).text, "Aê");
        assert_eq!(
            inbound(body(0, 8, &[0x04, 0x21, 0x00, 0x21], &[])).text,
            "С!"
        );
        let with_header = b"\x05\x00\x03\x01\x02\x01STOP";
        assert_eq!(inbound(body(0x40, 0, with_header, &[])).text, "STOP");
    }

    #[test]
    fn an_inbound_message_masks_its_sender_and_text() {
        let shown = format!("{:?}", inbound(body(0, 0, b"secret", &[])));
        assert!(
            !shown.contains("336") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn a_cut_off_body_is_unreadable() {
        let whole = body(0x04, 0, b"id:1", &[]);
        for end in 0..whole.len() {
            assert_eq!(read(whole[..end].to_vec().into()), Err(Unreadable), "{end}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(octets.into());
        }

        #[test]
        fn arbitrary_messages_and_parameters_never_panic(
            esm_class: u8,
            data_coding: u8,
            message in prop::collection::vec(any::<u8>(), 0..255),
            tlvs in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            prop_assert!(read(body(esm_class, data_coding, &message, &tlvs).into()).is_ok());
        }
    }
}
