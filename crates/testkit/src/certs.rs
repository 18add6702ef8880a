//! A certificate authority for one test, and certificates of services on loopback.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// A certificate authority that nothing outside of the test trusts.
pub struct DevCa {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl DevCa {
    /// Makes an authority with a new key (ECDSA P-256).
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Sallyport test CA");
        // It issues to services alone.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's certificate (PEM), which both sides trust.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Writes the authority's certificate to `ca.pem` in a folder; returns the path.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join("ca.pem");
        write(&path, &self.pem(), 0o644)?;
        Ok(path)
    }

    /// Issues a certificate to the service `name`: it is `sallyport://service/NAME`, serves as
    /// `localhost` and 127.0.0.1, and may act as server and as client.
    pub fn issue(&self, name: &str) -> anyhow::Result<Issued> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.extend([
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::URI(format!("sallyport://service/{name}").as_str().try_into()?),
        ]);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            name: name.to_owned(),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for DevCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCa").finish_non_exhaustive()
    }
}

/// A certificate and its private key.
pub struct Issued {
    name: String,
    /// The certificate (PEM).
    pub cert_pem: String,
    /// The private key (PKCS #8, PEM).
    pub key_pem: String,
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key` (readable by the owner alone) to a folder; returns both
    /// paths, the certificate's first.
    pub fn write(&self, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        let certificate = folder.join(format!("{}.pem", self.name));
        let key = folder.join(format!("{}.key", self.name));
        write(&certificate, &self.cert_pem, 0o644)?;
        write(&key, &self.key_pem, 0o600)?;
        Ok((certificate, key))
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    std::fs::write(path, content)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot write {}", path.display()))
}
