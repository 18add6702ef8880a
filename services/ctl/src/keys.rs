//! `keys`: the key rings that production wants to find.

use std::path::Path;

use anyhow::{Context, Result};
use sallyport_chassis::keyring::Keyring;

/// The rings of every service that has keys, in the order in which they are made.
const RINGS: &[(&str, &[&str])] = &[
    ("otp-api", &["code.keys", "seal.keys", "lookup.keys"]),
    ("identity", &["lookup.keys", "pepper.keys", "totp.keys"]),
];
/// What sms-dispatcher opens: the seal of otp-api, and no other key.
const SHARED: (&str, &str, &str) = ("otp-api", "sms-dispatcher", "seal.keys");

/// Makes one folder a service, with the rings that it needs and no others. Rings that exist are left
/// as they are.
pub(crate) fn make(folder: &Path) -> Result<()> {
    for (service, files) in RINGS {
        for file in *files {
            Keyring::load_or_create(&folder.join(service).join(file))?;
        }
    }
    let (from, to, file) = SHARED;
    let copy = folder.join(to).join(file);
    if !copy.exists() {
        std::fs::create_dir_all(folder.join(to))?;
        // The mode, 0600, is copied too.
        std::fs::copy(folder.join(from).join(file), &copy)
            .with_context(|| format!("{} cannot be written", copy.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_load_where_they_are_needed_and_a_second_call_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path()).unwrap();
        let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
        let before = read("identity/pepper.keys");
        make(folder.path()).unwrap();
        assert_eq!(read("identity/pepper.keys"), before);
        assert_eq!(read("otp-api/seal.keys"), read("sms-dispatcher/seal.keys"));
        for path in [
            "sms-dispatcher/seal.keys",
            "otp-api/code.keys",
            "identity/totp.keys",
        ] {
            // Loading refuses a ring that others may read.
            Keyring::load(&folder.path().join(path)).unwrap();
        }
        assert!(!folder.path().join("sms-dispatcher/code.keys").exists());
    }
}
