//! Turns `words.toml` into the type `Words`: one method a term, placeholders as arguments. A text
//! that is missing in a language, or whose placeholders differ between languages, fails the build.

use std::fmt::Write;
use std::path::Path;

const LANGUAGES: [&str; 2] = ["en", "fr"];

fn main() {
    println!("cargo:rerun-if-changed=words.toml");
    println!("cargo:rerun-if-changed=build.rs");
    let text = std::fs::read_to_string("words.toml").expect("words.toml is there");
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("words.toml: {e}"));
    let mut out = String::from("impl Words {\n");
    let mut all = String::new();
    for (key, entry) in &table {
        let texts = texts(key, entry);
        let names = placeholders(key, &texts[0]);
        for (language, text) in LANGUAGES.iter().zip(&texts) {
            assert_eq!(
                sorted(&names),
                sorted(&placeholders(key, text)),
                "words.toml: {key}: the placeholders of {language} differ"
            );
        }
        writeln!(out, "    /// {}", texts[0].replace('\n', " ")).expect("memory");
        if names.is_empty() {
            writeln!(
                out,
                "    pub fn {key}(self) -> &'static str {{ match self.language {{ \
                 Language::English => {:?}, Language::French => {:?} }} }}",
                texts[0], texts[1]
            )
        } else {
            let arguments: String = names
                .iter()
                .map(|n| format!(", {n}: impl std::fmt::Display"))
                .collect();
            writeln!(
                out,
                "    pub fn {key}(self{arguments}) -> String {{ match self.language {{ \
                 Language::English => format!({:?}), Language::French => format!({:?}) }} }}",
                texts[0], texts[1]
            )
        }
        .expect("memory");
        writeln!(all, "    ({key:?}, {:?}, {:?}),", texts[0], texts[1]).expect("memory");
    }
    out.push_str("}\n");
    writeln!(
        out,
        "/// Every term: key, English, French.\n#[cfg(test)]\npub const TERMS: &[(&str, &str, &str)] = &[\n{all}];"
    )
    .expect("memory");
    let path = Path::new(&std::env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("words.rs");
    std::fs::write(path, out).expect("OUT_DIR can be written");
}

fn texts(key: &str, entry: &toml::Value) -> [String; 2] {
    let table = entry
        .as_table()
        .unwrap_or_else(|| panic!("words.toml: {key} is not {{ en = …, fr = … }}"));
    for language in table.keys() {
        assert!(
            LANGUAGES.contains(&language.as_str()),
            "words.toml: {key} has the unknown language {language}"
        );
    }
    LANGUAGES.map(|language| {
        let text = table.get(language).and_then(|t| t.as_str()).unwrap_or("");
        assert!(
            !text.trim().is_empty(),
            "words.toml: {key} lacks {language}"
        );
        text.to_owned()
    })
}

fn placeholders(key: &str, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in text.split('{').skip(1) {
        let (name, _) = part
            .split_once('}')
            .unwrap_or_else(|| panic!("words.toml: {key} has an open brace"));
        assert!(
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "words.toml: {key} has a strange placeholder {{{name}}}"
        );
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}
