//! Mutual TLS between processes: the client certificate's URI names the caller, and only the table's
//! peers pass. No service is needed: behind the table an unserved RPC answers UNIMPLEMENTED.

#![allow(clippy::unwrap_used, reason = "a test that meets an error ends")]

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use sallyport_chassis::channel::{Outgoing, connect};
use sallyport_chassis::config::{ListenConfig, PeerConfig, Profile, TlsConfig};
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::{Access, CallerTable};
use sallyport_proto::otp::v1::ListSmsRequest;
use sallyport_proto::otp::v1::sms_inbox_service_client::SmsInboxServiceClient;
use tokio_util::sync::CancellationToken;
use tonic::Code;

const RPC: &str = "/sallyport.otp.v1.SmsInboxService/ListSms";

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

/// A server that lets `service/gateway` call one RPC; gives its URL.
async fn server(ours: &Authority, stop: &CancellationToken) -> String {
    let tls = ours.issue("server", "sallyport://service/otp-api", &ours.ca());
    let listen = ListenConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: Some(tls),
    };
    let listener = Listener::bind(&listen, Profile::Production).await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let server = GrpcServer {
        listener,
        table: CallerTable::new("gateway", &[(RPC, Access::Services(&["gateway"]))]),
        routes: tonic::service::Routes::default(),
        names: &[],
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: Profile::Production,
    };
    tokio::spawn(server.serve(stop.clone()));
    url
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
        tls: None,
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
