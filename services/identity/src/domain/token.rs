//! Tokens as they arrive: a prefix that scanners can find and 256 bits in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use sallyport_chassis::keyring::token_hash;

/// Prefix of session tokens.
pub const SESSION: &str = "sps_";
/// Prefix of one-time links.
pub const LINK: &str = "spl_";
/// Prefix of tokens of remembered browsers.
pub const BROWSER: &str = "spb_";

/// The hash by which a token of this prefix is found; `None` for a text that is no such token, so
/// that it costs no look-up and one kind never passes for another.
pub fn hash_of(prefix: &str, token: &str) -> Option<String> {
    let body = token.strip_prefix(prefix)?;
    (body.len() == 43 && B64.decode(body).is_ok()).then(|| token_hash(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sallyport_chassis::keyring::new_token;

    #[test]
    fn a_made_token_is_found_by_its_own_prefix_only() {
        let token = new_token(LINK);
        assert_eq!(
            hash_of(LINK, token.expose()),
            Some(token_hash(token.expose()))
        );
        assert_eq!(hash_of(SESSION, token.expose()), None);
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in "\\PC{0,60}") {
            prop_assume!(!text.starts_with(SESSION));
            prop_assert_eq!(hash_of(SESSION, &text), None);
        }

        #[test]
        fn a_token_changed_anywhere_has_another_hash_or_none(at in 0usize..47, to in any::<char>()) {
            let token = new_token(SESSION);
            let token = token.expose();
            let bent: String = token
                .chars()
                .enumerate()
                .map(|(i, c)| if i == at { to } else { c })
                .collect();
            prop_assume!(bent != token);
            prop_assert_ne!(hash_of(SESSION, &bent), hash_of(SESSION, token));
        }

        #[test]
        fn a_cut_token_is_none(length in 0usize..47) {
            let token = new_token(SESSION);
            prop_assert_eq!(hash_of(SESSION, &token.expose()[..length]), None);
        }
    }
}
