//! Who calls, and what they may call.
//!
//! Every service has one table: RPC → public, public with a bearer token, or a list of peers. An
//! RPC that the table does not name is refused, so a new one is closed until it is decided.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::listener::{Call, ConnInfo, Full};
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
    /// Joins log lines and events of one request: 8 to 64 of `A-Z a-z 0-9 . _ -`.
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
        let path = request.uri().path().to_owned();
        let decided = self.decide(&path, &request).and_then(|caller| {
            let call = admit(&request, caller.as_ref())?;
            Ok((caller, call))
        });
        // What callers make up is no label: each would stay in memory for good.
        let rpc = self.table.label(&path);
        let request_id = match &decided {
            Ok((Some(caller), _)) => caller.request_id.clone(),
            _ => String::new(),
        };
        let span = tracing::info_span!("rpc", otel.name = rpc, otel.kind = "server", request_id);
        crate::telemetry::context::adopt(&span, request.headers());
        let started = Instant::now();
        let work = async move {
            let response = match decided {
                Err(refusal) => {
                    tracing::warn!(reason = %refusal.reason, "call refused before its handler");
                    Ok(Status::from(refusal).into_http())
                }
                Ok((caller, call)) => {
                    if let Some(caller) = caller {
                        request.extensions_mut().insert(caller);
                    }
                    let response = inner.call(request).await;
                    response.map(|response| until_sent(response, call))
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
                .filter(|id| is_request_id(id))
                .map_or_else(new_request_id, str::to_owned),
        }))
    }
}

/// Events and log lines take a request id as it is, so one of other letters is not taken over.
fn is_request_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (8..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Notes a call that passed the table on its connection, which may stay for it.
fn admit(request: &Request<Body>, caller: Option<&Caller>) -> Result<Option<Call>, Refusal> {
    let Some(info) = request.extensions().get::<ConnInfo>() else {
        return Ok(None);
    };
    let noted = match caller {
        Some(caller) => info.call(&caller.peer),
        None => info.call(&connection(request).0),
    };
    noted.map_err(|Full| Refusal::new(Code::ResourceExhausted, "connections.full"))
}

/// The response, whose call is under way until all of it has left.
fn until_sent(response: Response<Body>, call: Option<Call>) -> Response<Body> {
    let Some(call) = call else {
        return response;
    };
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _under_way = &call;
            frame
        }))
    })
}

fn connection(request: &Request<Body>) -> (Peer, Option<SocketAddr>) {
    use tonic::transport::server::TlsConnectInfo;
    if let Some(tls) = request.extensions().get::<TlsConnectInfo<ConnInfo>>() {
        let info = tls.get_ref();
        let peer = info.certified(|| {
            tls.peer_certs()
                .and_then(|certs| certs.first().and_then(|c| Peer::from_certificate(c)))
                .unwrap_or(Peer::Anonymous)
        });
        return (peer.clone(), info.remote);
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
