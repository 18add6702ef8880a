//! A `submit_sm` (SMPP 3.4, 4.4.1) that cannot be wrong: what does not fit is refused when it is
//! made and not when it is sent.

use std::fmt;
use std::time::Duration;

use rusmpp::pdus::SubmitSm;
use rusmpp::types::{COctetString, EmptyOrFullCOctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, RegisteredDelivery, Ton};

use crate::text::Encoded;

/// What does not fit into a `submit_sm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A number has 1 to 15 digits (ITU-T E.164).
    #[error("not an E.164 number")]
    Number,
    /// An address has 1 to 20 ASCII characters, an alphanumeric one 1 to 11.
    #[error("not an address")]
    Address,
    /// A short message has at most 254 octets.
    #[error("the message is longer than 254 octets")]
    Message,
    /// A relative validity lies between one second and 31 days.
    #[error("the validity is out of bounds")]
    Validity,
}

/// An address with its type of number and numbering plan (SMPP 3.4, 5.2.5 and 5.2.6).
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    ton: u8,
    npi: u8,
    value: COctetString<1, 21>,
}

impl Address {
    /// An international number, with or without its `+`: TON 1, NPI 1.
    ///
    /// # Errors
    /// [`RequestError::Number`]
    pub fn international(number: &str) -> Result<Self, RequestError> {
        let digits = number.strip_prefix('+').unwrap_or(number);
        if !(1..=15).contains(&digits.len()) || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(RequestError::Number);
        }
        Self::new(1, 1, digits)
    }

    /// A name as sender: TON 5, NPI 0.
    ///
    /// # Errors
    /// [`RequestError::Address`] beyond 11 characters, which no handset shows.
    pub fn alphanumeric(name: &str) -> Result<Self, RequestError> {
        if name.len() > 11 {
            return Err(RequestError::Address);
        }
        Self::new(5, 0, name)
    }

    /// An address with the TON and NPI that the route asks for, such as 3 and 0 for a short code.
    ///
    /// # Errors
    /// [`RequestError::Address`]
    pub fn new(ton: u8, npi: u8, value: &str) -> Result<Self, RequestError> {
        if value.is_empty() || !value.bytes().all(|c| (0x20..0x7F).contains(&c)) {
            return Err(RequestError::Address);
        }
        Ok(Self {
            ton,
            npi,
            value: value.parse().map_err(|_| RequestError::Address)?,
        })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, {}, ***)", self.ton, self.npi)
    }
}

/// Which receipts are asked for (SMPP 3.4, 5.2.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receipts {
    /// None.
    None,
    /// One for the final state, good or bad.
    Final,
    /// One if the message fails.
    Failures,
}

/// A message to submit.
#[derive(Clone, PartialEq)]
pub struct SubmitRequest(SubmitSm);

impl SubmitRequest {
    /// A message in octets, at a `data_coding`, with a receipt for its final state.
    ///
    /// # Errors
    /// [`RequestError::Message`]
    pub fn new(
        source: Address,
        destination: Address,
        data_coding: u8,
        short_message: impl Into<Vec<u8>>,
    ) -> Result<Self, RequestError> {
        let short_message: Vec<u8> = short_message.into();
        if short_message.len() > 254 {
            return Err(RequestError::Message);
        }
        let short_message =
            OctetString::from_vec(short_message).map_err(|_| RequestError::Message)?;
        let submit = SubmitSm::builder()
            .source_addr_ton(Ton::from(source.ton))
            .source_addr_npi(Npi::from(source.npi))
            .source_addr(source.value)
            .dest_addr_ton(Ton::from(destination.ton))
            .dest_addr_npi(Npi::from(destination.npi))
            .destination_addr(destination.value)
            // The codec's own default is 0x08, "delivery acknowledgement".
            .esm_class(EsmClass::from(0))
            .data_coding(DataCoding::from(data_coding))
            .short_message(short_message)
            .build();
        Ok(Self(submit).receipts(Receipts::Final))
    }

    /// A text that [`crate::text`] encoded, whole or one part of several.
    ///
    /// # Errors
    /// [`RequestError::Message`]
    pub fn text(
        source: Address,
        destination: Address,
        text: Encoded,
    ) -> Result<Self, RequestError> {
        let esm_class = if text.has_header { 0x40 } else { 0 };
        Ok(
            Self::new(source, destination, text.coding.data_coding(), text.octets)?
                .esm_class(esm_class),
        )
    }

    /// Which receipts are asked for.
    #[must_use]
    pub fn receipts(mut self, receipts: Receipts) -> Self {
        self.0.registered_delivery = RegisteredDelivery::from(match receipts {
            Receipts::None => 0,
            Receipts::Final => 1,
            Receipts::Failures => 2,
        });
        self
    }

    /// How long the carrier may try, in the relative form (SMPP 3.4, 7.1.1), in whole seconds.
    ///
    /// # Errors
    /// [`RequestError::Validity`]
    pub fn validity(mut self, validity: Duration) -> Result<Self, RequestError> {
        let seconds = validity.as_secs();
        if !(1..=31 * 86_400).contains(&seconds) {
            return Err(RequestError::Validity);
        }
        let text = format!(
            "0000{:02}{:02}{:02}{:02}000R",
            seconds / 86_400,
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        );
        self.0.validity_period =
            EmptyOrFullCOctetString::from_string(text).map_err(|_| RequestError::Validity)?;
        Ok(self)
    }

