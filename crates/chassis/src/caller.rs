//! Who calls, and what they may call.
//!
//! Every service has one table: RPC → public, public with a bearer token, or a list of peers. An
//! RPC that the table does not name is refused, so a new one is closed until it is decided.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::listener::ConnInfo;
use crate::{Refusal, Secret};

/// The program at the other end, as its client certificate's URI or its transport names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// No certificate: only public RPCs answer.
    Anonymous,
    /// `sallyport://service/NAME`
    Service(String),
    /// `sallyport://operator/NAME`
    Operator(String),
}

impl Peer {
    /// A service by name.
    pub fn service(name: &str) -> Self {
        Self::Service(name.to_owned())
    }

    /// Reads the URI of a client certificate; `None` where it names no peer of ours.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let (kind, name) = uri.strip_prefix("sallyport://")?.split_once('/')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        match kind {
            "service" => Some(Self::Service(name.to_owned())),
            "operator" => Some(Self::Operator(name.to_owned())),
            _ => None,
        }
    }

    pub(crate) fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        names
            .value
            .general_names
            .iter()
            .find_map(|name| match name {
                GeneralName::URI(uri) => Self::from_uri(uri),
                _ => None,
            })
    }
}

/// Who may call an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// Everybody with `authorization: Bearer …`; the use case checks the token.
    Bearer,
    /// The named services, whoever holds their certificate.
    Services(&'static [&'static str]),
    /// Operators.
    Operator,
}

/// RPC path (`/sallyport.identity.v1.SignInService/SignIn`) → who may call it.
#[derive(Debug, Clone)]
pub struct CallerTable {
    rows: Arc<HashMap<&'static str, Access>>,
    /// The service whose word about the client's address counts.
    trusted_front: &'static str,
}

impl CallerTable {
    /// A table from its rows; `trusted_front` names the service whose `x-client-ip` counts.
    pub fn new(trusted_front: &'static str, rows: &[(&'static str, Access)]) -> Self {
        Self {
            rows: Arc::new(rows.iter().copied().collect()),
            trusted_front,
        }
    }

    /// Whether the table decides this RPC path.
    pub fn access(&self, path: &str) -> Option<Access> {
        self.rows.get(path).copied()
    }

    /// What metrics and traces call an RPC path: `service/method` of a row, else one of two words.
    fn label(&self, path: &str) -> &'static str {
        match self.rows.get_key_value(path) {
            Some((row, _)) => row.trim_start_matches('/'),
            None if path.starts_with("/grpc.health.v1.") => "health",
            None => "unknown",
        }
    }
}

/// Who made a request; found in the request's extensions by every handler.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The program at the other end.
    pub peer: Peer,
    /// The session token, if one came.
    pub bearer: Option<Secret>,
    /// The person's address: from the trusted front's header, else from the socket.
    pub client_ip: Option<IpAddr>,
    /// The person's browser, as the trusted front passes it; at most 256 characters.
    pub user_agent: String,
    /// Joins log lines and events of one request.
    pub request_id: String,
}

impl Caller {
    /// The caller of a request that passed the table.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Status::internal("no caller: the service is served without its table"))
    }

    /// A request that a service makes on its own, not for a caller.
    pub fn nobody() -> Self {
        Self {
            peer: Peer::Anonymous,
            bearer: None,
            client_ip: None,
            user_agent: String::new(),
            request_id: new_request_id(),
        }
    }

    /// The bearer token, or the refusal `session.required`.
    pub fn token(&self) -> Result<&Secret, Refusal> {
        self.bearer
            .as_ref()
            .ok_or_else(|| Refusal::new(Code::Unauthenticated, "session.required"))
    }

    /// A request to another service on this caller's behalf: session, address, browser and request
    /// id go along.
    pub fn forward<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        let mut put = |key: &'static str, value: String| {
            if let Ok(value) = value.parse() {
                metadata.insert(key, value);
            }
        };
        if let Some(token) = &self.bearer {
            put("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(ip) = self.client_ip {
            put("x-client-ip", ip.to_string());
        }
        if !self.user_agent.is_empty() {
            put("x-user-agent", self.user_agent.clone());
        }
        put("x-request-id", self.request_id.clone());
        request
    }
}

/// A new request id: UUIDv4 bits are not needed, 128 random bits are.
pub fn new_request_id() -> String {
    crate::keyring::random_id()
}

