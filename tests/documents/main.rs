//! What the documents name is there: tests, files, verbs of the Makefile, and each RPC has its row.
//! Each check tells all that it misses at once, with document and line.

mod api;
mod asvs;
mod named;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Endings by which a code span without a slash is known as a file.
const FILES: &[&str] = &[
    ".rs", ".md", ".toml", ".sh", ".proto", ".lua", ".html", ".js", ".mjs", ".css", ".json",
];

/// What a document says beside its prose.
enum Said {
    /// `code` within a line.
    Code(String),
    /// The target of a link.
    Link(String),
    /// A line of a fenced block.
    Block(String),
    /// A code span that its line does not end, so that nothing behind it can be read.
    Unclosed,
}

/// One of them, and where it stands.
struct Piece {
    document: PathBuf,
    line: usize,
    said: Said,
    /// Its clause says that there is no test: what it names is yet to be written.
    untested: bool,
}

impl Piece {
    fn miss(&self, what: &str) -> String {
        format!("{}:{}: {what}", self.document.display(), self.line)
    }

    fn code(&self) -> Option<&str> {
        match &self.said {
            Said::Code(text) => Some(text),
            Said::Link(_) | Said::Block(_) | Said::Unclosed => None,
        }
    }
}

fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("no folder above")?.to_owned())
}

/// Every document at the root and in docs/ and its pages of decisions, read.
fn documents() -> Result<Vec<Piece>> {
    let root = root()?;
    let mut pieces = Vec::new();
    for folder in ["", "docs", "docs/adr"] {
        for path in entries(&root.join(folder))? {
            if path.extension().is_some_and(|ending| ending == "md") {
                let document = path.strip_prefix(&root)?.to_owned();
                read(&document, &std::fs::read_to_string(&path)?, &mut pieces);
            }
        }
    }
    ensure!(!pieces.is_empty(), "no document was found");
    Ok(pieces)
}

fn read(document: &Path, text: &str, pieces: &mut Vec<Piece>) {
    let mut in_block = false;
    for (index, line) in text.lines().enumerate() {
        let mut put = |said, untested| {
            pieces.push(Piece {
                document: document.to_owned(),
                line: index + 1,
                said,
                untested,
            });
        };
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            put(Said::Block(line.trim().to_owned()), false);
            continue;
        }
        if line.matches('`').count() % 2 == 1 {
            put(Said::Unclosed, false);
        }
        for (code, untested) in codes(line) {
            put(Said::Code(code.to_owned()), untested);
        }
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                put(Said::Link(target.to_owned()), false);
            }
        }
    }
}

/// The code spans of a line, each with whether its clause says that there is no test. A clause ends
/// with a semicolon, with its cell, and where its cell breaks the line.
fn codes(line: &str) -> Vec<(&str, bool)> {
    let mut clauses = vec![String::new()];
    let mut codes = Vec::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 {
            codes.push((part, clauses.len() - 1));
            continue;
        }
        let prose = part.replace("<br>", ";");
        let mut ends = prose.split([';', '|']);
        if let (Some(last), Some(rest)) = (clauses.last_mut(), ends.next()) {
            last.push_str(rest);
        }
        clauses.extend(ends.map(str::to_owned));
    }
    let untested = |clause: usize| clauses[clause].contains("no test");
    codes
        .into_iter()
        .map(|(code, clause)| (code, untested(clause)))
        .collect()
}

#[test]
fn a_clause_says_whether_its_test_is_missing() {
    let line =
        "| done: `a b_c`; open: no test `d e_f` | `g h_i` | open: it has no test<br>`j k_l` |";
    let found = [
        ("a b_c", false),
        ("d e_f", true),
        ("g h_i", false),
        ("j k_l", false),
    ];
    assert_eq!(codes(line), found);
}

#[test]
fn every_path_that_is_named_exists() -> Result<()> {
    let root = root()?;
    let made = made()?;
    // Documents name a service's file from services/ or crates/ on, and what every service has, such
    // as its error table, from its own src/ on.
    let mut bases = vec![root.clone(), root.join("services"), root.join("crates")];
    for service in entries(&root.join("services"))? {
        bases.push(service.join("src"));
    }
    let (mut named, mut misses) = (0, Vec::new());
    for piece in documents()? {
        let missing = match &piece.said {
            Said::Code(text) if is_path(text) && !is_made(text, &made) => {
                named += 1;
                (!bases.iter().any(|base| is_there(base, text))).then_some(text.as_str())
            }
            Said::Link(target) if !target.contains("://") && !target.starts_with('#') => {
                named += 1;
                let path = target.split('#').next().unwrap_or(target);
                let document = root.join(&piece.document);
                let base = document.parent().context("a document without a folder")?;
                (!is_there(base, path)).then_some(path)
            }
            Said::Code(_) | Said::Link(_) | Said::Block(_) | Said::Unclosed => None,
        };
        misses.extend(missing.map(|path| piece.miss(&format!("no file {path}"))));
    }
    ensure!(named > 0, "no document names a path");
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// A path of the repository: addresses begin with a slash or have a scheme.
fn is_path(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/*".contains(c);
    !code.starts_with('/')
        && code.chars().all(plain)
        && (code.contains('/') || FILES.iter().any(|ending| code.ends_with(ending)))
}

/// What is made by running and building, and kept out of the repository.
fn made() -> Result<Vec<String>> {
    let ignored = std::fs::read_to_string(root()?.join(".gitignore"))?;
    Ok(ignored
        .lines()
        .map(|line| line.trim_matches('/').to_owned())
        .collect())
}

fn is_made(path: &str, made: &[String]) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    made.iter().any(|name| name == first)
}

/// Whether the path is there; `*` is any one folder.
fn is_there(base: &Path, path: &str) -> bool {
    let Some((before, after)) = path.split_once("*/") else {
        return base.join(path).exists();
    };
    entries(&base.join(before)).is_ok_and(|entries| {
        entries
            .iter()
            .any(|entry| entry.is_dir() && is_there(entry, after))
    })
}

#[test]
fn every_verb_of_make_that_is_named_is_in_the_makefile() -> Result<()> {
    let makefile = std::fs::read_to_string(root()?.join("Makefile"))?;
    let verbs: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(verb, _)| verb)
        .collect();
    let (mut named, mut misses) = (0, Vec::new());
    for piece in documents()? {
        let (Said::Code(text) | Said::Block(text)) = &piece.said else {
            continue;
        };
        let Some(said) = text.strip_prefix("make ") else {
            continue;
        };
        let said = said.split('#').next().unwrap_or(said);
        // What has an equals sign is a variable.
        for verb in said.split_whitespace().filter(|word| !word.contains('=')) {
            named += 1;
            if !verbs.contains(verb) {
                misses.push(piece.miss(&format!("no verb {verb} in the Makefile")));
            }
        }
    }
    ensure!(named > 0, "no document names a verb");
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// The other checks read line by line.
#[test]
fn code_ends_on_the_line_on_which_it_begins() -> Result<()> {
    let misses: Vec<String> = documents()?
        .iter()
        .filter(|piece| matches!(piece.said, Said::Unclosed))
        .map(|piece| piece.miss("an odd number of backticks"))
        .collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// What lies in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
