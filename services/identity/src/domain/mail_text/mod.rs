//! The words of mails, in every language.

mod en;
mod fr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A language of mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// French, as in Canada.
    French,
}

impl Language {
    /// The language of a locale; English where it is no other.
    pub fn of(locale: &str) -> Self {
        match locale.split(['-', '_']).next() {
            Some("fr") => Self::French,
            _ => Self::English,
        }
    }
}

/// A change that the user is told of, and that cannot be switched off (features, rule 40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The password was changed.
    PasswordChanged,
    /// Sign-in was closed after too many wrong passwords.
    SignInClosed,
    /// Two-factor authentication was switched on.
    TwoFactorEnabled,
    /// Two-factor authentication was switched off.
    TwoFactorDisabled,
    /// Codes go to another number.
    NumberChanged,
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// The recovery codes were replaced.
    RecoveryCodesRemade,
    /// The second step was locked after wrong codes.
    SecondStepLocked,
    /// The second factor was disabled after very many wrong codes.
    SecondStepDisabled,
    /// A browser no longer asks for the code.
    BrowserRemembered,
    /// The phone was reported lost.
    PhoneLost,
    /// An authenticator app was set up.
    AuthenticatorAdded,
    /// The authenticator app was taken away.
    AuthenticatorRemoved,
    /// A passkey was registered.
    PasskeyAdded,
    /// A passkey was taken away.
    PasskeyRemoved,
    /// A passkey was refused, because its counter went back.
    PasskeyCopied,
}

/// What a mail says.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// You may choose your first password.
    Invitation {
        /// The link.
        link: &'a str,
        /// Its end.
        until: Timestamp,
    },
    /// You may choose another password.
    Reset {
        /// The link.
        link: &'a str,
        /// Its end.
        until: Timestamp,
    },
    /// You may enrol your second factor anew.
    Enrolment {
        /// The link.
        link: &'a str,
        /// Its end.
        until: Timestamp,
    },
    /// Something has changed.
    Notice {
        /// What.
        notice: Notice,
        /// When.
        at: Timestamp,
        /// Where the portal is.
        portal: &'a str,
    },
}

/// Subject and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Paragraphs.
    pub body: String,
}

/// Words a message.
pub fn word(language: Language, message: Message<'_>) -> Text {
    match language {
        Language::English => en::word(message),
        Language::French => fr::word(message),
    }
}

fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICES: [Notice; 16] = [
        Notice::PasswordChanged,
        Notice::SignInClosed,
        Notice::TwoFactorEnabled,
        Notice::TwoFactorDisabled,
        Notice::NumberChanged,
        Notice::RecoveryCodeUsed,
        Notice::RecoveryCodesRemade,
        Notice::SecondStepLocked,
        Notice::SecondStepDisabled,
        Notice::BrowserRemembered,
        Notice::PhoneLost,
        Notice::AuthenticatorAdded,
        Notice::AuthenticatorRemoved,
        Notice::PasskeyAdded,
        Notice::PasskeyRemoved,
        Notice::PasskeyCopied,
    ];

    fn messages<'a>() -> Vec<Message<'a>> {
        let until = "2026-03-01T10:05:00Z".parse().unwrap();
        let link = "https://portal.example/link/spl_x";
        let mut all = vec![
            Message::Invitation { link, until },
            Message::Reset { link, until },
            Message::Enrolment { link, until },
        ];
        all.extend(NOTICES.map(|notice| Message::Notice {
            notice,
            at: until,
            portal: "https://portal.example",
        }));
        all
    }

    #[test]
    fn every_message_differs_from_every_other_in_both_languages() {
        let mut subjects = std::collections::HashSet::new();
        for language in [Language::English, Language::French] {
            for message in messages() {
                let text = word(language, message);
                assert!(subjects.insert(text.subject.clone()), "{}", text.subject);
                assert!(text.subject.len() <= 78, "{}", text.subject);
                assert!(!text.subject.contains('\n'));
                assert!(
                    text.body.contains("https://portal.example"),
                    "{}",
                    text.body
                );
                assert!(text.body.contains("2026-03-01 10:05 UTC"), "{}", text.body);
                // RFC 5322, 2.1.1: lines of at most 998 octets, better 78.
                for line in text.body.lines() {
                    assert!(line.len() <= 90, "{line}");
                }
            }
        }
    }

    #[test]
    fn unknown_locales_read_english() {
        assert_eq!(Language::of("fr"), Language::French);
        assert_eq!(Language::of("fr-CA"), Language::French);
        assert_eq!(Language::of("fil"), Language::English);
        assert_eq!(Language::of(""), Language::English);
    }
}
