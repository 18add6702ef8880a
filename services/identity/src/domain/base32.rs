//! Base 32: five bits a symbol, the most significant first.

/// The alphabet of RFC 4648, section 6, in which authenticator apps take their seeds.
pub const RFC_4648: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Crockford's, made to be read off paper: no I, L, O or U.
pub const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Writes bytes without padding; bits that a last symbol lacks are zeros.
pub fn encode(alphabet: &[u8; 32], bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let mut put = |value: u32| text.push(char::from(alphabet[value as usize & 31]));
    let (mut pool, mut bits) = (0u32, 0);
    for byte in bytes {
        pool = (pool << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(pool >> bits);
        }
    }
    if bits > 0 {
        put(pool << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_4648() {
        // Section 10, without the padding.
        for (plain, written) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(encode(RFC_4648, plain.as_bytes()), written);
        }
    }
}
