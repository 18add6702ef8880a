//! Fuzz targets of what browsers send: forms with their addresses, and the heads of requests;
//! `crates/fuzz` says what runs them.

use std::net::IpAddr;

use axum::extract::Query;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use sallyport_chassis::{Caller, Peer, Secret};
use url::{Url, form_urlencoded};

use crate::config::Network;
use crate::guard::Form;
use crate::pages::Told;
use crate::pages::two_factor::{Go, Intent};
use crate::visitor::{Visitor, bearer, client_ip, preferred, regions};
use crate::words::{Language, Words};
use crate::{csrf, session};

const ORIGIN: &str = "https://portal.example";
/// The cookies that the portal reads.
const COOKIES: [&str; 5] = [
    session::SESSION,
    session::PRE,
    session::BROWSER,
    session::LANGUAGE,
    session::PENDING,
];

/// A posted form, which is also tried as the query of an address. Its token opens it under its own
/// cookie alone, nothing that it carries leads away from the portal, and nothing that an address
/// tells is shown as it came.
///
/// # Panics
/// Where that does not hold.
pub fn form(data: &[u8]) {
    let form = Form::read(data);
    assert_eq!(format!("{form:?}"), "Form(…)");
    for name in ["email", "mobile_number", "code", "next", "go"] {
        // Of two fields of one name the first counts, everywhere.
        let first = form_urlencoded::parse(data).find(|(key, _)| key == name);
        assert_eq!(form.raw(name), first.map_or("".into(), |(_, value)| value));
        assert_eq!(form.text(name), form.raw(name).trim());
        assert_eq!(form.ticked(name), !form.raw(name).is_empty());
    }
    let cookie = Secret::new("sps_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let posted = form.raw("csrf");
    assert_eq!(
        csrf::holds(&cookie, posted),
        posted == csrf::token(&cookie),
        "a token of another cookie"
    );
    if csrf::is_nonce(form.nonce()) {
        assert_eq!(form.nonce().len(), 32);
        assert_ne!(
            csrf::idempotency_key(form.nonce(), &["enable"]),
            csrf::idempotency_key(form.nonce(), &["disable"])
        );
    }
    leads_nowhere_else(form.raw("next"));
    carried(&cookie, &form.text("go"));
    let asked = std::str::from_utf8(data)
        .ok()
        .and_then(|text| format!("/code?{text}").parse::<Uri>().ok());
    if let Some(Query(told)) = asked.and_then(|uri| Query::<Told>::try_from_uri(&uri).ok()) {
        leads_nowhere_else(&told.next);
        carried(&cookie, &told.go);
        for language in [Language::English, Language::French] {
            if let Some(sentence) = told.why(Words::new(language)) {
                assert!(!sentence.contains(&told.why), "{sentence}");
            }
        }
        written(&told);
    }
}

/// Where a form or an address wants to go on to, as a browser reads it.
fn leads_nowhere_else(next: &str) {
    let origin = Url::parse(ORIGIN).expect("an address");
    let Some(path) = session::local(next) else {
        return;
    };
    let to = origin.join(path).expect("a path of the portal");
    assert_eq!(to.origin(), origin.origin(), "{path}");
    HeaderValue::from_str(path).expect("a header carries it");
}

/// What is to be done, signed under a session: read under that session alone, and by nobody made up.
fn carried(cookie: &Secret, go: &str) {
    let visitor = visitor(cookie.clone());
    if let Some(read) = Go::read(&visitor, go) {
        assert_eq!(read.write(&visitor), go);
    }
    let own = Go {
        intent: Intent::RemovePasskey,
        nonce: "0".repeat(32),
        of: "a0".to_owned(),
    };
    let signed = own.write(&visitor);
    assert_eq!(Go::read(&visitor, &signed).as_ref(), Some(&own));
    let other = self::visitor(Secret::new("sps_other"));
    assert_eq!(Go::read(&other, &signed), None);
    // What was signed for one session is for no other, and for less than all of them.
    for bent in [".a1.", ".."] {
        let bent = signed.replacen(".a0.", bent, 1);
        assert_eq!(Go::read(&visitor, &bent), None);
    }
    assert_eq!(Go::read(&other, go), None);
}

/// What a page tells the next one comes out of the address as it went in.
fn written(told: &Told) {
    let pairs = [("next", told.next.as_str()), ("go", told.go.as_str())];
    let path = session::with_query("/code", &pairs);
    assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
    let origin = Url::parse(ORIGIN).expect("an address");
    let read = origin.join(&path).expect("a path of the portal");
    let read: Vec<(String, String)> = read.query_pairs().into_owned().collect();
    let put: Vec<(String, String)> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(read, put);
}

fn visitor(cookie: Secret) -> Visitor {
    Visitor {
        caller: Caller {
            bearer: Some(cookie),
            peer: Peer::Anonymous,
            client_ip: None,
            user_agent: String::new(),
            request_id: "fuzz-request".to_owned(),
        },
        pre: Secret::default(),
        browser: None,
        pending: false,
        language: Language::English,
        chosen: false,
        regions: Vec::new(),
        prefetch: false,
        here: "/".to_owned(),
    }
}

/// The head of a request, a header a line. Cookies and tokens are plain and never shown, a client's
/// address comes from a trusted proxy alone, and a form of another origin is none of ours.
///
/// # Panics
/// Where that does not hold.
pub fn request_head(data: &[u8]) {
    let headers = headers(data);
    for name in COOKIES {
        let Some(value) = session::read(&headers, name) else {
            continue;
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        assert!((1..=128).contains(&value.len()) && value.bytes().all(plain));
        let set = |value: &str| {
            let mut cookies = session::Cookies::default();
            cookies.set(session::SESSION, value);
            cookies
        };
        let cookies = set(value);
        assert_eq!(format!("{cookies:?}"), format!("{:?}", set("another")));
        let mut answer = HeaderMap::new();
        cookies.write(&mut answer);
        assert_eq!(answer.len(), 1);
    }
    if let Some(token) = bearer(&headers) {
        assert!((8..=128).contains(&token.expose().len()));
        assert_eq!(format!("{token:?}"), "•••");
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let accepted = text("accept-language").unwrap_or_default();
    let _ = preferred(accepted);
    let regions = regions(accepted);
    assert!(regions.len() <= 16 && regions.iter().all(|region| region.len() == 2));
    addresses(&headers);
    if csrf::own_origin(&headers, ORIGIN) {
        match text("sec-fetch-site") {
            Some(site) => assert!(site == "same-origin" || site == "none", "{site}"),
            None => assert_eq!(text("origin"), Some(ORIGIN)),
        }
    }
}

fn addresses(headers: &HeaderMap) {
    let trusted = [
        Network::try_from("10.0.0.0/8".to_owned()).expect("ten is a network of the private ones")
    ];
    let proxy: IpAddr = "10.0.0.1".parse().expect("an address");
    let person: IpAddr = "203.0.113.9".parse().expect("an address");
    assert_eq!(client_ip(person, headers, &trusted), person);
    let told = client_ip(proxy, headers, &trusted);
    assert_eq!(told, told.to_canonical());
    let stated = headers.contains_key("x-forwarded-for");
    assert!(stated || told == proxy, "nobody said {told}");
}

/// What can be a header of these lines.
fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(64) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_form_breaks_a_promise() {
        sallyport_fuzz::check("form", super::form);
    }

    #[test]
    fn no_head_of_a_request_breaks_a_promise() {
        sallyport_fuzz::check("request_head", super::request_head);
    }
}
