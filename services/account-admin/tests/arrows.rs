//! grpc → app → {store, clients} → domain; lib.rs alone sees all. SQL stays in the store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// Folder or file under src, and what must not be named in it.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "crate::app",
            "crate::store",
            "crate::grpc",
            "crate::clients",
            "crate::config",
        ],
    ),
    (
        "domain",
        &[
            "sea_orm",
            "tonic",
            "tokio",
            "sallyport_chassis",
            "sallyport_sql",
            "async ",
        ],
    ),
    (
        "store",
        &[
            "crate::app",
            "crate::grpc",
            "crate::clients",
            "crate::config",
            "tonic",
        ],
    ),
    (
        "clients.rs",
        &["crate::app", "crate::store", "crate::grpc", "sea_orm"],
    ),
    ("app", &["crate::grpc", "sea_orm"]),
    ("grpc", &["crate::store", "crate::clients", "sea_orm"]),
];

#[test]
fn arrows_run_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (part, words) in FORBIDDEN {
        let files = sources(&src.join(part));
        assert!(!files.is_empty(), "{part} is not there");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for (line, word) in code.flat_map(|line| words.iter().map(move |word| (line, word))) {
                if line.contains(word) {
                    wrong.push(format!("{}: {word}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path)
        .map(|entries| {
            entries
                .flat_map(|entry| sources(&entry.unwrap().path()))
                .collect()
        })
        .unwrap_or_default()
}