/// Applies a `CallerTable`, opens the request's span under the caller's trace, and counts.
#[derive(Clone, Debug)]
pub struct CallerLayer {
    table: CallerTable,
}

impl CallerLayer {
    /// The layer over a table.
    pub fn new(table: CallerTable) -> Self {
        Self { table }
    }
}

impl<S> Layer<S> for CallerLayer {
    type Service = CallerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallerService {
            inner,
            table: self.table.clone(),
        }
    }
}

/// See [`CallerLayer`].
#[derive(Clone, Debug)]
pub struct CallerService<S> {
    inner: S,
    table: CallerTable,
}

impl<S> Service<Request<Body>> for CallerService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if let Some(connection) = request.extensions().get::<ConnInfo>() {
            connection.asked();
        }
        let path = request.uri().path().to_owned();
        let decided = self.decide(&path, &request);
        // What callers make up is no label: each would stay in memory for good.
        let rpc = self.table.label(&path);
        let request_id = match &decided {
            Ok(Some(caller)) => caller.request_id.clone(),
            _ => String::new(),
        };
        let span = tracing::info_span!("rpc", otel.name = rpc, otel.kind = "server", request_id);
        crate::telemetry::context::adopt(&span, request.headers());
        let started = Instant::now();
        let work = async move {
            let response = match decided {
                Err(refusal) => {
                    tracing::warn!(reason = %refusal.reason, "call refused by the caller table");
                    Ok(Status::from(refusal).into_http())
                }
                Ok(caller) => {
                    if let Some(caller) = caller {
                        request.extensions_mut().insert(caller);
                    }
                    inner.call(request).await
                }
            };
            if let Ok(response) = &response {
                count(rpc, response, started);
            }
            response
        };
        Box::pin(work.instrument(span))
    }
}

impl<S> CallerService<S> {
    /// `Ok(None)` for health and reflection, which have no caller.
    fn decide(&self, path: &str, request: &Request<Body>) -> Result<Option<Caller>, Refusal> {
        if path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.") {
            return Ok(None);
        }
        let Some(access) = self.table.access(path) else {
            return Err(Refusal::new(Code::Unimplemented, "rpc.unknown"));
        };
        let (peer, remote) = connection(request);
        let bearer = bearer(request.headers());
        let allowed = match access {
            Access::Public => true,
            Access::Bearer => {
                if bearer.is_none() {
                    return Err(Refusal::new(Code::Unauthenticated, "session.required"));
                }
                true
            }
            Access::Services(names) => {
                matches!(&peer, Peer::Service(name) if names.contains(&name.as_str()))
            }
            Access::Operator => matches!(peer, Peer::Operator(_)),
        };
        if !allowed {
            return Err(Refusal::new(Code::PermissionDenied, "caller.denied"));
        }
        let fronted = matches!(&peer, Peer::Service(name) if name == self.table.trusted_front);
        let forwarded = matches!(&peer, Peer::Service(_));
        let header = |key: &str| request.headers().get(key).and_then(|v| v.to_str().ok());
        let client_ip = if fronted {
            header("x-client-ip").and_then(|v| v.parse().ok())
        } else {
            remote.map(|a| a.ip())
        };
        Ok(Some(Caller {
            peer,
            bearer,
            client_ip,
            user_agent: if forwarded {
                header("x-user-agent")
                    .unwrap_or_default()
                    .chars()
                    .take(256)
                    .collect()
            } else {
                String::new()
            },
            request_id: header("x-request-id")
                .filter(|id| (8..=64).contains(&id.len()))
                .map_or_else(new_request_id, str::to_owned),
        }))
    }
}

fn connection(request: &Request<Body>) -> (Peer, Option<SocketAddr>) {
    use tonic::transport::server::TlsConnectInfo;
    if let Some(tls) = request.extensions().get::<TlsConnectInfo<ConnInfo>>() {
        let peer = tls
            .peer_certs()
            .and_then(|certs| certs.first().and_then(|c| Peer::from_certificate(c)))
            .unwrap_or(Peer::Anonymous);
        return (peer, tls.get_ref().remote);
    }
    match request.extensions().get::<ConnInfo>() {
        Some(info) => (info.peer.clone(), info.remote),
        None => (Peer::Anonymous, None),
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && (8..=128).contains(&token.len()))
        .then(|| Secret::new(token))
}

