//! Mutual TLS between processes: the client certificate's URI names the caller, only the table's
//! peers pass, and what a peer may hold or send has limits. Mostly no service is needed: behind the
//! table an unserved RPC answers UNIMPLEMENTED.

#![allow(clippy::unwrap_used, reason = "a test that meets an error ends")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use sallyport_chassis::channel::{Outgoing, connect};
use sallyport_chassis::config::{ListenConfig, PeerConfig, Profile, TlsConfig};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::{Access, CallerTable};
use sallyport_proto::otp::v1::sms_inbox_service_client::SmsInboxServiceClient;
use sallyport_proto::otp::v1::sms_inbox_service_server::{SmsInboxService, SmsInboxServiceServer};
use sallyport_proto::otp::v1::{ListSmsRequest, ListSmsResponse};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

const RPC: &str = "/sallyport.otp.v1.SmsInboxService/ListSms";
/// Connections that the server takes from one address.
const SEATS: u32 = 8;

/// A certificate authority in a folder.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn issue(&self, file: &str, uri: &str, trust: &Path) -> TlsConfig {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let at = |name: String| self.folder.path().join(name);
        let (cert_file, key_file) = (at(format!("{file}.pem")), at(format!("{file}.key")));
        std::fs::write(&cert_file, cert.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        TlsConfig {
            cert_file,
            key_file,
            ca_file: trust.to_owned(),
        }
    }
}

/// A listener on loopback; with TLS where it is given.
fn listen(tls: Option<TlsConfig>) -> ListenConfig {
    ListenConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        tls,
        max_connections: 100,
        max_connections_per_address: SEATS,
    }
}

/// A server with these services that lets `service/gateway` call one RPC; gives its address.
async fn serving(ours: &Authority, stop: &CancellationToken, routes: Routes) -> SocketAddr {
    let tls = ours.issue("server", "sallyport://service/otp-api", &ours.ca());
    let listener = Listener::bind(&listen(Some(tls)), Profile::Production)
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = GrpcServer {
        listener,
        table: CallerTable::new("gateway", &[(RPC, Access::Services(&["gateway"]))]),
        routes,
        names: &[],
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: Profile::Production,
    };
    tokio::spawn(server.serve(stop.clone()));
    address
}

/// The same without services; gives its URL.
async fn server(ours: &Authority, stop: &CancellationToken) -> String {
    url(serving(ours, stop, Routes::default()).await)
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

/// A channel to otp-api at this address, under the gateway's certificate.
fn gateway(ours: &Authority, address: SocketAddr) -> Outgoing {
    let tls = ours.issue("gateway", "sallyport://service/gateway", &ours.ca());
    let peer = PeerConfig {
        url: url(address),
        tls: Some(tls),
    };
    connect(&peer, "otp-api").unwrap()
}

async fn answer(wire: Outgoing) -> Code {
    let asked = SmsInboxServiceClient::new(wire)
        .list_sms(ListSmsRequest::default())
        .await;
    asked
        .expect_err("nothing is served behind the table")
        .code()
}

#[tokio::test]
async fn the_certificates_uri_decides_who_passes_the_table() {
    let stop = CancellationToken::new();
    let ours = Authority::new();
    let url = server(&ours, &stop).await;
    let by = |file: &str, uri: &str| {
        let tls = ours.issue(file, uri, &ours.ca());
        let peer = PeerConfig {
            url: url.clone(),
            tls: Some(tls),
        };
        connect(&peer, "otp-api").unwrap()
    };
    assert_eq!(
        answer(by("gateway", "sallyport://service/gateway")).await,
        Code::Unimplemented
    );
    assert_eq!(
        answer(by("other", "sallyport://service/identity")).await,
        Code::PermissionDenied
    );
    assert_eq!(
        answer(by("human", "sallyport://operator/gateway")).await,
        Code::PermissionDenied
    );
    assert_eq!(
        answer(by("web", "https://service/gateway")).await,
        Code::PermissionDenied
    );
    stop.cancel();
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_connect() {
    let stop = CancellationToken::new();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let url = server(&ours, &stop).await;
    // The stranger trusts our authority, but his certificate comes from another.
    let tls = theirs.issue("gateway", "sallyport://service/gateway", &ours.ca());
    let peer = PeerConfig {
        url,
        tls: Some(tls),
    };
    let wire = connect(&peer, "otp-api").unwrap();
    // The handshake fails, or the server's alert ends the connection under the first call.
    let answer = answer(wire).await;
    assert!(
        matches!(answer, Code::Unavailable | Code::Unknown),
        "{answer:?}"
    );
    stop.cancel();
}

#[tokio::test]
async fn a_server_under_another_services_certificate_is_not_spoken_to() {
    let stop = CancellationToken::new();
    let ours = Authority::new();
    let url = server(&ours, &stop).await;
    let tls = ours.issue("gateway", "sallyport://service/gateway", &ours.ca());
    let peer = PeerConfig {
        url,
        tls: Some(tls),
    };
    // The certificate is of our authority and for this host, but it is otp-api's.
    assert_eq!(
        answer(connect(&peer, "identity").unwrap()).await,
        Code::Unavailable
    );
    assert_eq!(
        answer(connect(&peer, "otp-api").unwrap()).await,
        Code::Unimplemented
    );
    stop.cancel();
}

#[tokio::test]
async fn plain_listeners_are_refused_in_production_and_off_loopback() {
    let plain = |address: &str| ListenConfig {
        address: address.parse().unwrap(),
        ..listen(None)
    };
    let refused = Listener::bind(&plain("127.0.0.1:0"), Profile::Production)
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("listen.tls must be set"),
        "{refused}"
    );
    let refused = Listener::bind(&plain("0.0.0.0:0"), Profile::Development)
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("not on loopback"), "{refused}");
    assert!(
        Listener::bind(&plain("127.0.0.1:0"), Profile::Development)
            .await
            .is_ok()
    );
}

