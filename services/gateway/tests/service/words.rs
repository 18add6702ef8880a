//! What the portal says, from its own table: a test asserts the sentence that stands there, not a
//! copy of it.

use std::sync::LazyLock;

/// The languages of the portal.
pub const LANGUAGES: [&str; 2] = ["en", "fr"];

/// Key of a term → its text in each language.
pub static TABLE: LazyLock<toml::Table> =
    LazyLock::new(|| include_str!("../../words.toml").parse().unwrap());

/// The text of a term as it stands in the table.
pub fn term(language: &str, key: &str) -> &'static str {
    TABLE
        .get(key)
        .and_then(|texts| texts.get(language)?.as_str())
        .unwrap_or_else(|| panic!("words.toml has no {key} in {language}"))
}

/// A term with its placeholders filled, with plain blanks as in [`crate::browser::Page::words`].
pub fn say(language: &str, key: &str, values: &[(&str, &str)]) -> String {
    let mut text = term(language, key).to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    assert!(!text.contains('{'), "{key} is not filled: {text}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
