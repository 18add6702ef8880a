//! Tests that documents name run, and those that they miss are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{Piece, documents, entries, root};

/// A test that a document names.
struct Named {
    piece: Piece,
    /// As the document writes it.
    test: String,
    is_there: bool,
}

#[test]
fn every_test_that_is_named_exists() -> Result<()> {
    let named = named()?;
    let misses: Vec<String> = named
        .iter()
        .filter(|named| !named.piece.untested && !named.is_there)
        .map(|named| named.piece.miss(&format!("no test {}", named.test)))
        .collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// "Open, no test" goes out of date when the test is written.
#[test]
fn no_test_that_is_called_missing_exists() -> Result<()> {
    let stale: Vec<String> = named()?
        .iter()
        .filter(|named| named.piece.untested && named.is_there)
        .map(|named| named.piece.miss(&format!("there is a test {}", named.test)))
        .collect();
    assert!(stale.is_empty(), "{}", stale.join("\n"));
    Ok(())
}

fn named() -> Result<Vec<Named>> {
    let packages = packages()?;
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut all = Vec::new();
    for piece in documents()? {
        let Some((id, name)) = piece.code().and_then(test) else {
            continue;
        };
        if !known.contains_key(id) {
            let tests = tests_of(&packages, id)
                .with_context(|| piece.miss(&format!("{id} cannot be read")))?;
            known.insert(id.to_owned(), tests);
        }
        let (test, is_there) = (format!("{id} {name}"), known[id].contains(name));
        all.push(Named {
            piece,
            test,
            is_there,
        });
    }
    ensure!(!all.is_empty(), "no document names a test");
    Ok(all)
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

/// The tests of a binary; none where there is no such binary.
fn tests_of(packages: &BTreeMap<String, PathBuf>, id: &str) -> Result<BTreeSet<String>> {
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
    let mut texts = Vec::new();
    for place in places.iter().filter(|place| place.exists()) {
        for source in sources(place)? {
            texts.push(std::fs::read_to_string(source)?);
        }
    }
    Ok(tests_in(&texts))
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

/// The functions that the sources of one binary run as tests: by an attribute, or by a macro of
/// theirs that makes tests of the functions that it is given.
fn tests_in(texts: &[String]) -> BTreeSet<String> {
    let sources: Vec<Vec<&str>> = texts
        .iter()
        .map(|text| {
            let code = text.lines().map(str::trim);
            code.filter(|line| !line.starts_with("//")).collect()
        })
        .collect();
    let macros: BTreeSet<&str> = sources.iter().flat_map(|lines| runners(lines)).collect();
    let mut tests = BTreeSet::new();
    for lines in &sources {
        tests.extend(attributed(lines).into_iter().map(str::to_owned));
        tests.extend(listed(lines, &macros));
    }
    tests
}

fn is_test_attribute(line: &str) -> bool {
    line == "#[test]" || line.starts_with("#[tokio::test]") || line.starts_with("#[tokio::test(")
}

/// The functions under a test's attribute. One that is ignored does not run.
fn attributed<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut tests = Vec::new();
    let mut attributes: Vec<&str> = Vec::new();
    for &line in lines {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some(name) = function(line) {
            let above = std::mem::take(&mut attributes);
            let is_test = above.iter().any(|attribute| is_test_attribute(attribute));
            if is_test && !above.iter().any(|line| line.starts_with("#[ignore")) {
                tests.push(name);
            }
        }
    }
    tests
}

/// The macros that make tests of the functions that they are given.
fn runners<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut runners = Vec::new();
    let mut within = None;
    for &line in lines {
        if let Some(name) = line.strip_prefix("macro_rules! ") {
            within = Some(name.trim_end_matches('{').trim());
        } else if let Some(name) = within
            && line
                .strip_prefix("$(")
                .is_some_and(|rest| is_test_attribute(rest.trim_start_matches("$(")))
        {
            runners.push(name);
            within = None;
        }
    }
    runners
}

/// The functions that such macros are given, separated by commas; what stands before a colon names
/// their module.
fn listed(lines: &[&str], macros: &BTreeSet<&str>) -> Vec<String> {
    let mut tests = Vec::new();
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        let Some(rest) = macros
            .iter()
            .find_map(|name| line.strip_prefix(*name)?.strip_prefix('!'))
        else {
            continue;
        };
        let mut given = rest.trim_start_matches([' ', '(', '{']).to_owned();
        while !given.contains([')', '}']) {
            let Some(more) = lines.next() else { break };
            given.push_str(more);
        }
        let end = given.find([')', '}']).unwrap_or(given.len());
        let names = given[..end]
            .split([',', ';'])
            .filter_map(|name| name.rsplit(':').next())
            .map(str::trim)
            .filter(|name| !name.is_empty());
        tests.extend(names.map(str::to_owned));
    }
    tests
}

/// The name of the function that the line begins.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let end = after.find(['(', '<'])?;
    (before.is_empty() || before.ends_with(' ')).then_some(&after[..end])
}

#[test]
fn what_does_not_run_is_no_test() {
    let text = r#"
        #[test]
        fn runs() {}
        fn is_called() {}
        #[test]
        #[ignore = "by hand"]
        fn is_ignored() {}
        // #[test]
        fn was_a_test() {}
        #[tokio::test(flavor = "multi_thread")]
        async fn runs_too() {}
        macro_rules! on_each {
            ($($suite:ident: $($name:ident),+ $(,)?;)+) => {
                $($(#[tokio::test]
                async fn $name() {
                    super::$suite::$name().await;
                })+)+
            };
        }
        macro_rules! names {
            ($($name:ident),+) => { [$(stringify!($name)),+] };
        }
        on_each! {
            one:
                // It is given, so it runs.
                is_given,
                is_given_too;
            another:
                is_the_last;
        }
        names!(is_no_test);
        async fn is_given() {}
        async fn is_left_out() {}
    "#;
    let found = tests_in(&[text.to_owned()]);
    let tests = [
        "is_given",
        "is_given_too",
        "is_the_last",
        "runs",
        "runs_too",
    ];
    assert_eq!(found, BTreeSet::from(tests.map(str::to_owned)));
}