/// An inbox that answers everybody.
struct Inbox;

#[tonic::async_trait]
impl SmsInboxService for Inbox {
    async fn list_sms(
        &self,
        _: Request<ListSmsRequest>,
    ) -> Result<Response<ListSmsResponse>, Status> {
        Ok(Response::new(ListSmsResponse::default()))
    }
}

#[tokio::test]
async fn a_message_of_the_limit_is_read_and_a_longer_one_refused() {
    const LIMIT: usize = 4 * 1024 * 1024;
    let stop = CancellationToken::new();
    let ours = Authority::new();
    let routes = Routes::new(SmsInboxServiceServer::new(Inbox));
    let address = serving(&ours, &stop, routes).await;
    let mut inbox = SmsInboxServiceClient::new(gateway(&ours, address));
    // Before the text come the field's tag and, in four bytes, its length.
    let of = |length: usize| ListSmsRequest {
        to: "1".repeat(length - 5),
        ..ListSmsRequest::default()
    };
    inbox.list_sms(of(LIMIT)).await.unwrap();
    let refused = inbox.list_sms(of(LIMIT + 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert!(
        refused.message().contains(&format!("found {}", LIMIT + 1)),
        "{refused:?}"
    );
    stop.cancel();
}

/// Time stands still while anything is under way, and leaps where all wait: here for the limit.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let stop = CancellationToken::new();
    let ours = Authority::new();
    let address = serving(&ours, &stop, Routes::default()).await;
    let started = Instant::now();
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "closed");
    let waited = started.elapsed();
    let limit = Duration::from_secs(5);
    assert!(
        (limit..limit + Duration::from_secs(1)).contains(&waited),
        "{waited:?}"
    );
    stop.cancel();
}

#[tokio::test]
async fn one_address_takes_its_own_seats_and_no_others() {
    let stop = CancellationToken::new();
    let ours = Authority::new();
    let address = serving(&ours, &stop, Routes::default()).await;
    let silent = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap()
    };
    let mut held = Vec::new();
    for _ in 0..SEATS {
        held.push(silent().await);
    }
    let mut beyond = silent().await;
    assert_eq!(beyond.read(&mut [0]).await.unwrap(), 0, "closed at once");
    // Others are served meanwhile, and those who hold their seats keep them.
    assert_eq!(answer(gateway(&ours, address)).await, Code::Unimplemented);
    for socket in &held {
        let waits = socket.try_read(&mut [0]).unwrap_err();
        assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    }
    stop.cancel();
}
