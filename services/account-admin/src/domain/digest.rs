//! One hash over several texts, whose borders count.

use sha2::{Digest, Sha256};

/// SHA-256 over the parts, each behind its length (u64, big endian).
pub fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
