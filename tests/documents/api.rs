//! docs/api.md has one row for each RPC, and each row says all that a caller must know.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::{entries, root};

const PAGE: &str = "docs/api.md";
/// RPC, callers, metadata, deadline, retry.
const COLUMNS: usize = 5;

#[test]
fn every_rpc_has_one_whole_row_in_the_page_of_the_api() -> Result<()> {
    let root = root()?;
    let rpcs = rpcs(&root.join("proto/sallyport"))?;
    let mut rows = BTreeSet::new();
    let mut misses = Vec::new();
    let mut package = None;
    for (index, line) in std::fs::read_to_string(root.join(PAGE))?
        .lines()
        .enumerate()
    {
        let mut miss = |what: String| misses.push(format!("{PAGE}:{}: {what}", index + 1));
        if let Some(heading) = line.strip_prefix("## ") {
            package = heading.split('`').nth(1).map(str::to_owned);
        }
        let (Some(package), Some(row)) = (&package, line.strip_prefix('|')) else {
            continue;
        };
        let row = row.trim_end().trim_end_matches('|');
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        // The two lines of the head have no dot.
        let Some((service, methods)) = cells[0].split_once('.') else {
            continue;
        };
        if cells.len() != COLUMNS || cells.contains(&"") {
            miss("a row has an RPC, its callers, metadata, deadline and retry".to_owned());
        }
        for method in methods.split(", ") {
            let rpc = format!("{package}.{service}/{method}");
            if !rpcs.contains(&rpc) {
                miss(format!("no RPC {rpc}"));
            }
            if !rows.insert(rpc.clone()) {
                miss(format!("a second row of {rpc}"));
            }
        }
    }
    let without = rpcs.difference(&rows);
    misses.extend(without.map(|rpc| format!("{PAGE}: no row of {rpc}")));
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    Ok(())
}

/// `package.Service/Method` of every RPC.
fn rpcs(folder: &Path) -> Result<BTreeSet<String>> {
    let mut rpcs = BTreeSet::new();
    for area in entries(folder)? {
        for file in entries(&area.join("v1"))? {
            let text = std::fs::read_to_string(file)?;
            let (mut package, mut service) = ("", "");
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("package ") {
                    package = name.trim_end_matches(';');
                } else if let Some(name) = line.strip_prefix("service ") {
                    service = name.trim_end_matches('{').trim();
                } else if let Some((method, _)) = line
                    .strip_prefix("rpc ")
                    .and_then(|rpc| rpc.split_once('('))
                {
                    rpcs.insert(format!("{package}.{service}/{method}"));
                }
            }
        }
    }
    Ok(rpcs)
}
