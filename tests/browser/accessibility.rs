//! What every page has to hold: no violation that axe-core finds, and no scrolling sideways.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::portal::Portal;

/// Best practices are looked at, too: they are among axe's rules unless they are switched off.
const RUN: &str = r"
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(
        (found) => done(found.violations.map((violation) => ({
            id: violation.id,
            impact: violation.impact,
            help: violation.help,
            targets: violation.nodes.map((node) => node.target.join(' ')),
        }))),
        (error) => done([{ id: 'axe-core failed', help: String(error), targets: [] }]),
    );";

const WIDTHS: &str = r"
    const page = document.documentElement;
    return [page.scrollWidth, page.clientWidth];";

#[derive(Debug, Deserialize)]
struct Violation {
    id: String,
    #[serde(default)]
    impact: Option<String>,
    help: String,
    targets: Vec<String>,
}

/// The source of axe-core, as the package folder beside this file has it installed.
pub fn axe_core() -> Result<Arc<str>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/axe/node_modules/axe-core/axe.min.js");
    let source = std::fs::read_to_string(&path).with_context(|| {
        let path = path.display();
        format!("{path}: install it by `deploy/local/require.sh browser` (make test does)")
    })?;
    Ok(source.into())
}

impl Portal {
    /// Runs axe-core over the page; every violation is part of the error. WebDriver's scripts are
    /// not bound by the page's policy.
    pub async fn has_no_violations(&self, axe: &Arc<str>) -> Result<()> {
        self.driver().execute(axe, Vec::new()).await?;
        let answer = self.driver().execute_async(RUN, Vec::new()).await?;
        let found: Vec<Violation> = answer.convert()?;
        if found.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = found
            .iter()
            .map(|violation| {
                let Violation {
                    id,
                    impact,
                    help,
                    targets,
                } = violation;
                let impact = impact.as_deref().unwrap_or("unknown");
                format!("{id} ({impact}): {help}: {}", targets.join(" | "))
            })
            .collect();
        bail!("axe-core at {}:\n{}", self.path().await?, list.join("\n"))
    }

    /// Only tables scroll sideways, and inside their own frame.
    pub async fn fits_its_window(&self) -> Result<()> {
        let answer = self.driver().execute(WIDTHS, Vec::new()).await?;
        let [needed, given]: [u32; 2] = answer.convert()?;
        ensure!(
            needed <= given,
            "{} is {needed} pixels wide in a window of {given}",
            self.path().await?
        );
        Ok(())
    }
}
