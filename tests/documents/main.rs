//! What the documents name is there: tests, files, and verbs of the Makefile. Each check tells all
//! that it misses at once, with document and line.

use std::collections::{BTreeMap, BTreeSet};
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

/// Every document at the root and in docs/, read.
fn documents() -> Result<Vec<Piece>> {
    let root = root()?;
    let mut pieces = Vec::new();
    for folder in ["", "docs"] {
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
        let mut put = |said| {
            pieces.push(Piece {
                document: document.to_owned(),
                line: index + 1,
                said,
            });
        };
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            put(Said::Block(line.trim().to_owned()));
            continue;
        }
        if line.matches('`').count() % 2 == 1 {
            put(Said::Unclosed);
        }
        for code in line.split('`').skip(1).step_by(2) {
            put(Said::Code(code.to_owned()));
        }
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                put(Said::Link(target.to_owned()));
            }
        }
    }
}

#[test]
fn every_test_that_is_named_exists() -> Result<()> {
    let packages = packages()?;
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut named, mut misses) = (0, Vec::new());
    for piece in documents()? {
        let Some((id, name)) = piece.code().and_then(test) else {
            continue;
        };
        named += 1;
        if !known.contains_key(id) {
            let functions = functions(&packages, id)
                .with_context(|| piece.miss(&format!("{id} cannot be read")))?;
            known.insert(id.to_owned(), functions);
        }
        if !known[id].contains(name) {
            misses.push(piece.miss(&format!("no test {name} in {id}")));
        }
    }
    ensure!(named > 0, "no document names a test");
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// A test as documents write it, `package name` or `package::binary name`: the form of nextest, with
/// `package::bin/program name` for tests beside a program. Names of tests are sentences, so there is
/// an underscore in each.
fn test(code: &str) -> Option<(&str, &str)> {
    let (id, name) = code.split_once(' ')?;
    let plain = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
    };
    (plain(id, "-_:/") && plain(name, "_") && name.contains('_')).then_some((id, name))
}

/// The workspace's packages and their folders.
fn packages() -> Result<BTreeMap<String, PathBuf>> {
    let root = root()?;
    let mut folders = vec![root.join("tests")];
    for group in ["services", "crates"] {
        folders.extend(entries(&root.join(group))?);
    }
    let mut packages = BTreeMap::new();
    for folder in folders {
        let manifest = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("{}", manifest.display()))?;
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .with_context(|| format!("{} has no name", manifest.display()))?;
        packages.insert(name.to_owned(), folder);
    }
    Ok(packages)
}

/// The functions of a binary of tests; none where there is no such binary.
fn functions(packages: &BTreeMap<String, PathBuf>, id: &str) -> Result<BTreeSet<String>> {
    let (package, binary) = match id.split_once("::") {
        Some((package, binary)) if !binary.starts_with("bin/") => (package, Some(binary)),
        Some((package, _)) => (package, None),
        None => (id, None),
    };
    let Some(folder) = packages.get(package) else {
        return Ok(BTreeSet::new());
    };
    let places = match binary {
        None => vec![folder.join("src")],
        // The package of the journeys is the folder tests/ itself.
        Some(binary) => vec![
            folder.join("tests").join(format!("{binary}.rs")),
            folder.join("tests").join(binary),
            folder.join(binary),
        ],
    };
    let mut functions = BTreeSet::new();
    for place in places.iter().filter(|place| place.exists()) {
        for source in sources(place)? {
            let text = std::fs::read_to_string(source)?;
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            functions.extend(code.filter_map(function).map(str::to_owned));
        }
    }
    Ok(functions)
}

/// The name of the function that the line begins.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let end = after.find(['(', '<'])?;
    (before.is_empty() || before.ends_with(' ')).then_some(&after[..end])
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

/// The Rust sources at or under a path.
fn sources(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        let is_source = path.extension().is_some_and(|ending| ending == "rs");
        return Ok(is_source.then(|| path.to_owned()).into_iter().collect());
    }
    let mut files = Vec::new();
    for entry in entries(path)? {
        files.extend(sources(&entry)?);
    }
    Ok(files)
}