fn count(rpc: &'static str, response: &Response<Body>, started: Instant) {
    let code = response
        .headers()
        .get("grpc-status")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("0")
        .to_owned();
    metrics::counter!("grpc_requests_total", "rpc" => rpc, "code" => code).increment(1);
    metrics::histogram!("grpc_request_seconds", "rpc" => rpc).record(started.elapsed());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> CallerService<()> {
        let table = CallerTable::new(
            "gateway",
            &[
                ("/a/Public", Access::Public),
                ("/a/Bearer", Access::Bearer),
                ("/a/Peers", Access::Services(&["identity"])),
                ("/a/Operator", Access::Operator),
            ],
        );
        CallerService { inner: (), table }
    }

    fn request(peer: Peer, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder();
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let remote = Some("192.0.2.9:1".parse().unwrap());
        request.extensions_mut().insert(ConnInfo::new(peer, remote));
        request
    }

    fn reason(path: &str, peer: Peer, headers: &[(&str, &str)]) -> Option<String> {
        service()
            .decide(path, &request(peer, headers))
            .err()
            .map(|r| r.reason)
    }

    #[test]
    fn what_callers_make_up_becomes_no_label() {
        let table = CallerTable::new("gateway", &[("/a/Known", Access::Public)]);
        assert_eq!(table.label("/a/Known"), "a/Known");
        assert_eq!(table.label("/grpc.health.v1.Health/Check"), "health");
        assert_eq!(table.label("/grpc.health.v1.Health/Made-Up"), "health");
        for made_up in [
            "/a/Known/",
            "/a/other",
            "/x/1",
            "",
            "/grpc.reflection.v1.X/Y",
        ] {
            assert_eq!(table.label(made_up), "unknown");
        }
    }

    #[test]
    fn the_table_decides_and_what_it_does_not_name_is_closed() {
        let token = &[("authorization", "Bearer sps_abcdefgh")];
        let identity = Peer::service("identity");
        let operator = Peer::Operator("mia".into());
        assert_eq!(reason("/a/Public", Peer::Anonymous, &[]), None);
        assert_eq!(reason("/a/Bearer", Peer::Anonymous, token), None);
        assert_eq!(
            reason("/a/Bearer", identity.clone(), &[]).unwrap(),
            "session.required"
        );
        assert_eq!(reason("/a/Peers", identity.clone(), &[]), None);
        assert_eq!(
            reason("/a/Peers", Peer::Anonymous, token).unwrap(),
            "caller.denied"
        );
        assert_eq!(
            reason("/a/Peers", Peer::service("gateway"), token).unwrap(),
            "caller.denied"
        );
        assert_eq!(
            reason("/a/Peers", Peer::Operator("identity".into()), &[]).unwrap(),
            "caller.denied"
        );
        assert_eq!(reason("/a/Operator", operator, &[]), None);
        assert_eq!(
            reason("/a/Operator", identity, token).unwrap(),
            "caller.denied"
        );
        assert_eq!(
            reason("/a/Other", Peer::service("gateway"), token).unwrap(),
            "rpc.unknown"
        );
    }

    #[test]
    fn only_the_front_is_believed_about_the_client() {
        let headers = &[("x-client-ip", "203.0.113.7"), ("x-user-agent", "Firefox")];
        let decide = |peer| {
            service()
                .decide("/a/Public", &request(peer, headers))
                .unwrap()
                .unwrap()
        };
        let fronted = decide(Peer::service("gateway"));
        assert_eq!(fronted.client_ip, "203.0.113.7".parse().ok());
        assert_eq!(fronted.user_agent, "Firefox");
        for peer in [
            Peer::Anonymous,
            Peer::service("identity"),
            Peer::Operator("mia".into()),
        ] {
            assert_eq!(decide(peer).client_ip, "192.0.2.9".parse().ok());
        }
    }

    #[test]
    fn uris_of_other_forms_name_nobody() {
        for uri in [
            "sallyport://service/",
            "sallyport://service/a/b",
            "sallyport://robot/x",
            "https://service/x",
            "sallyport://operator/a b",
        ] {
            assert_eq!(Peer::from_uri(uri), None, "{uri}");
        }
        assert_eq!(
            Peer::from_uri("sallyport://operator/mia"),
            Some(Peer::Operator("mia".into()))
        );
    }
}
