//! Protection of forms. The token of a form is a MAC under the cookie that the browser sends (the
//! session's token, before sign-in the random `__Host-pre`), so any gateway can check it and none
//! has to remember it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use sallyport_chassis::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token of every form under this cookie.
pub(crate) fn token(cookie: &Secret) -> String {
    mac(cookie, &[b"form"])
}

/// Whether a posted token belongs to the cookie.
pub(crate) fn holds(cookie: &Secret, posted: &str) -> bool {
    equal(&token(cookie), posted)
}

/// A MAC over parts, each prefixed with its length, under a cookie.
pub(crate) fn mac(cookie: &Secret, parts: &[&[u8]]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(cookie.expose().as_bytes())
        .expect("HMAC takes any key");
    mac.update(b"sallyport gateway v1");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    B64.encode(mac.finalize().into_bytes())
}

pub(crate) fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// A new form nonce: 128 random bits in hexadecimal. It becomes the idempotency key of what the form
/// does, so that a double click does it once.
pub(crate) fn nonce() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// Whether a text has the form of a nonce.
pub(crate) fn is_nonce(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The idempotency key of one thing that a form does: the same form with the same content gives the
/// same key, and another content another one (after "Back", say).
pub(crate) fn idempotency_key(nonce: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(&nonce).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

/// Whether a changing request comes from our own pages. Under `Referrer-Policy: no-referrer` browsers
/// write `Origin: null` on a form's post, so `Sec-Fetch-Site` decides where it is there.
pub(crate) fn own_origin(headers: &HeaderMap, origin: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    let site = text("sec-fetch-site");
    match (text(header::ORIGIN.as_str()), site) {
        (_, Some(site)) if site != "same-origin" && site != "none" => false,
        (Some("null") | None, site) => site.is_some(),
        (Some(stated), _) => stated == origin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_one_cookie() {
        let (mine, other) = (Secret::new("sps_mine"), Secret::new("sps_other"));
        assert!(holds(&mine, &token(&mine)));
        assert!(!holds(&mine, &token(&other)));
        assert!(!holds(&mine, ""));
        assert_ne!(mac(&mine, &[b"ab", b"c"]), mac(&mine, &[b"a", b"bc"]));
    }

    #[test]
    fn the_same_form_gives_the_same_key_and_another_content_another() {
        let nonce = nonce();
        assert!(is_nonce(&nonce));
        let key = |parts: &[&str]| idempotency_key(&nonce, parts);
        assert_eq!(
            key(&["enable", "+33612345678"]),
            key(&["enable", "+33612345678"])
        );
        assert_ne!(
            key(&["enable", "+33612345678"]),
            key(&["enable", "+33612345679"])
        );
        assert!(!is_nonce("short"));
        assert!(!is_nonce(&"G".repeat(32)));
    }

    #[test]
    fn a_post_comes_from_our_pages_or_is_refused() {
        let own = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (key, value) in pairs {
                headers.insert(*key, value.parse().unwrap());
            }
            own_origin(&headers, "http://localhost:8080")
        };
        assert!(own(&[("origin", "http://localhost:8080")]));
        assert!(own(&[
            ("origin", "null"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(!own(&[]));
        assert!(!own(&[("origin", "null")]));
        assert!(!own(&[("origin", "http://localhost:8081")]));
        assert!(!own(&[
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!own(&[
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "same-site")
        ]));
        assert!(!own(&[
            ("origin", "null"),
            ("sec-fetch-site", "cross-site")
        ]));
    }
}