    /// The carrier's own validity, for routes that refuse ours.
    #[must_use]
    pub fn without_validity(mut self) -> Self {
        self.0.validity_period = EmptyOrFullCOctetString::empty();
        self
    }

    /// Mode, type and features (SMPP 3.4, 5.2.12); 0x40 says that the message begins with a user
    /// data header.
    #[must_use]
    pub fn esm_class(mut self, esm_class: u8) -> Self {
        self.0.esm_class = EsmClass::from(esm_class);
        self
    }

    /// What the octets mean to this carrier, where it differs from the standard.
    #[must_use]
    pub fn data_coding(mut self, data_coding: u8) -> Self {
        self.0.data_coding = DataCoding::from(data_coding);
        self
    }

    pub(crate) fn pdu(&self) -> SubmitSm {
        self.0.clone()
    }
}

impl fmt::Debug for SubmitRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitRequest")
            .field("data_coding", &self.0.data_coding)
            .field("octets", &self.0.sm_length())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use rusmpp::tokio_codec::CommandCodec;
    use rusmpp::{Command, CommandStatus};
    use tokio_util::codec::Encoder;

    fn wire(request: &SubmitRequest) -> Vec<u8> {
        let mut octets = BytesMut::new();
        CommandCodec::new()
            .encode(
                &Command::new(CommandStatus::EsmeRok, 1, request.pdu()),
                &mut octets,
            )
            .unwrap();
        octets.to_vec()
    }

    fn request() -> SubmitRequest {
        SubmitRequest::new(
            Address::alphanumeric("SALLYPORT").unwrap(),
            Address::international("+33612345678").unwrap(),
            0,
            b"code".to_vec(),
        )
        .unwrap()
    }

    /// Octet by octet against SMPP 3.4, 4.4.1.
    #[test]
    fn the_wire_is_exact() {
        let request = request().validity(Duration::from_secs(300)).unwrap();
        let mut expected = vec![0, 0, 0, 73, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1];
        expected.extend_from_slice(b"\0"); // service_type
        expected.extend_from_slice(b"\x05\x00SALLYPORT\0");
        expected.extend_from_slice(b"\x01\x0133612345678\0");
        expected.extend_from_slice(&[0, 0, 0]); // esm_class, protocol_id, priority_flag
        expected.extend_from_slice(b"\0"); // schedule_delivery_time
        expected.extend_from_slice(b"000000000500000R\0");
        expected.extend_from_slice(&[1, 0, 0, 0]); // registered_delivery … sm_default_msg_id
        expected.extend_from_slice(b"\x04code");
        assert_eq!(wire(&request), expected);
    }

    #[test]
    fn raw_octets_survive_the_codec() {
        for octet in 0..=u8::MAX {
            assert_eq!(u8::from(request().esm_class(octet).0.esm_class), octet);
            assert_eq!(u8::from(request().data_coding(octet).0.data_coding), octet);
            assert_eq!(u8::from(Ton::from(octet)), octet);
            assert_eq!(u8::from(Npi::from(octet)), octet);
        }
        for (receipts, octet) in [
            (Receipts::None, 0),
            (Receipts::Final, 1),
            (Receipts::Failures, 2),
        ] {
            assert_eq!(
                u8::from(request().receipts(receipts).0.registered_delivery),
                octet
            );
        }
    }

    #[test]
    fn validity_counts_days_hours_minutes_seconds() {
        let text = |seconds| {
            let request = request().validity(Duration::from_secs(seconds)).unwrap();
            String::from_utf8(request.0.validity_period.to_vec()).unwrap()
        };
        assert_eq!(text(1), "000000000001000R\0");
        assert_eq!(text(90_061), "000001010101000R\0");
        assert_eq!(text(31 * 86_400), "000031000000000R\0");
        assert_eq!(
            request().validity(Duration::ZERO),
            Err(RequestError::Validity)
        );
        assert_eq!(
            request().validity(Duration::from_secs(31 * 86_400 + 1)),
            Err(RequestError::Validity)
        );
        assert_eq!(
            request()
                .validity(Duration::from_secs(9))
                .unwrap()
                .without_validity(),
            request()
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for number in ["", "+", "12345678901234567", "+33 6", "33a"] {
            assert_eq!(
                Address::international(number),
                Err(RequestError::Number),
                "{number}"
            );
        }
        assert_eq!(
            Address::alphanumeric("TWELVELETTER"),
            Err(RequestError::Address)
        );
        for value in ["", "é", "a\0b", "123456789012345678901"] {
            assert_eq!(
                Address::new(3, 0, value),
                Err(RequestError::Address),
                "{value}"
            );
        }
        let long = |length: usize| {
            let address = Address::new(3, 0, "12345").unwrap();
            SubmitRequest::new(address.clone(), address, 0, vec![b'x'; length]).err()
        };
        assert_eq!(long(254), None);
        assert_eq!(long(255), Some(RequestError::Message));
    }

    #[test]
    fn numbers_and_texts_are_never_shown() {
        let shown = format!(
            "{:?} {:?}",
            request(),
            Address::international("33612345678")
        );
        assert!(
            !shown.contains("336") && !shown.contains("code\""),
            "{shown}"
        );
    }
}
