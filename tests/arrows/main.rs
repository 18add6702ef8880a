//! Arrows run one way: tests → allinone → services → crates → third party; inside a service grpc →
//! app → {store, ports} → domain and adapters → ports, and `lib.rs` alone sees all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// What knows no I/O, no time and no framework.
const PURE: &[&str] = &[
    "crate::app",
    "crate::store",
    "crate::grpc",
    "crate::adapters",
    "crate::clients",
    "crate::config",
    "crate::ports",
    "sea_orm",
    "tonic",
    "tokio",
    "sallyport_sql",
    "sallyport_proto",
    "async ",
];
const STORE: &[&str] = &[
    "crate::app",
    "crate::grpc",
    "crate::adapters",
    "crate::clients",
    "crate::config",
    "tonic",
];
const ADAPTERS: &[&str] = &[
    "crate::app",
    "crate::store",
    "crate::grpc",
    "crate::dispatcher",
];

/// A part of a service, and what must not be named in it.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("identity/src/domain", PURE),
    ("identity/src/store", STORE),
    ("identity/src/adapters", ADAPTERS),
    (
        "identity/src/app",
        &["crate::grpc", "crate::adapters", "sea_orm"],
    ),
    ("identity/src/grpc", &["crate::store", "sea_orm"]),
    ("otp-dispatch/src/domain", PURE),
    ("otp-dispatch/src/adapters", ADAPTERS),
    ("otp-dispatch/src/store", STORE),
    (
        "otp-dispatch/src/app",
        &[
            "crate::grpc",
            "crate::adapters",
            "crate::dispatcher",
            "sea_orm",
            "redis::",
            "lapin",
            "tonic",
        ],
    ),
    (
        "otp-dispatch/src/grpc",
        &[
            "crate::store",
            "crate::dispatcher",
            "sea_orm",
            "redis::",
            "lapin",
        ],
    ),
    (
        "otp-dispatch/src/dispatcher",
        &[
            "crate::app",
            "crate::grpc",
            "sea_orm",
            "redis::",
            "lapin",
            "tonic",
        ],
    ),
    ("account-admin/src/domain", PURE),
    ("account-admin/src/store", STORE),
    (
        "account-admin/src/clients.rs",
        &["crate::app", "crate::store", "crate::grpc", "sea_orm"],
    ),
    ("account-admin/src/app", &["crate::grpc", "sea_orm"]),
    (
        "account-admin/src/grpc",
        &["crate::store", "crate::clients", "sea_orm"],
    ),
    ("gateway/src/api", &["crate::pages"]),
    ("gateway/src/pages", &["crate::api"]),
];

/// The services, as their crates are named.
const SERVICES: &[&str] = &["identity", "otp-dispatch", "account-admin", "gateway"];

fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("no folder above")?.to_owned())
}

#[test]
fn parts_of_a_service_know_only_what_is_below_them() -> Result<()> {
    let services = root()?.join("services");
    let mut wrong = Vec::new();
    for (part, words) in FORBIDDEN {
        let files = sources(&services.join(part))?;
        ensure!(!files.is_empty(), "{part} is not there");
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                    wrong.push(format!("{}: {word}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn services_depend_on_no_service_and_crates_on_none_either() -> Result<()> {
    let root = root()?;
    let mut manifests = Vec::new();
    for service in SERVICES {
        manifests.push(root.join("services").join(service).join("Cargo.toml"));
    }
    for entry in std::fs::read_dir(root.join("crates"))? {
        manifests.push(entry?.path().join("Cargo.toml"));
    }
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("{}", manifest.display()))?;
        for line in text.lines() {
            let depends = SERVICES.iter().any(|service| {
                line.starts_with(&format!("{service}.")) || line.starts_with(&format!("{service} "))
            });
            ensure!(!depends, "{}: {line}", manifest.display());
        }
    }
    Ok(())
}

fn sources(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("{}", path.display()))? {
        files.extend(sources(&entry?.path())?);
    }
    Ok(files)
}
