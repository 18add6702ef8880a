//! The texts of messages: one file a language, linted at start-up (rule 33). Another language is
//! another file in `templates/`, and nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use sallyport_chassis::Secret;
use sallyport_smpp::text::septets;
use serde::Deserialize;

use super::challenge::Purpose;
use super::code::Code;

/// Septets of one message.
const ONE_SEGMENT: usize = 160;
/// Characters and words that stand before a code, so that the first words of a locked screen's
/// notification do not show it.
const CODE_AFTER: (usize, usize) = (20, 4);
/// The longest host that every text must have room for.
const LONGEST_HOST: usize = 60;

/// The language of whoever reads none that there are texts in.
const FALLBACK: &str = "en";

// SOURCES: the languages by their tags, each with its file.
include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// A security notice (rule 40).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Two-factor authentication was switched on.
    TwoFactorOn,
    /// It was switched off.
    TwoFactorOff,
    /// The confirmed number was changed.
    NumberChanged,
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// A new set of recovery codes was made.
    RecoveryCodesRemade,
    /// Too many wrong codes in a row.
    FactorLocked,
    /// A browser is remembered.
    BrowserRemembered,
    /// An administrator reset the factors.
    FactorReset,
    /// Very many wrong codes in a row: codes by SMS no longer sign in.
    FactorDisabled,
    /// A link with which a disabled factor is enrolled anew was mailed.
    EnrolmentLink,
    /// The phone with this number was reported lost.
    PhoneLost,
    /// An authenticator app was set up.
    AuthenticatorAdded,
    /// It was taken away.
    AuthenticatorRemoved,
    /// A passkey was registered.
    PasskeyAdded,
    /// One was taken away.
    PasskeyRemoved,
    /// One was refused, because it may have been copied.
    PasskeyCopied,
}

impl Notice {
    /// All notices.
    pub const ALL: [Self; 16] = [
        Self::TwoFactorOn,
        Self::TwoFactorOff,
        Self::NumberChanged,
        Self::RecoveryCodeUsed,
        Self::RecoveryCodesRemade,
        Self::FactorLocked,
        Self::BrowserRemembered,
        Self::FactorReset,
        Self::FactorDisabled,
        Self::EnrolmentLink,
        Self::PhoneLost,
        Self::AuthenticatorAdded,
        Self::AuthenticatorRemoved,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::PasskeyCopied,
    ];

