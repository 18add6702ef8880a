//! What a user calls a passkey of his.

/// A name: 1 to 64 characters, none that is unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyName(String);

/// What was typed cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters")]
pub struct NotAName;

/// Characters of the longest name.
const LONGEST: usize = 64;

impl PasskeyName {
    /// Reads a typed name, without the blanks around it.
    pub fn parse(typed: &str) -> Result<Self, NotAName> {
        let name = typed.trim();
        let fits = (1..=LONGEST).contains(&name.chars().count());
        if fits && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NotAName)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_to_sixty_four_characters_that_are_seen() {
        let longest = "é".repeat(64);
        for (typed, name) in [
            (" My phone ", "My phone"),
            ("Clé d’Ada", "Clé d’Ada"),
            (longest.as_str(), longest.as_str()),
        ] {
            assert_eq!(PasskeyName::parse(typed).unwrap().as_str(), name);
        }
        let longer = "e".repeat(65);
        for typed in ["", "  ", "a\nb", "a\0b", longer.as_str()] {
            assert_eq!(PasskeyName::parse(typed), Err(NotAName), "{typed:?}");
        }
    }
}
