//! Every requirement of OWASP ASVS 5.0.0, levels 1 and 2, has its row in docs/conformance.md: once, in
//! order, under its level, and with a disposition.

use anyhow::{Context, Result};

/// Number and level of each, a line.
const REQUIREMENTS: &str = include_str!("asvs-5.0.0.txt");
/// How a disposition begins.
const DISPOSITIONS: [&str; 3] = ["tested: ", "open: ", "n/a: "];

#[test]
fn every_requirement_of_asvs_has_a_disposition() -> Result<()> {
    let path = crate::root()?.join("docs/conformance.md");
    let text = std::fs::read_to_string(path)?;
    let (_, text) = text
        .split_once("\n# OWASP ASVS")
        .context("no part about ASVS")?;
    let rows: Vec<(String, &str)> = text.lines().filter_map(row).collect();
    let found: Vec<&str> = rows
        .iter()
        .map(|(requirement, _)| requirement.as_str())
        .collect();
    let expected: Vec<&str> = REQUIREMENTS.lines().collect();
    assert_eq!(found, expected);
    for (requirement, disposition) in rows {
        let known = DISPOSITIONS
            .iter()
            .any(|word| disposition.starts_with(word));
        assert!(known, "{requirement}: {disposition}");
    }
    Ok(())
}

/// Number with level, and disposition, of a line of the tables.
fn row(line: &str) -> Option<(String, &str)> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let (number, level) = (cells.next()?, cells.next()?);
    let is_number =
        number.split('.').count() == 3 && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let disposition = cells.last()?;
    is_number.then(|| (format!("{number} {level}"), disposition))
}
