//! Lists `templates/`: each file is a language in which messages are sent, and its name the language.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    let folder = variable("CARGO_MANIFEST_DIR").join("templates");
    let entries = std::fs::read_dir(folder).expect("templates is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let mut out = String::from("const SOURCES: &[(&str, &str)] = &[\n");
    for file in &files {
        writeln!(out, "    ({:?}, include_str!({file:?})),", language(file)).expect("memory");
    }
    out.push_str("];\n");
    std::fs::write(variable("OUT_DIR").join("languages.rs"), out).expect("OUT_DIR can be written");
}

fn language(file: &Path) -> &str {
    let name = file.file_stem().and_then(|name| name.to_str());
    name.expect("the name of a language")
}