    /// The word in metrics and in the hash of a request's body.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoFactorOn => "two_factor_on",
            Self::TwoFactorOff => "two_factor_off",
            Self::NumberChanged => "number_changed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesRemade => "recovery_codes_remade",
            Self::FactorLocked => "factor_locked",
            Self::BrowserRemembered => "browser_remembered",
            Self::FactorReset => "factor_reset",
            Self::FactorDisabled => "factor_disabled",
            Self::EnrolmentLink => "enrolment_link",
            Self::PhoneLost => "phone_lost",
            Self::AuthenticatorAdded => "authenticator_added",
            Self::AuthenticatorRemoved => "authenticator_removed",
            Self::PasskeyAdded => "passkey_added",
            Self::PasskeyRemoved => "passkey_removed",
            Self::PasskeyCopied => "passkey_copied",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Letters that these texts may have beyond ASCII.
    #[serde(default)]
    letters: String,
    code: CodeTexts,
    notice: NoticeTexts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeTexts {
    sign_in: String,
    enrolment: String,
    number_change: String,
    step_up: String,
}

impl CodeTexts {
    fn of(&self, purpose: Purpose) -> &str {
        match purpose {
            Purpose::SignIn => &self.sign_in,
            Purpose::Enrolment => &self.enrolment,
            Purpose::NumberChange => &self.number_change,
            Purpose::StepUp => &self.step_up,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeTexts {
    two_factor_on: String,
    two_factor_off: String,
    number_changed: String,
    recovery_code_used: String,
    recovery_codes_remade: String,
    factor_locked: String,
    browser_remembered: String,
    factor_reset: String,
    factor_disabled: String,
    enrolment_link: String,
    phone_lost: String,
    authenticator_added: String,
    authenticator_removed: String,
    passkey_added: String,
    passkey_removed: String,
    passkey_copied: String,
}

impl NoticeTexts {
    fn of(&self, notice: Notice) -> &str {
        match notice {
            Notice::TwoFactorOn => &self.two_factor_on,
            Notice::TwoFactorOff => &self.two_factor_off,
            Notice::NumberChanged => &self.number_changed,
            Notice::RecoveryCodeUsed => &self.recovery_code_used,
            Notice::RecoveryCodesRemade => &self.recovery_codes_remade,
            Notice::FactorLocked => &self.factor_locked,
            Notice::BrowserRemembered => &self.browser_remembered,
            Notice::FactorReset => &self.factor_reset,
            Notice::FactorDisabled => &self.factor_disabled,
            Notice::EnrolmentLink => &self.enrolment_link,
            Notice::PhoneLost => &self.phone_lost,
            Notice::AuthenticatorAdded => &self.authenticator_added,
            Notice::AuthenticatorRemoved => &self.authenticator_removed,
            Notice::PasskeyAdded => &self.passkey_added,
            Notice::PasskeyRemoved => &self.passkey_removed,
            Notice::PasskeyCopied => &self.passkey_copied,
        }
    }
}

/// The texts of a deployment.
#[derive(Debug)]
pub struct Templates {
    host: String,
    /// By lower-case tag (BCP 47), without the fallback.
    languages: BTreeMap<String, File>,
    fallback: File,
}

impl Templates {
    /// Reads and lints every text.
    ///
    /// # Errors
    /// The host is none, or a text breaks a rule; the sentence names it.
    pub fn load(host: &str) -> Result<Self> {
        Self::of(host, SOURCES)
    }

    fn of(host: &str, sources: &[(&str, &str)]) -> Result<Self> {
        check_host(host)?;
        let mut languages = BTreeMap::new();
        for (language, source) in sources {
            let file: File = toml::from_str(source).with_context(|| format!("texts {language}"))?;
            lint(&file, language)?;
            languages.insert(language.to_ascii_lowercase(), file);
        }
        let fallback = languages.remove(FALLBACK);
        Ok(Self {
            host: host.to_owned(),
            languages,
            fallback: fallback.with_context(|| format!("no texts {FALLBACK}"))?,
        })
    }

    /// The texts for a locale such as `fr-CA`: its own, those of its language, or the fallback's
    /// (RFC 4647, section 3.4).
    fn file(&self, locale: &str) -> &File {
        let mut tag = locale.replace('_', "-").to_ascii_lowercase();
        loop {
            if let Some(file) = self.languages.get(&tag) {
                return file;
            }
            match tag.rfind('-') {
                Some(end) => tag.truncate(end),
                None => return &self.fallback,
            }
        }
    }

    /// The text of a code, in the language of a locale (BCP 47).
    pub fn code(&self, locale: &str, purpose: Purpose, reference: &str, code: &Code) -> Secret {
        let template = self.file(locale).code.of(purpose);
        Secret::new(fill(template, &self.host, reference, code.expose()))
    }

    /// The text of a notice, in the language of a locale (BCP 47).
    pub fn notice(&self, locale: &str, notice: Notice) -> Secret {
        let template = self.file(locale).notice.of(notice);
        Secret::new(fill(template, &self.host, "", ""))
    }
}

fn fill(template: &str, host: &str, reference: &str, code: &str) -> String {
    template
        .replace("{host}", host)
        .replace("{reference}", reference)
        .replace("{code}", code)
}

/// A host as browsers compare it: lower-case labels, without scheme, port or path.
fn check_host(host: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    ensure!(
        host.len() <= LONGEST_HOST && host.split('.').all(label),
        "otp.host must be the portal's host name in lower case, without scheme or port, of at most \
         {LONGEST_HOST} characters"
    );
    Ok(())
}

fn lint(file: &File, language: &str) -> Result<()> {
    let letters = file.letters.as_str();
    for purpose in Purpose::ALL {
        let template = file.code.of(purpose);
        lint_code(template)
            .and_then(|()| lint_text(template, letters))
            .with_context(|| format!("texts {language}, code {}", purpose.name()))?;
    }
    for notice in Notice::ALL {
        let template = file.notice.of(notice);
        ensure!(
            template.contains("{host}")
                && !template.contains("{code}")
                && !template.contains("{reference}"),
            "texts {language}, notice {}: must name {{host}}, and neither {{code}} nor {{reference}}",
            notice.name()
        );
        lint_text(template, letters)
            .with_context(|| format!("texts {language}, notice {}", notice.name()))?;
    }
    Ok(())
}

fn lint_code(template: &str) -> Result<()> {
    let (body, last) = template.rsplit_once('\n').context("is one line")?;
    ensure!(
        last == "@{host} #{code}",
        "the last line must be \"@{{host}} #{{code}}\""
    );
    ensure!(body.contains("{reference}"), "does not name {{reference}}");
    let before = body
        .split_once("{code}")
        .context("does not name {code} before the last line")?
        .0;
    let (characters, words) = CODE_AFTER;
    ensure!(
        before.chars().count() >= characters && before.split_whitespace().count() >= words,
        "{{code}} must stand after {words} words and {characters} characters"
    );
    Ok(())
}

fn lint_text(template: &str, letters: &str) -> Result<()> {
    let longest = fill(template, &"m".repeat(LONGEST_HOST), "WWW", "000000");
    ensure!(
        !longest.contains(['{', '}']),
        "has a brace or an unknown place in braces"
    );
    if let Some(foreign) = longest
        .chars()
        .find(|c| !c.is_ascii() && !letters.contains(*c))
    {
        anyhow::bail!("has {foreign:?}, which this language's texts may not have");
    }
    let count = septets(&longest).context("leaves the GSM-7 alphabet")?;
    ensure!(
        count <= ONE_SEGMENT,
        "takes {count} septets with a host of {LONGEST_HOST} characters; {ONE_SEGMENT} are one \
         message"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_smpp::text::is_gsm7;

    use super::*;

    #[test]
    fn our_texts_pass() {
        Templates::load("localhost").unwrap();
    }

    #[test]
    fn each_rule_is_linted() {
        let good = "Reference {reference}: your code is {code}.\n\n@{host} #{code}";
        let check = |text: &str| {
            lint_code(text)
                .and_then(|()| lint_text(text, "éèàù"))
                .err()
                .map(|error| format!("{error:#}"))
                .unwrap_or_default()
        };
        assert_eq!(check(good), "");
        for (from, to, told) in [
            ("\n\n@{host} #{code}", "\n\n@{host} #{code}.", "last line"),
            ("\n\n@{host} #{code}", " @{host} #{code}", "one line"),
            ("Reference {reference}", "A message to you", "{reference}"),
            ("your code is {code}.", "your code is below", "{code}"),
            (
                "Reference {reference}: your code is {code}.",
                "{code} {reference}",
                "words",
            ),
            ("your", "your own one {name}", "brace"),
            ("your", "reçu", "'ç'"),
            ("your", "ê", "'ê'"),
            ("your", &"long ".repeat(20), "septets"),
        ] {
            let error = check(&good.replace(from, to));
            assert!(error.contains(told), "{from:?} → {to:?}: {error:?}");
        }
        assert!(lint_text("é", "").is_err());
    }

    #[test]
    fn a_host_is_a_bare_host() {
        check_host("portal.example.com").unwrap();
        let long = format!("{}.example", "a".repeat(60));
        for host in [
            "",
            "https://x.example",
            "x.example:443",
            "X.example",
            "x..example",
            "-x.example",
            &long,
        ] {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    const CODE: &str = "012345";

    /// The beginning of a sign-in code's text, by which its language is known.
    fn begins(templates: &Templates, locale: &str) -> String {
        let code = Code::parse(CODE).unwrap();
        let text = templates.code(locale, Purpose::SignIn, "KTR", &code);
        text.expose().chars().take(9).collect()
    }

    /// English texts in which the first word is another.
    fn another_language(word: &str) -> String {
        let (_, english) = SOURCES.iter().find(|(tag, _)| *tag == FALLBACK).unwrap();
        english.replace("Reference", word)
    }

    #[test]
    fn a_locale_reads_its_language_and_english_where_there_is_none() {
        let templates = Templates::load("localhost").unwrap();
        for locale in ["fr", "fr-CA", "FR", "fr_CA"] {
            assert_eq!(begins(&templates, locale), "Référence", "{locale}");
        }
        for locale in ["", "en", "en-GB", "de", "frr"] {
            assert_eq!(begins(&templates, locale), "Reference", "{locale}");
        }
    }

    #[test]
    fn every_file_in_the_folder_is_a_language() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let read: Vec<_> = SOURCES
            .iter()
            .map(|(tag, _)| format!("{tag}.toml"))
            .collect();
        assert_eq!(files, read);
    }

    #[test]
    fn another_file_is_another_language_and_a_bad_one_is_refused_at_start_up() {
        let (danish, austrian) = (another_language("Kendetegn"), another_language("Kennwort "));
        let with = |more: &[(&str, &str)]| {
            let sources: Vec<_> = SOURCES.iter().chain(more).copied().collect();
            Templates::of("localhost", &sources)
        };
        let templates = with(&[("da", danish.as_str()), ("de-AT", austrian.as_str())]).unwrap();
        for (locale, begin) in [
            ("da", "Kendetegn"),
            ("da-DK", "Kendetegn"),
            ("de-at", "Kennwort "),
            ("de", "Reference"),
            ("fr", "Référence"),
        ] {
            assert_eq!(begins(&templates, locale), begin, "{locale}");
        }
        let foreign = danish.replace("Kendetegn", "Tålord til");
        let (without_notices, _) = danish.split_once("[notice]").unwrap();
        for (broken, told) in [
            (foreign.clone(), "'å'"),
            (without_notices.to_owned(), "notice"),
            (danish.replace("#{code}", "#{code}."), "last line"),
            (danish.replace("sign_in", "sign_inn"), "sign_inn"),
        ] {
            let error = format!("{:#}", with(&[("da", broken.as_str())]).unwrap_err());
            assert!(
                error.contains("texts da") && error.contains(told),
                "{error}"
            );
        }
        let allowed = format!("letters = \"å\"\n{foreign}");
        let templates = with(&[("da", allowed.as_str())]).unwrap();
        assert_eq!(begins(&templates, "da"), "Tålord ti");
        assert!(Templates::of("localhost", &[("da", danish.as_str())]).is_err());
    }

    #[test]
    fn canadian_french_has_no_space_before_its_marks() {
        let templates = Templates::load("localhost").unwrap();
        let code = Code::parse(CODE).unwrap();
        let codes = Purpose::ALL
            .into_iter()
            .map(|purpose| templates.code("fr", purpose, "KTR", &code));
        let notices = Notice::ALL
            .into_iter()
            .map(|notice| templates.notice("fr", notice));
        for text in codes.chain(notices) {
            let text = text.expose();
            for mark in [" ;", " !", " ?"] {
                assert!(!text.contains(mark), "a space before {mark:?}: {text}");
            }
        }
    }

    proptest! {
        /// Whatever is filled in, every text stays one segment and keeps its form.
        #[test]
        fn every_text_of_every_deployment_is_one_segment(
            host in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,12}){0,2}",
            reference in "[CDHJKMNPRTVWX]{3}",
            digits in "[0-9]{6}",
        ) {
            let templates = Templates::load(&host).unwrap();
            let code = Code::parse(&digits).unwrap();
            for (language, _) in SOURCES {
                for purpose in Purpose::ALL {
                    let text = templates.code(language, purpose, &reference, &code);
                    let text = text.expose();
                    prop_assert!(septets(text).unwrap() <= 160, "{text}");
                    prop_assert!(text.contains(&reference));
                    prop_assert!(text.find(&digits).unwrap() >= 20, "{text}");
                    let last = format!("@{host} #{digits}");
                    prop_assert_eq!(text.lines().next_back(), Some(last.as_str()));
                }
                for notice in Notice::ALL {
                    let text = templates.notice(language, notice);
                    let text = text.expose();
                    prop_assert!(is_gsm7(text) && septets(text).unwrap() <= 160, "{text}");
                    prop_assert!(text.contains(&host));
                }
            }
        }
    }
}
