//! Opaque page tokens: where the next page starts, bound to the list that it belongs to.
//!
//! A token grants nothing, since every query carries its organisation; the binding only keeps a
//! token of one list from being read as a place in another.

use super::digest::digest;

const BINDING: usize = 8;
/// Rows on a page when the request names no number.
const DEFAULT: u32 = 50;
/// Rows on a page at most.
const LARGEST: u32 = 200;

/// The token is not one of this list's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignToken;

/// Rows on a page.
pub fn size(asked: u32) -> usize {
    (if asked == 0 {
        DEFAULT
    } else {
        asked.min(LARGEST)
    }) as usize
}

/// The token of the page behind `last`.
pub fn token(list: &[&str], last: &str) -> String {
    let mut bytes = binding(list).to_vec();
    bytes.extend_from_slice(last.as_bytes());
    hex::encode(bytes)
}

/// What the page before ended with; `None` for the first page.
pub fn read(list: &[&str], token: &str) -> Result<Option<String>, ForeignToken> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = hex::decode(token).map_err(|_| ForeignToken)?;
    let (bound, last) = bytes.split_at_checked(BINDING).ok_or(ForeignToken)?;
    if bound != binding(list) {
        return Err(ForeignToken);
    }
    let last = std::str::from_utf8(last).map_err(|_| ForeignToken)?;
    if last.is_empty() || last.chars().any(char::is_control) {
        return Err(ForeignToken);
    }
    Ok(Some(last.to_owned()))
}

fn binding(list: &[&str]) -> [u8; BINDING] {
    let mut bound = [0; BINDING];
    bound.copy_from_slice(&digest(list)[..BINDING]);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_list() {
        let made = token(&["users", "org-1", "mi"], "mia@example.com");
        assert_eq!(
            read(&["users", "org-1", "mi"], &made),
            Ok(Some("mia@example.com".to_owned()))
        );
        assert_eq!(read(&["users", "org-2", "mi"], &made), Err(ForeignToken));
        assert_eq!(read(&["users", "org-1m", "i"], &made), Err(ForeignToken));
        assert_eq!(read(&["users"], ""), Ok(None));
        for bad in ["x", "00", "zz", &made[..10]] {
            assert_eq!(read(&["users", "org-1", "mi"], bad), Err(ForeignToken));
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_ceiling() {
        assert_eq!((size(0), size(7), size(9_999)), (50, 7, 200));
    }
}
