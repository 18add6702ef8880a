//! Headers of every answer.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Nothing inline, nothing from elsewhere, framed by nobody.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
/// The same for the one page that our own code page frames.
pub(crate) const FRAMED_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'self'";

/// Adds what is not there yet: an answer may have set its own policy or caching.
pub(crate) fn secure(headers: &mut HeaderMap, tls: bool) {
    let mut put = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Links carry tokens in their path.
    put(header::REFERRER_POLICY, "no-referrer");
    put(header::CACHE_CONTROL, "no-store");
    put(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    put(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    put(
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    );
    if tls {
        put(
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_browsers_stay_there_for_a_year_at_least_with_every_subdomain() {
        let mut headers = HeaderMap::new();
        secure(&mut headers, true);
        let told = headers[header::STRICT_TRANSPORT_SECURITY].to_str().unwrap();
        let (age, rest) = told.split_once("; ").unwrap();
        let seconds: u64 = age.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!(seconds >= 365 * 24 * 3_600, "{told}");
        assert_eq!(rest, "includeSubDomains");
    }

    #[test]
    fn policies_begin_with_nothing_and_name_nobody_else() {
        for policy in [POLICY, FRAMED_POLICY] {
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.contains("base-uri 'none'"), "{policy}");
            for word in ["object-src", "unsafe", "*", "http", "//"] {
                assert!(!policy.contains(word), "{policy}: {word}");
            }
        }
    }
}
