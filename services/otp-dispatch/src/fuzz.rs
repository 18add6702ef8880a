//! Fuzz targets of what callers ask of otp-api and of what queue and store give back;
//! `crates/fuzz` says what runs them.

use std::fmt::Debug;

use prost::Message;
use sallyport_proto::otp::v1::{
    CreateChallengeRequest, SetOverrideRequest, VerifyChallengeRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::binding::Counting;
use crate::app::create_challenge::counting;
use crate::app::operate_guard::read_note;
use crate::domain::challenge::{ChallengeView, Verdict};
use crate::domain::code::Code;
use crate::domain::guard::Decision;
use crate::domain::guard::overrides::Target;
use crate::domain::limits::network;
use crate::domain::message::QueueMessage;
use crate::grpc::binding::{bound_to, optional, required};

/// A request for a code or an attempt at one, as its handler reads it. What is taken is bound to a
/// user, a session and an E.164 number, shows that number nowhere, and is counted by one network.
///
/// # Panics
/// Where that does not hold.
pub fn challenge_request(data: &[u8]) {
    let Ok(request) = CreateChallengeRequest::decode(data) else {
        return;
    };
    if let Ok(bound) = bound_to(request.binding) {
        for id in [&bound.user_id, &bound.session_id] {
            assert!((1..=200).contains(&id.len()));
            assert!(id.bytes().all(|b| b.is_ascii_graphic()));
        }
        let number = bound.number.e164();
        let is_id = [&bound.user_id, &bound.session_id]
            .iter()
            .any(|id| id.contains(number));
        assert!(is_id || !format!("{bound:?}").contains(number));
    }
    if let Ok(locale) = optional("locale", request.locale) {
        assert!(locale.is_empty() || required("locale", locale.clone()).is_ok());
    }
    if let Ok(Counting::Untrusted { client_ip }) = counting(request.trusted, &request.client_ip) {
        assert!(!request.trusted);
        assert_eq!(network(network(client_ip)), network(client_ip));
    }
    if let Ok(attempt) = VerifyChallengeRequest::decode(data)
        && let Some(code) = Code::parse(&attempt.code)
    {
        assert_eq!(code.expose(), attempt.code);
        assert!(!format!("{code:?}").contains(code.expose()));
    }
}

/// What an operator sets for a country or a prefix. What is taken is written as what reads as itself,
/// and its note tricks no line of a table.
///
/// # Panics
/// Where that does not hold.
pub fn guard_override(data: &[u8]) {
    let Ok(request) = SetOverrideRequest::decode(data) else {
        return;
    };
    if let Ok(target) = request.target.parse::<Target>() {
        let written = target.to_string();
        assert!(request.target.eq_ignore_ascii_case(&written), "{written}");
        assert_eq!(written.parse::<Target>().as_ref(), Ok(&target));
    }
    if let Ok(note) = read_note(&request.note) {
        assert!(note.chars().count() <= 200);
        assert!(!note.contains(char::is_control));
        assert_eq!(read_note(note).ok(), Some(note));
    }
}

/// The body of a message in the queue, an answer of the store, or a decision that it kept. What is
/// read is written as what reads as itself.
///
/// # Panics
/// Where that does not hold.
pub fn queue_body(data: &[u8]) {
    rewritten::<QueueMessage>(data);
    rewritten::<ChallengeView>(data);
    rewritten::<Verdict>(data);
    rewritten::<Decision>(data);
}

fn rewritten<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else {
        return;
    };
    let written = serde_json::to_vec(&read).expect("what was JSON can be JSON");
    let again: T = serde_json::from_slice(&written).expect("what we write we can read");
    assert_eq!(again, read);
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_request_for_a_code_breaks_a_promise() {
        sallyport_fuzz::check("challenge_request", super::challenge_request);
    }

    #[test]
    fn no_override_that_an_operator_sets_breaks_a_promise() {
        sallyport_fuzz::check("guard_override", super::guard_override);
    }

    #[test]
    fn no_body_of_the_queue_breaks_a_promise() {
        sallyport_fuzz::check("queue_body", super::queue_body);
    }
}
