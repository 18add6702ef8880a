//! The test authority's certificates, in real handshakes.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sallyport_testkit::{DevCa, Issued};
use tokio::io::AsyncReadExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

fn roots(ca: &DevCa) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
    Ok(Arc::new(roots))
}

fn identity(
    issued: &Issued,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let certificate = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes())?;
    Ok((
        vec![certificate],
        PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?,
    ))
}

/// A handshake in which both sides trust `ca` and show what they were issued; returns the name in
/// the certificate that the server saw.
async fn handshake(
    ca: &DevCa,
    server: &Issued,
    client: &Issued,
    host: &str,
) -> anyhow::Result<String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(ca)?, Arc::clone(&provider)).build()?;
    let (chain, key) = identity(server)?;
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    let (chain, key) = identity(client)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(chain, key)?;

    let (near, far) = tokio::io::duplex(64 * 1024);
    let host = host.to_owned().try_into()?;
    let accept = TlsAcceptor::from(Arc::new(server)).accept(far);
    let connect = async {
        let mut stream = TlsConnector::from(Arc::new(client))
            .connect(host, near)
            .await?;
        // In TLS 1.3 the client learns with the first read whether its certificate was accepted.
        stream.read(&mut [0; 1]).await
    };
    let serve = async {
        let stream = accept.await?;
        let seen = stream.get_ref().1.peer_certificates().expect("required")[0].to_vec();
        anyhow::Ok(seen)
    };
    let (_, seen) = tokio::join!(connect, serve);
    let seen = seen?;
    let (_, certificate) = X509Certificate::from_der(&seen)?;
    let names = certificate
        .subject_alternative_name()?
        .expect("names")
        .value
        .clone();
    let uri = names.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    Ok(uri.expect("a URI"))
}

#[tokio::test]
async fn services_know_each_other_by_their_certificates() -> anyhow::Result<()> {
    let ca = DevCa::new()?;
    let (identity, gateway) = (ca.issue("identity")?, ca.issue("gateway")?);
    for host in ["localhost", "127.0.0.1"] {
        let seen = handshake(&ca, &identity, &gateway, host).await?;
        assert_eq!(seen, "sallyport://service/gateway");
    }
    assert!(
        handshake(&ca, &identity, &gateway, "example.org")
            .await
            .is_err()
    );
    // Another authority's client and server are both refused.
    let stranger = DevCa::new()?.issue("gateway")?;
    assert!(
        handshake(&ca, &identity, &stranger, "localhost")
            .await
            .is_err()
    );
    assert!(
        handshake(&ca, &stranger, &gateway, "localhost")
            .await
            .is_err()
    );
    Ok(())
}

#[test]
fn files_hold_what_was_issued_and_keys_are_the_owners() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    let ca = DevCa::new()?;
    let issued = ca.issue("identity")?;
    let (certificate, key) = issued.write(folder.path())?;
    assert_eq!(std::fs::read_to_string(ca.write(folder.path())?)?, ca.pem());
    assert_eq!(std::fs::read_to_string(certificate)?, issued.cert_pem);
    assert_eq!(std::fs::read_to_string(&key)?, issued.key_pem);
    assert_eq!(std::fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    assert!(!format!("{issued:?} {ca:?}").contains("PRIVATE"));
    Ok(())
}
