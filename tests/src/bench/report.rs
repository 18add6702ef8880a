//! What `make bench` leaves behind: a table for people and `bench.json` for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::Machine;
use super::stats::Figure;

/// What one run of one side showed.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Calls answered per second.
    pub rate: f64,
    /// Half of the calls took no longer, milliseconds.
    pub p50_ms: f64,
    /// Of a hundred calls, ninety-nine took no longer, milliseconds.
    pub p99_ms: f64,
    /// What the serving process used, user and system, seconds of CPU per 1,000 calls.
    pub cpu_s_per_1000: f64,
    /// Resident memory of the serving process at the end of the run, MiB.
    pub rss_mib: f64,
}

/// What the project wants to reach in a row.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// A ratio of at least this.
    RatioAtLeast(f64),
    /// A ratio below this.
    RatioBelow(f64),
    /// A product below this, in the row's unit.
    ProductBelow(f64),
}

impl Wanted {
    fn verdict(self, row: &Row) -> String {
        let (reached, wanted) = match self {
            Self::RatioAtLeast(wanted) if row.ratio.median >= wanted => {
                (true, format!("{wanted:.2}"))
            }
            Self::RatioAtLeast(wanted) => return format!(" (BELOW the wanted {wanted:.2})"),
            Self::RatioBelow(wanted) => (row.ratio.median < wanted, format!("below {wanted:.2}")),
            Self::ProductBelow(wanted) => (
                row.product.median < wanted,
                format!("product below {wanted:.2} {}", row.unit),
            ),
        };
        let missed = if reached { "" } else { "MISSED: " };
        format!(" ({missed}wanted {wanted})")
    }
}

/// A limit and the product beside it, over the same number of runs, taken in turn.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Of `limit` and `product`.
    pub unit: &'static str,
    /// The bare limit.
    pub limit: Figure,
    /// The product.
    pub product: Figure,
    /// Product ÷ limit, of each pair of neighbouring runs.
    pub ratio: Figure,
    /// Runs of each side.
    pub runs: usize,
    /// Of the product, milliseconds.
    pub p50_ms: Figure,
    /// Of the product, milliseconds.
    pub p99_ms: Figure,
    /// Of the product's process.
    pub cpu_s_per_1000: Figure,
    /// Of the product's process, MiB.
    pub rss_mib: Figure,
    /// More figures that explain the row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<&'static str, Figure>,
    /// What the project wants to reach, where it says so; for the table only.
    #[serde(skip)]
    pub wanted: Option<Wanted>,
    /// What the limit's own process showed, where there is one; for the table only.
    #[serde(skip)]
    pub limit_side: Option<Side>,
}

/// The figures of one side beside its rate.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    p50_ms: Figure,
    p99_ms: Figure,
    cpu_s_per_1000: Figure,
    rss_mib: Figure,
}

impl Side {
    /// Of the runs of one side; `None` where there are none, or a value is no number.
    pub fn of(runs: &[Measured]) -> Option<Self> {
        let figure =
            |value: fn(&Measured) -> f64| Figure::of(&runs.iter().map(value).collect::<Vec<_>>());
        Some(Self {
            p50_ms: figure(|run| run.p50_ms)?,
            p99_ms: figure(|run| run.p99_ms)?,
            cpu_s_per_1000: figure(|run| run.cpu_s_per_1000)?,
            rss_mib: figure(|run| run.rss_mib)?,
        })
    }
}

impl Row {
    /// A row from runs taken in turn: the first of `limit` with the first of `product`, and so on.
    pub fn new(
        name: &str,
        unit: &'static str,
        wanted: Option<Wanted>,
        limit: &[f64],
        product: &[Measured],
    ) -> Result<Self> {
        Self::of(name, unit, wanted, limit, product, |run| run.rate)
    }

