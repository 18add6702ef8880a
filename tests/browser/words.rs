//! What the portal says, from its own table, so that a check asserts the sentence that stands there
//! and not a copy of it.

const TABLE: &str = include_str!("../../services/gateway/words.toml");

/// The terms in one language.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    french: bool,
}

impl Words {
    /// English, or French.
    pub fn new(french: bool) -> Self {
        Self { french }
    }

    /// The sentence of a term, as [`plain`] text.
    ///
    /// # Panics
    /// Where the table has no such term, or the term has placeholders.
    pub fn say(&self, key: &str) -> String {
        self.with(key, &[])
    }

    /// The sentence of a term with its placeholders filled.
    ///
    /// # Panics
    /// Where the table has no such term, or the term has other placeholders.
    pub fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut text = self.term(key);
        for (name, value) in values {
            let place = format!("{{{name}}}");
            assert!(text.contains(&place), "words.toml: {key} has no {place}");
            text = text.replace(&place, value);
        }
        assert!(
            !text.contains('{'),
            "words.toml: {key} is not filled: {text}"
        );
        plain(&text)
    }

    /// Every term stands on a line of its own: `key = { en = "…", fr = "…" }`.
    fn term(&self, key: &str) -> String {
        let entry = TABLE
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = {"))
            .unwrap_or_else(|| panic!("words.toml has no {key}"));
        let mark = if self.french { " fr = " } else { " en = " };
        let (_, text) = entry
            .split_once(mark)
            .unwrap_or_else(|| panic!("words.toml: {key} lacks{mark}"));
        // A basic string of TOML has the escapes of JSON; what follows it is not read.
        serde_json::Deserializer::from_str(text)
            .into_iter::<String>()
            .next()
            .and_then(Result::ok)
            .unwrap_or_else(|| panic!("words.toml: {key} cannot be read"))
    }
}

/// The text with plain blanks for no-break ones, as it is compared.
pub fn plain(text: &str) -> String {
    text.replace('\u{a0}', " ")
}
