//! Who sits at the other end of a request: address, browser, cookies, language; and what every
//! answer gets on its way out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sallyport_chassis::{Caller, Peer, Secret};
use tracing::Instrument;

use crate::App;
use crate::config::Network;
use crate::serve::Remote;
use crate::session::{self, Cookies};
use crate::words::{Language, Words};

/// The person or program that made a request.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Address, browser, request id and session token, as they travel to the services.
    pub caller: Caller,
    /// Binds forms before sign-in.
    pub pre: Secret,
    /// The token of a remembered browser.
    pub browser: Option<Secret>,
    /// A code that ends when its page is left is under way.
    pub pending: bool,
    /// The language chosen by cookie, else by `Accept-Language`.
    pub language: Language,
    /// Whether the language was chosen in this browser.
    pub chosen: bool,
    /// Regions of `Accept-Language`, in order of preference ("fr-CA" → "CA").
    pub regions: Vec<String>,
    /// The page is fetched ahead of a visit, so it does not mean that another one was left.
    pub prefetch: bool,
    /// Path and query.
    pub here: String,
}

impl Visitor {
    /// The words of the visitor's language.
    pub(crate) fn words(&self) -> Words {
        Words::new(self.language)
    }

    /// The visitor after the session's token was replaced.
    pub(crate) fn with_session(&self, token: &str) -> Self {
        let mut visitor = self.clone();
        if !token.is_empty() {
            visitor.caller.bearer = Some(Secret::new(token));
        }
        visitor
    }

    /// A message to a service on the visitor's behalf.
    pub(crate) fn ask<T>(&self, message: T) -> tonic::Request<T> {
        self.caller.forward(message)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Opens a request: reads the visitor, gives the request an id and a span; closes it with headers,
/// counting and the time limit.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let fresh = session::read(request.headers(), session::PRE).is_none();
    let visitor = read(&app, &request);
    let (id, pre) = (visitor.caller.request_id.clone(), visitor.pre.clone());
    let language = visitor.language;
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http", otel.name = %format!("{method} {route}"), otel.kind = "server", request_id = %id
    );
    request.extensions_mut().insert(visitor);
    let limit = app.settings.request_limit();
    let answer = tokio::time::timeout(limit, next.run(request).instrument(span)).await;
    let mut response = answer.unwrap_or_else(|_| {
        tracing::warn!(request_id = %id, %route, "request took too long");
        crate::problem::plain(StatusCode::SERVICE_UNAVAILABLE, Words::new(language), &id)
    });
    let status = response.status().as_u16().to_string();
    metrics::counter!("http_requests_total", "route" => route.clone(), "code" => status)
        .increment(1);
    metrics::histogram!("http_request_seconds", "route" => route).record(started.elapsed());
    let headers = response.headers_mut();
    crate::headers::secure(headers, app.origin.starts_with("https://"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    let page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if fresh && page {
        let mut cookies = Cookies::default();
        cookies.set(session::PRE, pre.expose());
        cookies.write(headers);
    }
    response
}

fn read(app: &App, request: &Request) -> Visitor {
    let headers = request.headers();
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
    };
    let accepted = text("accept-language");
    // The API takes no cookies and pages take no header, so neither can be driven through the other.
    let bearer = if request.uri().path().starts_with("/api/") {
        bearer(headers)
    } else {
        session::read_secret(headers, session::SESSION)
    };
    let remote = request.extensions().get::<Remote>().map(|r| r.0.ip());
    let chosen = session::read(headers, session::LANGUAGE).and_then(Language::from_code);
    Visitor {
        caller: Caller {
            peer: Peer::Anonymous,
            bearer,
            client_ip: remote.map(|ip| client_ip(ip, headers, &app.settings.trusted_proxies)),
            user_agent: text("user-agent").chars().take(256).collect(),
            request_id: sallyport_chassis::caller::new_request_id(),
        },
        pre: session::read_secret(headers, session::PRE)
            .unwrap_or_else(|| Secret::new(crate::csrf::nonce())),
        browser: session::read_secret(headers, session::BROWSER),
        pending: session::read(headers, session::PENDING).is_some(),
        language: chosen.unwrap_or_else(|| preferred(accepted)),
        chosen: chosen.is_some(),
        regions: regions(accepted),
        prefetch: text("sec-purpose").starts_with("prefetch"),
        here: request
            .uri()
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && (8..=128).contains(&token.len()))
        .then(|| Secret::new(token))
}

/// The client's address: the socket's, or behind a trusted proxy the right-most address of
/// `X-Forwarded-For` that is not such a proxy itself.
pub(crate) fn client_ip(socket: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
    let mut client = socket.to_canonical();
    if !is_proxy(client) {
        return client;
    }
    let stated: Vec<_> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for text in stated.into_iter().rev() {
        // What cannot be read was not written by a proxy of ours: the last good one stands.
        let Ok(ip) = text.trim().parse::<IpAddr>() else {
            break;
        };
        client = ip.to_canonical();
        if !is_proxy(client) {
            break;
        }
    }
    client
}

fn ranges(accepted: &str) -> Vec<&str> {
    let mut ranges: Vec<(u16, &str)> = accepted
        .split(',')
        .take(16)
        .filter_map(|part| {
            let mut parts = part.trim().split(';');
            let range = parts.next()?.trim();
            let weight = parts
                .find_map(|p| p.trim().strip_prefix("q="))
                .and_then(|q| q.parse::<f32>().ok())
                .unwrap_or(1.0);
            (weight > 0.0 && !range.is_empty()).then_some(((weight * 1000.0) as u16, range))
        })
        .collect();
    // Stable: of equal weights the first stays first.
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().map(|(_, range)| range).collect()
}

/// The language that `Accept-Language` (RFC 9110, section 12.5.4) prefers of ours.
pub(crate) fn preferred(accepted: &str) -> Language {
    ranges(accepted)
        .iter()
        .find_map(|range| Language::from_code(range.split('-').next().unwrap_or(range)))
        .unwrap_or(Language::English)
}

pub(crate) fn regions(accepted: &str) -> Vec<String> {
    ranges(accepted)
        .iter()
        .filter_map(|range| range.split('-').nth(1))
        .filter(|region| region.len() == 2)
        .map(str::to_ascii_uppercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_alone() {
        let trusted = [Network::try_from("10.0.0.0/8".to_owned()).unwrap()];
        let client = |socket: &str, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            client_ip(socket.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(client("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(
            client("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2"),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", "evil, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("::ffff:10.0.0.1", "2001:db8::1"), "2001:db8::1");
    }

    #[test]
    fn the_preferred_language_is_one_of_ours() {
        assert_eq!(preferred("fr-CA,fr;q=0.9,en;q=0.8"), Language::French);
        assert_eq!(preferred("de,en;q=0.2,fr;q=0.7"), Language::French);
        assert_eq!(preferred("fr;q=0, en"), Language::English);
        assert_eq!(preferred("ja"), Language::English);
        assert_eq!(preferred(""), Language::English);
        assert_eq!(regions("fr-CA,fr;q=0.9,en-us;q=0.8"), ["CA", "US"]);
    }
}