    /// The same of another figure than the rate.
    pub fn of(
        name: &str,
        unit: &'static str,
        wanted: Option<Wanted>,
        limit: &[f64],
        product: &[Measured],
        figure_of: fn(&Measured) -> f64,
    ) -> Result<Self> {
        anyhow::ensure!(
            limit.len() == product.len(),
            "{name}: {} runs of the limit and {} of the product",
            limit.len(),
            product.len()
        );
        let figures: Vec<f64> = product.iter().map(figure_of).collect();
        let ratios: Vec<f64> = limit.iter().zip(&figures).map(|(l, p)| p / l).collect();
        let figure = |runs: &[f64]| {
            Figure::of(runs).with_context(|| format!("{name}: nothing that can be called a figure"))
        };
        let side = Side::of(product).with_context(|| format!("{name}: no figures of a run"))?;
        Ok(Self {
            name: name.to_owned(),
            unit,
            limit: figure(limit)?,
            product: figure(&figures)?,
            ratio: figure(&ratios)?,
            runs: product.len(),
            p50_ms: side.p50_ms,
            p99_ms: side.p99_ms,
            cpu_s_per_1000: side.cpu_s_per_1000,
            rss_mib: side.rss_mib,
            more: BTreeMap::new(),
            wanted,
            limit_side: None,
        })
    }
}

/// A row that could not be measured, and why.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// The row.
    pub name: String,
    /// The chain of reasons.
    pub error: String,
}

/// Everything that one `make bench` found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it ran on.
    pub machine: Machine,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What could not be measured. Not there where everything was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Failed>,
}

/// Writes a report as JSON; makes the folder.
pub fn write(path: &Path, report: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("folder {} cannot be made", folder.display()))?;
    }
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

impl Report {
    /// The table: for each row the limit, the product and the ratio.
    pub fn table(&self) -> String {
        let mut lines = vec![
            [
                "row",
                "side",
                "rate",
                "p50 ms",
                "p99 ms",
                "CPU s/1,000",
                "RSS MiB",
            ]
            .map(str::to_owned),
        ];
        for row in &self.rows {
            let [p50, p99, cpu, rss] = match row.limit_side {
                Some(side) => cells(side.p50_ms, side.p99_ms, side.cpu_s_per_1000, side.rss_mib),
                None => std::array::from_fn(|_| "-".to_owned()),
            };
            let decimals = if row.unit == "/s" { 0 } else { 2 };
            let rate = |figure: Figure| format!("{} {}", spread(figure, decimals), row.unit);
            lines.push([
                row.name.clone(),
                "limit".into(),
                rate(row.limit),
                p50,
                p99,
                cpu,
                rss,
            ]);
            let [p50, p99, cpu, rss] =
                cells(row.p50_ms, row.p99_ms, row.cpu_s_per_1000, row.rss_mib);
            lines.push([
                String::new(),
                "product".into(),
                rate(row.product),
                p50,
                p99,
                cpu,
                rss,
            ]);
            let verdict = row
                .wanted
                .map_or_else(String::new, |wanted| wanted.verdict(row));
            let ratio = format!("{}{verdict}", spread(row.ratio, 2));
            let empty = String::new;
            lines.push([
                empty(),
                "ratio".into(),
                ratio,
                empty(),
                empty(),
                empty(),
                empty(),
            ]);
            for (name, figure) in &row.more {
                let mut line: [String; 7] = Default::default();
                line[1] = (*name).to_owned();
                line[2] = spread(*figure, 2);
                lines.push(line);
            }
        }
        let widths: [usize; 7] = std::array::from_fn(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        });
        let mut table = format!("{}\n", self.machine);
        for line in &lines {
            let cells = line
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            let joined = cells.collect::<Vec<_>>().join("  ");
            let _ = writeln!(table, "{}", joined.trim_end());
        }
        for Failed { name, error } in &self.errors {
            let _ = writeln!(table, "{name}  NOT MEASURED: {error}");
        }
        table
    }
}

fn cells(p50: Figure, p99: Figure, cpu: Figure, rss: Figure) -> [String; 4] {
    [
        spread(p50, 2),
        spread(p99, 2),
        spread(cpu, 3),
        spread(rss, 1),
    ]
}

/// `median (min–max)`, thousands set apart.
fn spread(figure: Figure, decimals: usize) -> String {
    let [median, min, max] = [figure.median, figure.min, figure.max].map(|v| number(v, decimals));
    format!("{median} ({min}–{max})")
}

fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            cpu: "Example CPU".into(),
            cores: 2,
            memory_gib: 24,
            kernel: "6.1.0".into(),
        }
    }

    fn run(rate: f64) -> Measured {
        Measured {
            rate,
            p50_ms: 1.5,
            p99_ms: 4.0,
            cpu_s_per_1000: 0.012,
            rss_mib: 20.0,
        }
    }

    fn row() -> Row {
        let product = [run(8_000.0), run(9_000.0), run(5_000.0)];
        Row::new(
            "verify",
            "/s",
            Some(Wanted::RatioAtLeast(0.85)),
            &[10_000.0, 12_000.0, 10_000.0],
            &product,
        )
        .unwrap()
    }

    #[test]
    fn the_ratio_is_of_neighbouring_runs_and_not_of_the_medians() {
        let row = row();
        assert_eq!(
            row.limit,
            Figure {
                median: 10_000.0,
                min: 10_000.0,
                max: 12_000.0
            }
        );
        assert_eq!(
            row.product,
            Figure {
                median: 8_000.0,
                min: 5_000.0,
                max: 9_000.0
            }
        );
        assert_eq!(
            row.ratio,
            Figure {
                median: 0.75,
                min: 0.5,
                max: 0.8
            }
        );
        assert_eq!(row.runs, 3);
    }

    #[test]
    fn a_side_without_runs_or_with_other_runs_is_an_error() {
        assert!(Row::new("verify", "/s", None, &[], &[]).is_err());
        assert!(Row::new("verify", "/s", None, &[1.0, 2.0], &[run(1.0)]).is_err());
        assert!(Row::new("verify", "/s", None, &[0.0], &[run(1.0)]).is_err());
    }

    #[test]
    fn the_json_has_the_fields_that_readers_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports/bench.json");
        let report = Report {
            machine: machine(),
            rows: vec![row()],
            errors: Vec::new(),
        };
        write(&path, &report).unwrap();
        let written: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let figure = |median: f64, min: f64, max: f64| serde_json::json!({ "median": median, "min": min, "max": max });
        assert_eq!(
            written,
            serde_json::json!({
                "machine": {
                    "cpu": "Example CPU", "cores": 2, "memory_gib": 24, "kernel": "6.1.0"
                },
                "rows": [{
                    "name": "verify",
                    "unit": "/s",
                    "limit": figure(10_000.0, 10_000.0, 12_000.0),
                    "product": figure(8_000.0, 5_000.0, 9_000.0),
                    "ratio": figure(0.75, 0.5, 0.8),
                    "runs": 3,
                    "p50_ms": figure(1.5, 1.5, 1.5),
                    "p99_ms": figure(4.0, 4.0, 4.0),
                    "cpu_s_per_1000": figure(0.012, 0.012, 0.012),
                    "rss_mib": figure(20.0, 20.0, 20.0),
                }],
            })
        );
    }

    #[test]
    fn the_table_says_what_fell_short_and_what_was_not_measured() {
        let errors = vec![Failed {
            name: "create".into(),
            error: "no broker".into(),
        }];
        let table = Report {
            machine: machine(),
            rows: vec![row()],
            errors,
        }
        .table();
        assert!(table.contains("8,000 (5,000–9,000) /s"), "{table}");
        assert!(
            table.contains("0.75 (0.50–0.80) (BELOW the wanted 0.85)"),
            "{table}"
        );
        assert!(table.contains("create  NOT MEASURED: no broker"), "{table}");
    }

    #[test]
    fn a_row_of_times_says_how_far_the_product_is_from_what_is_wanted() {
        let product = [run(100.0)];
        let row = |wanted| {
            let p99 = |run: &Measured| run.p99_ms;
            Row::of("steady", "ms p99", Some(wanted), &[2.0], &product, p99).unwrap()
        };
        let table = |wanted| {
            let report = Report {
                machine: machine(),
                rows: vec![row(wanted)],
                errors: Vec::new(),
            };
            report.table()
        };
        assert!(table(Wanted::RatioBelow(3.0)).contains("2.00 (2.00–2.00) (wanted below 3.00)"));
        assert!(table(Wanted::RatioBelow(2.0)).contains("(MISSED: wanted below 2.00)"));
        let near = table(Wanted::ProductBelow(10.0));
        assert!(near.contains("4.00 (4.00–4.00) ms p99"), "{near}");
        assert!(
            near.contains("(wanted product below 10.00 ms p99)"),
            "{near}"
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(1_000.25, 2), "1,000.25");
        assert_eq!(number(0.5, 2), "0.50");
    }
}
