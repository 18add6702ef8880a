//! `certs`: a development certificate authority.
//!
//! Each certificate names its holder as a URI, `sallyport://service/NAME` or
//! `sallyport://operator/NAME`, by which the caller tables know it.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

/// File name, URI and use of every holder. sms-dispatcher calls nobody and is called by nobody.
const HOLDERS: &[(&str, &str, &[ExtendedKeyUsagePurpose])] = &[
    (
        "identity",
        "sallyport://service/identity",
        &[ServerAuth, ClientAuth],
    ),
    ("otp-api", "sallyport://service/otp-api", &[ServerAuth]),
    (
        "account-admin",
        "sallyport://service/account-admin",
        &[ServerAuth, ClientAuth],
    ),
    ("gateway", "sallyport://service/gateway", &[ClientAuth]),
    ("operator", "sallyport://operator/local", &[ClientAuth]),
];

/// Writes `ca.pem`, `ca.key`, and `NAME.pem` with `NAME.key` for every holder. A folder that has a CA
/// is left as it is.
pub(crate) fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("folder {} cannot be made", folder.display()))?;
    if folder.join("ca.pem").exists() {
        return Ok(());
    }
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "Sallyport development CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = authority.self_signed(&key)?;
    write(&folder.join("ca.key"), &key.serialize_pem(), 0o600)?;
    let issuer = Issuer::new(authority, key);
    for (name, uri, uses) in HOLDERS {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, *name);
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params
            .subject_alt_names
            .push(SanType::URI((*uri).try_into()?));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses.to_vec();
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &issuer)?;
        write(&folder.join(format!("{name}.pem")), &signed.pem(), 0o644)?;
        write(
            &folder.join(format!("{name}.key")),
            &key.serialize_pem(),
            0o600,
        )?;
    }
    // Last, because its presence says that the rest is there.
    write(&folder.join("ca.pem"), &certificate.pem(), 0o644)
}

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_private_and_a_second_call_changes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        make(folder.path()).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let before: Vec<_> = HOLDERS
            .iter()
            .map(|(n, ..)| read(&format!("{n}.pem")))
            .collect();
        make(folder.path()).unwrap();
        for ((name, ..), old) in HOLDERS.iter().zip(before) {
            assert_eq!(read(&format!("{name}.pem")), old);
            let key = folder.path().join(format!("{name}.key"));
            assert_eq!(
                std::fs::metadata(key).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
}
