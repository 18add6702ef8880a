//! Cookies. All carry the prefix `__Host-`: Secure, Path=/, no Domain, so that neither another host
//! of the domain nor plain HTTP can set or read them (RFC 6265bis, section 4.1.3).

use http::{HeaderMap, HeaderValue, header};
use sallyport_chassis::Secret;
use url::form_urlencoded;

use crate::words::Language;

/// The session's token (`sps_…`).
pub(crate) const SESSION: &str = "__Host-session";
/// Random bits that forms are bound to before there is a session.
pub(crate) const PRE: &str = "__Host-pre";
/// The token of a remembered browser (`spb_…`).
pub(crate) const BROWSER: &str = "__Host-browser";
/// The language chosen before sign-in, or the user's own after it.
pub(crate) const LANGUAGE: &str = "__Host-language";
/// A code that ends when the reader leaves its page is under way.
pub(crate) const PENDING: &str = "__Host-pending";

/// The value of a cookie, if it is short and plain enough to be one of ours.
pub(crate) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .filter(|value| (1..=128).contains(&value.len()) && value.bytes().all(plain))
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// A secret cookie.
pub(crate) fn read_secret(headers: &HeaderMap, name: &str) -> Option<Secret> {
    read(headers, name).map(Secret::new)
}

/// `Set-Cookie` values of one answer.
#[derive(Debug, Default)]
pub(crate) struct Cookies(Vec<(&'static str, Secret, Option<u64>)>);

impl Cookies {
    /// Sets a cookie that lives as long as the browser runs.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.put(name, value, None);
    }

    /// Sets a cookie for a number of seconds.
    pub(crate) fn keep(&mut self, name: &'static str, value: &str, seconds: u64) {
        self.put(name, value, Some(seconds));
    }

    /// Removes a cookie.
    pub(crate) fn remove(&mut self, name: &'static str) {
        self.put(name, "", Some(0));
    }

    fn put(&mut self, name: &'static str, value: &str, seconds: Option<u64>) {
        self.0.retain(|(known, ..)| *known != name);
        self.0.push((name, Secret::new(value), seconds));
    }

    /// Replaces the session's token, where a call gave a new one.
    pub(crate) fn session(&mut self, token: &str) {
        if !token.is_empty() {
            self.set(SESSION, token);
        }
    }

    /// Remembers the language.
    pub(crate) fn language(&mut self, language: Language) {
        self.keep(LANGUAGE, language.code(), 365 * 24 * 3600);
    }

    /// Writes them into an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (name, value, seconds) in &self.0 {
            let age = seconds
                .map(|s| format!("; Max-Age={s}"))
                .unwrap_or_default();
            let line = format!(
                "{name}={}; Path=/; Secure; HttpOnly; SameSite=Lax{age}",
                value.expose()
            );
            // Tokens are plain; what is not is no cookie of ours.
            if let Ok(mut value) = HeaderValue::from_str(&line) {
                value.set_sensitive(true);
                headers.append(header::SET_COOKIE, value);
            }
        }
    }
}

/// A local path to go on to after a step, or `None` for what could lead elsewhere.
pub(crate) fn local(path: &str) -> Option<&str> {
    let plain = path.starts_with('/')
        && path.len() <= 256
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    plain.then_some(path)
}

/// `path?key=value&…` with the values encoded; empty values are left out.
pub(crate) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut any = false;
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(key, value);
        any = true;
    }
    if any {
        format!("{path}?{}", query.finish())
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        headers
    }

    #[test]
    fn reads_its_own_cookies_and_nothing_strange() {
        let headers = headers("a=b; __Host-session=sps_Ab-9; __Host-pre=\"x y\"; __Host-browser=");
        assert_eq!(read(&headers, SESSION), Some("sps_Ab-9"));
        assert_eq!(read(&headers, PRE), None);
        assert_eq!(read(&headers, BROWSER), None);
        assert_eq!(read(&headers, LANGUAGE), None);
    }

    #[test]
    fn every_cookie_is_host_bound_secure_and_hidden_from_scripts() {
        let mut cookies = Cookies::default();
        cookies.set(SESSION, "sps_1");
        cookies.keep(BROWSER, "spb_1", 60);
        cookies.remove(PENDING);
        cookies.session("");
        let mut headers = HeaderMap::new();
        cookies.write(&mut headers);
        let lines: Vec<_> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|v| v.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                "__Host-session=sps_1; Path=/; Secure; HttpOnly; SameSite=Lax",
                "__Host-browser=spb_1; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60",
                "__Host-pending=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            ]
        );
        assert!(!format!("{cookies:?}").contains("sps_1"));
    }

    #[test]
    fn only_local_paths_are_gone_on_to() {
        assert_eq!(local("/users?search=a"), Some("/users?search=a"));
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "",
            "users",
            "/a b",
        ] {
            assert_eq!(local(path), None, "{path}");
        }
    }

    #[test]
    fn queries_are_encoded_and_empty_values_left_out() {
        assert_eq!(with_query("/code", &[("why", ""), ("go", "")]), "/code");
        assert_eq!(
            with_query("/a", &[("next", "/b?c=d&e")]),
            "/a?next=%2Fb%3Fc%3Dd%26e"
        );
    }
}
