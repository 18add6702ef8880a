//! What must be found nowhere.

/// Everything that was secret in a journey.
#[derive(Default)]
pub struct Secrets {
    texts: Vec<String>,
    codes: Vec<String>,
}

impl Secrets {
    /// Hides a text, also where it is a part of another one.
    pub fn text(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// Hides six digits. They can be part of an instant or of a figure; a code stands alone.
    pub fn code(&mut self, code: &str) {
        self.codes.push(code.to_owned());
    }

    /// The secret that the text gives away, if it does.
    pub fn found_in(&self, text: &str) -> Option<&str> {
        let part = self
            .texts
            .iter()
            .find(|secret| text.contains(secret.as_str()));
        let word = || {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            words
                .map(|word| word.trim_matches('.'))
                .filter(|word| word.len() == 6)
                .find_map(|word| self.codes.iter().find(|code| code.as_str() == word))
        };
        part.or_else(word).map(String::as_str)
    }
}
