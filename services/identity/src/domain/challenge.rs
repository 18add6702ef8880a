//! What a code is asked for.

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The second step of signing in.
    SignIn,
    /// Proves the number of a user who has no working factor.
    Enrolment,
    /// Proves the number that is to take the place of another.
    NumberChange,
    /// Makes the second factor fresh.
    StepUp,
}

impl Purpose {
    /// Every one.
    const ALL: [Self; 4] = [
        Self::SignIn,
        Self::Enrolment,
        Self::NumberChange,
        Self::StepUp,
    ];

    /// Its word, in rows and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Enrolment => "enrolment",
            Self::NumberChange => "number_change",
            Self::StepUp => "step_up",
        }
    }

    /// Reads its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.word() == word)
    }

    /// Whether it binds a number.
    pub fn binds(self) -> bool {
        match self {
            Self::Enrolment | Self::NumberChange => true,
            Self::SignIn | Self::StepUp => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_is_read_by_its_word_and_no_other_word_is_one() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::from_word(purpose.word()), Some(purpose));
        }
        for word in ["", "SIGN_IN", "sign_in ", "reset"] {
            assert_eq!(Purpose::from_word(word), None, "{word:?}");
        }
    }
}
