//! What the sources say of themselves: the routes of the pages, the calls that a folder makes, the
//! reasons of refusals. A new one is so tried without being named in a test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::Method;

/// Every route of the pages, with something that is there in place of its parameters.
pub fn routes() -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    let table = include_str!("../../src/pages/mod.rs");
    for rest in table.split(".route(").skip(1) {
        // A route ends where the next call of the builder begins.
        let route = rest.split("\n        .").next().unwrap();
        let path = route.split('"').nth(1).unwrap();
        let path = path
            .replace("{token}", "spl_goodlink")
            .replace("{id}", "u2");
        for (call, method) in [("get(", Method::GET), ("post(", Method::POST)] {
            if route.contains(call) {
                routes.push((method, path.clone()));
            }
        }
    }
    assert!(routes.len() > 30, "the routes are not read: {routes:?}");
    routes
}

/// Every RPC of the protos, as its client's method is named.
fn rpcs() -> BTreeSet<String> {
    let rpcs: BTreeSet<String> = text(&["proto/sallyport"])
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('('))
        .map(|(name, _)| method(name))
        .collect();
    assert!(rpcs.len() > 40, "the protos are not read: {rpcs:?}");
    rpcs
}

/// `GetTwoFactor` → `get_two_factor`
pub fn method(rpc: &str) -> String {
    let mut method = String::new();
    for (index, c) in rpc.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            method.push('_');
        }
        method.push(c.to_ascii_lowercase());
    }
    method
}

/// The RPCs that are called in these folders or files.
pub fn calls(paths: &[&str]) -> BTreeSet<String> {
    let text = text(paths);
    rpcs()
        .into_iter()
        .filter(|rpc| {
            // A client's own accessor takes nothing, a call its message.
            text.split(&format!(".{rpc}("))
                .skip(1)
                .any(|rest| !rest.starts_with(')'))
        })
        .collect()
}

/// The reasons for which the portal has a sentence: the arms of the one match in `refusals.rs`.
pub fn told() -> Vec<&'static str> {
    let source = include_str!("../../src/refusals.rs");
    let (_, arms) = source
        .split_once("match refusal.reason.as_str() {\n")
        .unwrap();
    let (arms, _) = arms.split_once("\n    };").unwrap();
    let reasons: Vec<_> = arms
        .lines()
        // What a match within tells apart stands further to the right.
        .filter_map(|line| Some(line.strip_prefix("        \"")?.split_once("\" =>")?.0))
        .collect();
    assert!(reasons.len() > 60, "the table is not read: {reasons:?}");
    reasons
}

/// The error tables of the services: `grpc/status.rs`, and where there is one the second.
pub fn error_tables() -> String {
    let mut tables = Vec::new();
    for service in ["identity", "otp-dispatch", "account-admin"] {
        let folder = format!("services/{service}/src/grpc");
        let own: Vec<_> = files(&below(&folder))
            .into_iter()
            .filter(|file| file.to_string_lossy().contains("status"))
            .collect();
        assert!(!own.is_empty(), "{folder} has no error table");
        tables.extend(own);
    }
    tables.iter().map(|file| read(file)).collect()
}

/// The reasons that a text quotes; names of fields are none.
pub fn reasons_in(text: &str) -> BTreeSet<&str> {
    let pieces: Vec<&str> = text.split('"').collect();
    let quoted = pieces.iter().enumerate().skip(1).step_by(2);
    quoted
        .filter(|(index, _)| !pieces[index - 1].ends_with("field("))
        .map(|(_, piece)| *piece)
        .filter(|piece| is_reason(piece))
        .collect()
}

/// `phone.in_use`, or one of the few that say what comes first: `step_up_required`.
fn is_reason(text: &str) -> bool {
    let plain =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match text.split_once('.') {
        Some((about, what)) => plain(about) && plain(what),
        None => plain(text) && text.ends_with("_required"),
    }
}

/// The text of these folders or files of the repository, without comments.
pub fn text(paths: &[&str]) -> String {
    let mut text = String::new();
    for path in paths {
        for file in files(&below(path)) {
            text.push_str(&read(&file));
        }
    }
    text
}

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut all: Vec<_> = entries
        .flat_map(|entry| files(&entry.unwrap().path()))
        .collect();
    all.sort();
    all
}

fn read(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}
