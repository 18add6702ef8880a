//! Fuzz targets of what users and services tell account-admin; `crates/fuzz` says what runs them.

use prost::Message;
use sallyport_proto::admin::v1::{AppendEventsRequest, UpdateProfileRequest};

use crate::domain::page::{self, ForeignToken};
use crate::domain::profile::{ProfileFields, Typed, check};
use crate::grpc::event::decode;
use crate::grpc::profile::typed;

/// A profile to be saved. What is taken is taken again in its stored form, tricks neither a page nor
/// a log, and shows its number nowhere.
///
/// # Panics
/// Where that does not hold.
pub fn profile(data: &[u8]) {
    let Ok(request) = UpdateProfileRequest::decode(data) else {
        return;
    };
    let Some(fields) = request.fields else { return };
    match check(&typed(&fields), "") {
        Ok(taken) => {
            let number = taken.mobile_number.as_ref().map_or("", |n| n.e164());
            assert_eq!(check(&stored(&taken, number), "").as_ref(), Ok(&taken));
            for name in [&taken.first_name, &taken.last_name] {
                assert!((1..=100).contains(&name.chars().count()));
                assert!(!name.contains(char::is_control));
                assert_eq!(name.trim(), name);
            }
            let is_name = [&taken.first_name, &taken.last_name]
                .iter()
                .any(|name| name.contains(number));
            assert!(number.is_empty() || is_name || !format!("{taken:?}").contains(number));
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for (index, (field, reason)) in faults.iter().enumerate() {
                assert!(!reason.is_empty());
                let earlier = &faults[..index];
                assert!(earlier.iter().all(|(other, _)| other != field), "{field}");
            }
        }
    }
}

fn stored<'a>(taken: &'a ProfileFields, number: &'a str) -> Typed<'a> {
    Typed {
        first_name: &taken.first_name,
        last_name: &taken.last_name,
        mobile_number: number,
        default_sms_country: &taken.default_sms_country,
        time_zone: &taken.time_zone,
        date_format: &taken.date_format,
        locale: &taken.locale,
    }
}

/// Events that another service sends. What is taken has no character that a line of a log could be
/// tricked with, and nothing is longer than it may be.
///
/// # Panics
/// Where that does not hold.
pub fn events(data: &[u8]) {
    let Ok(request) = AppendEventsRequest::decode(data) else {
        return;
    };
    let sent = request.events.len();
    let Ok(entries) = decode(request.events) else {
        return;
    };
    assert_eq!(entries.len(), sent, "all or none");
    for (_, entry) in entries {
        let kind = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(!entry.kind.is_empty() && entry.kind.bytes().all(kind));
        let texts = [
            (&entry.kind, 64),
            (&entry.actor, 200),
            (&entry.target, 200),
            (&entry.reason, 100),
            (&entry.client_ip, 45),
        ];
        for (text, longest) in texts {
            assert!(text.len() <= longest, "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        for (text, longest) in [(&entry.request_id, 64), (&entry.user_agent, 256)] {
            assert!(text.chars().count() <= longest, "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        assert!(entry.details.len() <= 32);
        for (key, value) in &entry.details {
            assert!(!key.contains(char::is_control) && !value.contains(char::is_control));
        }
    }
}

/// A search, a line end, and where a page ends. A token leads on in the list that it was made for, and
/// in no other.
///
/// # Panics
/// Where that does not hold.
pub fn page_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (search, last) = text.split_once('\n').unwrap_or(("", text));
    let (list, other) = (["users", "o", search], ["users", "o2", search]);
    let token = page::token(&list, last);
    if last.is_empty() || last.contains(char::is_control) {
        assert_eq!(page::read(&list, &token), Err(ForeignToken));
    } else {
        assert_eq!(page::read(&list, &token), Ok(Some(last.to_owned())));
        assert_eq!(page::read(&other, &token), Err(ForeignToken));
    }
    if let Ok(Some(before)) = page::read(&list, last) {
        assert_eq!(page::token(&list, &before), last.to_ascii_lowercase());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_profile_breaks_a_promise() {
        sallyport_fuzz::check("profile", super::profile);
    }

    #[test]
    fn no_events_that_are_sent_break_a_promise() {
        sallyport_fuzz::check("events", super::events);
    }

    #[test]
    fn no_token_of_a_page_breaks_a_promise() {
        sallyport_fuzz::check("page_token", super::page_token);
    }
}
