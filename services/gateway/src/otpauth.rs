//! What an authenticator app is set up with: the address that apps read (the Key URI Format,
//! `otpauth://`), and the same as a QR code.

use std::fmt::Write;

use qrcode::{Color, QrCode};

/// Light modules that a QR code needs around it (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// The address of a seed in base 32, under which the app lists it as `issuer (account)`.
pub(crate) fn address(issuer: &str, account: &str, secret: &str) -> String {
    let (issuer, account) = (encoded(issuer), encoded(account));
    // What stands after the issuer are the defaults of every app; some want them said.
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}\
         &algorithm=SHA1&digits=6&period=30"
    )
}

/// Percent-encodes all but what RFC 3986 calls unreserved: apps read `+` as itself.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A seed in groups of four, as people type it.
pub(crate) fn grouped(secret: &str) -> String {
    let mut out = String::with_capacity(secret.len() + secret.len() / 4);
    for (position, symbol) in secret.chars().enumerate() {
        if position > 0 && position % 4 == 0 {
            out.push(' ');
        }
        out.push(symbol);
    }
    out
}

/// Whether a text has the form of a seed in base 32.
pub(crate) fn is_secret(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
}

/// A QR code, to be drawn as one path of SVG: a unit is a module.
pub(crate) struct Picture {
    /// Width and height, the light edge included.
    pub side: usize,
    /// The dark modules, as the attribute `d`.
    pub path: String,
}

/// The QR code of a text; `None` where it is too long for one.
pub(crate) fn picture(text: &str) -> Option<Picture> {
    let code = QrCode::new(text).ok()?;
    let width = code.width();
    let mut path = String::new();
    for y in 0..width {
        for x in 0..width {
            if code[(x, y)] == Color::Dark {
                let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
    }
    Some(Picture {
        side: width + 2 * QUIET,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn the_address_is_one_that_apps_read() {
        assert_eq!(
            address("Büro & Söhne", "ada+x@example.org", SECRET),
            "otpauth://totp/B%C3%BCro%20%26%20S%C3%B6hne:ada%2Bx%40example.org\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=B%C3%BCro%20%26%20S%C3%B6hne\
             &algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn a_seed_is_read_back_from_its_groups() {
        let groups = grouped(SECRET);
        assert_eq!(groups, "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert!(is_secret(&groups.replace(' ', "")));
        for text in ["", &groups, &SECRET[1..], &SECRET.to_lowercase()] {
            assert!(!is_secret(text), "{text}");
        }
    }

    #[test]
    fn the_picture_has_its_three_marks_and_a_light_edge() {
        let picture = picture(&address("Sallyport", "ada@example.org", SECRET)).unwrap();
        let dark = |x: usize, y: usize| picture.path.contains(&format!("M{x} {y}h1v1h-1z"));
        let far = picture.side - QUIET - 7;
        for (left, top) in [(QUIET, QUIET), (far, QUIET), (QUIET, far)] {
            for n in 0..7 {
                // A ring of seven by seven, and within it a light one.
                assert!(dark(left + n, top) && dark(left + n, top + 6));
                assert!(dark(left, top + n) && dark(left + 6, top + n));
            }
            for n in 1..6 {
                assert!(!dark(left + n, top + 1) && !dark(left + 1, top + n));
            }
            assert!(dark(left + 3, top + 3));
        }
        for edge in 0..picture.side {
            for near in 0..QUIET {
                assert!(!dark(edge, near) && !dark(near, edge));
                let end = picture.side - 1 - near;
                assert!(!dark(edge, end) && !dark(end, edge));
            }
        }
        assert!(super::picture(&"x".repeat(5_000)).is_none());
    }
}
