//! Keys for MACs, seals and peppers, with rotation.
//!
//! A ring is a text file of mode 0600, one key a line: an id (1 to 8 of `a-z0-9`), a space, and 32
//! bytes in base64url. The first key makes; all verify. Whatever is made carries its key's id.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// The keys of one purpose. Code, seal, lookup and pepper are different rings.
pub struct Keyring {
    keys: Vec<Key>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|k| k.id.as_str()).collect();
        f.debug_struct("Keyring")
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads a ring. Refuses a file that others may read.
    pub fn load(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path)
            .with_context(|| format!("key file {} cannot be read", path.display()))?;
        {
            use std::os::unix::fs::PermissionsExt;
            ensure!(
                meta.permissions().mode() & 0o077 == 0,
                "key file {} may be read by others; run: chmod 600 {0}",
                path.display()
            );
        }
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        Self::parse(&text).with_context(|| format!("key file {}", path.display()))
    }

    /// Reads a ring, making it with one new key first where the file does not exist.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if !path.exists() {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut bytes = Zeroizing::new([0u8; 32]);
            getrandom::fill(bytes.as_mut()).map_err(|e| anyhow::anyhow!("no random bytes: {e}"))?;
            let line = Zeroizing::new(format!("k1 {}\n", B64.encode(bytes.as_ref())));
            // Whole under another name first: no process of the same start reads half a ring.
            let draft = path.with_extension(format!("{}.new", random_id()));
            let made = write_private(&draft, &line).and_then(|()| std::fs::hard_link(&draft, path));
            let _ = std::fs::remove_file(&draft);
            match made {
                // Another process was faster: its key counts.
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(e).with_context(|| format!("making {}", path.display()));
                }
                _ => {}
            }
        }
        Self::load(path)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut keys: Vec<Key> = Vec::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let (id, encoded) = line.split_once(' ').context("a line is not `id key`")?;
            ensure!(
                (1..=8).contains(&id.len())
                    && id
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                "a key id is not 1 to 8 of a-z0-9"
            );
            ensure!(keys.iter().all(|k| k.id != id), "key id {id} stands twice");
            let raw = Zeroizing::new(
                B64.decode(encoded.trim())
                    .context("a key is not base64url")?,
            );
            let Ok(bytes) = <[u8; 32]>::try_from(raw.as_slice()) else {
                bail!("key {id} is not 32 bytes long");
            };
            keys.push(Key {
                id: id.to_owned(),
                bytes: Zeroizing::new(bytes),
            });
        }
        ensure!(!keys.is_empty(), "no key in the ring");
        Ok(Self { keys })
    }

    /// The id of the key that makes.
    pub fn current(&self) -> &str {
        &self.keys[0].id
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.id == id)
    }

    /// HMAC-SHA-256 over the parts, each prefixed with its length (u32, big endian), under the key
    /// with this id; `None` where the ring does not hold it.
    pub fn mac(&self, key_id: &str, parts: &[&[u8]]) -> Option<[u8; 32]> {
        self.key(key_id).map(|key| mac(key, parts))
    }

    /// A keyed hash to find a row by: `id.base64url`, under the current key.
    pub fn lookup(&self, parts: &[&[u8]]) -> String {
        tagged(&self.keys[0], parts)
    }

    /// The keyed hash under every key of the ring, current first, for finding rows that an older
    /// key made.
    pub fn lookups(&self, parts: &[&[u8]]) -> Vec<String> {
        self.keys.iter().map(|key| tagged(key, parts)).collect()
    }

    /// Seals with ChaCha20-Poly1305 (RFC 8439) under the current key and a random nonce:
    /// `length of id ‖ id ‖ nonce ‖ ciphertext and tag`.
    pub fn seal(&self, associated: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let mut nonce = [0u8; 12];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let cipher = ChaCha20Poly1305::new((&*key.bytes).into());
        let sealed = cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: associated,
                },
            )
            .expect("texts are far below the cipher's limit");
        let mut out = Vec::with_capacity(1 + key.id.len() + 12 + sealed.len());
        out.push(key.id.len() as u8);
        out.extend_from_slice(key.id.as_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens what `seal` made under any key of the ring; `None` for everything else.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&length, rest) = sealed.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(length))?;
        let (nonce, body) = rest.split_at_checked(12)?;
        let key = self.key(std::str::from_utf8(id).ok()?)?;
        let nonce = Nonce::from(<[u8; 12]>::try_from(nonce).ok()?);
        ChaCha20Poly1305::new((&*key.bytes).into())
            .decrypt(
                &nonce,
                Payload {
                    msg: body,
                    aad: associated,
                },
            )
            .ok()
            .map(Zeroizing::new)
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.bytes.as_ref()).expect("HMAC takes any key");
    for part in parts {
        mac.update(&(part.len() as u32).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn tagged(key: &Key, parts: &[&[u8]]) -> String {
    format!("{}.{}", key.id, B64.encode(mac(key, parts)))
}

/// A secret of 256 random bits in base64url behind a prefix that scanners can find (`sps_`, `spl_`,
/// `spb_`).
pub fn new_token(prefix: &str) -> crate::Secret {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut()).expect("the operating system gives random bytes");
    crate::Secret::new(format!("{prefix}{}", B64.encode(bytes.as_ref())))
}

/// The form in which a token of 256 random bits is stored: SHA-256, hexadecimal.
pub fn token_hash(token: &str) -> String {
    use sha2::Digest;
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// 128 random bits in base64url, for ids that outsiders must not guess.
pub fn random_id() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    B64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(lines: &str) -> Keyring {
        Keyring::parse(lines).unwrap()
    }

    fn two_keys() -> (String, String) {
        (
            format!("k1 {}", B64.encode([1u8; 32])),
            format!("k2 {}", B64.encode([2u8; 32])),
        )
    }

    #[test]
    fn a_new_first_key_makes_and_the_old_one_still_verifies() {
        let (k1, k2) = two_keys();
        let old = ring(&k1);
        let rotated = ring(&format!("{k2}\n{k1}\n"));
        let sealed = old.seal(b"m1", b"text");
        assert_eq!(rotated.open(b"m1", &sealed).unwrap().as_slice(), b"text");
        assert_eq!(rotated.lookups(&[b"x"])[1], old.lookup(&[b"x"]));
        assert!(rotated.lookup(&[b"x"]).starts_with("k2."));
        assert!(old.open(b"m1", &rotated.seal(b"m1", b"text")).is_none());
    }

    #[test]
    fn a_seal_is_bound_to_its_associated_data_and_to_every_byte() {
        let ring = ring(&two_keys().0);
        let sealed = ring.seal(b"m1", b"text");
        assert!(ring.open(b"m2", &sealed).is_none());
        for i in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[i] ^= 1;
            assert!(ring.open(b"m1", &bent).is_none(), "byte {i}");
            assert!(ring.open(b"m1", &sealed[..i]).is_none(), "cut at {i}");
        }
    }

    #[test]
    fn part_borders_count_in_a_mac() {
        let ring = ring(&two_keys().0);
        assert_ne!(ring.lookup(&[b"ab", b"c"]), ring.lookup(&[b"a", b"bc"]));
    }

    #[test]
    fn files_are_private_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/code.keys");
        let first = Keyring::load_or_create(&path).unwrap().lookup(&[b"x"]);
        assert_eq!(
            Keyring::load_or_create(&path).unwrap().lookup(&[b"x"]),
            first
        );
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            Keyring::load(&path)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
    }

    #[test]
    fn processes_that_start_at_once_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.keys");
        let rings: Vec<String> = std::thread::scope(|scope| {
            let make = || Keyring::load_or_create(&path).unwrap().lookup(&[b"x"]);
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(rings.iter().all(|ring| *ring == rings[0]), "{rings:?}");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn malformed_rings_are_refused() {
        let (k1, _) = two_keys();
        for text in ["", "k1", "K! AAAA", "k1 AAAA", &format!("{k1}\n{k1}")] {
            assert!(Keyring::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn tokens_have_256_bits_behind_their_prefix() {
        let token = new_token("sps_");
        let body = token.expose().strip_prefix("sps_").unwrap();
        assert_eq!(B64.decode(body).unwrap().len(), 32);
        assert_ne!(token, new_token("sps_"));
        assert_eq!(token_hash("abc").len(), 64);
    }
}
