//! `guard simulate` and `guard generate`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use otp_dispatch::config::GuardSettings;
use otp_dispatch::domain::guard::Budgets;
use otp_dispatch::replay::generator::{self, Options};
use otp_dispatch::replay::traffic::{Row, read, write};
use otp_dispatch::replay::{Report, curve, replay};
use serde::Serialize;

use crate::output::{self, Form};

/// The factors of a curve.
const FACTORS: [u32; 6] = [2, 10, 20, 30, 50, 100];

#[derive(Args)]
pub(crate) struct Simulate {
    /// The traffic file.
    file: PathBuf,
    /// Take the settings of this configuration file instead of the defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Whose configuration it is.
    #[arg(long, value_enum, default_value_t = Program::Sallyport)]
    program: Program,
    /// Instead of otp.guard.hour.least.
    #[arg(long)]
    hour_least: Option<u32>,
    /// Instead of otp.guard.hour.percent.
    #[arg(long)]
    hour_percent: Option<u32>,
    /// Instead of otp.guard.day.least.
    #[arg(long)]
    day_least: Option<u32>,
    /// Instead of otp.guard.day.percent.
    #[arg(long)]
    day_percent: Option<u32>,
    /// What a message costs, in any currency.
    #[arg(long, default_value_t = 0.05)]
    cost: f64,
    /// Replay at several factors instead, and print what each stops and whom it loses.
    #[arg(long)]
    curve: bool,
    /// Print JSON; the same as --output json.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Generate {
    /// Another seed, another file; the same seed, the same one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is attacked, besides good traffic.
    #[arg(long, value_enum, default_value_t = Attack::Country)]
    attack: Attack,
    /// Licensed users, of a hundred new ones: the guard does not look at their one live code.
    #[arg(long, default_value_t = 85, value_parser = clap::value_parser!(u64).range(0..=100))]
    licensed: u64,
}

/// The programs with a guard.
#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Sallyport,
    OtpApi,
}

#[derive(Clone, Copy, ValueEnum)]
enum Attack {
    /// Good traffic only.
    None,
    /// One country with few users: 400 codes an hour for a day, in twenty number blocks.
    Country,
    /// Hundreds of number blocks of such a country: 40 codes an hour for 60 hours.
    Slow,
    /// The same in the country with the most users.
    Busy,
}

/// What `simulate --json` prints.
#[derive(Serialize)]
struct Simulated<'a> {
    hour: otp_dispatch::domain::guard::Budget,
    day: otp_dispatch::domain::guard::Budget,
    stopped_percent: f64,
    lost_percent: f64,
    cost_per_message: f64,
    saved: f64,
    #[serde(flatten)]
    report: &'a Report,
}

/// A point of the curve.
#[derive(Serialize)]
struct Point {
    day_percent: u32,
    pumped: u64,
    pumped_stopped: u64,
    stopped_percent: f64,
    good_users: u64,
    good_users_lost: u64,
    lost_percent: f64,
}

pub(crate) fn generate(generate: &Generate) -> Result<()> {
    let attack = match generate.attack {
        Attack::None => generator::Attack::None,
        Attack::Country => generator::Attack::Country,
        Attack::Slow => generator::Attack::Slow,
        Attack::Busy => generator::Attack::Busy,
    };
    let rows = generator::generate(&Options {
        seed: generate.seed,
        attack,
        licensed_percent: generate.licensed,
    })?;
    output::text(&write(&rows));
    Ok(())
}

pub(crate) fn simulate(simulate: &Simulate, form: Form) -> Result<()> {
    ensure!(
        simulate.cost.is_finite() && simulate.cost >= 0.0,
        "--cost must be a number that is not negative"
    );
    let form = if simulate.json { Form::Json } else { form };
    let budgets = budgets(simulate)?;
    let path = simulate.file.display();
    let text = std::fs::read_to_string(&simulate.file)
        .with_context(|| format!("traffic file {path} cannot be read"))?;
    let rows = read(&text).with_context(|| format!("traffic file {path}"))?;
    if simulate.curve {
        return print_curve(&rows, budgets, form);
    }
    let report = replay(&rows, budgets);
    match form {
        Form::Json => output::json(&Simulated {
            hour: budgets.hour,
            day: budgets.day,
            stopped_percent: report.stopped_percent(),
            lost_percent: report.lost_percent(),
            cost_per_message: simulate.cost,
            saved: report.messages_saved as f64 * simulate.cost,
            report: &report,
        }),
        Form::Table => print_report(&report, simulate.cost),
    }
}

/// The settings, and what the arguments change in them.
fn budgets(simulate: &Simulate) -> Result<Budgets> {
    let settings = settings(simulate.program, simulate.config.as_deref())?;
    let mut budgets = settings.budgets();
    for (figure, argument) in [
        (&mut budgets.hour.least, simulate.hour_least),
        (&mut budgets.hour.percent, simulate.hour_percent),
        (&mut budgets.day.least, simulate.day_least),
        (&mut budgets.day.percent, simulate.day_percent),
    ] {
        *figure = argument.unwrap_or(*figure);
    }
    Ok(budgets)
}

fn settings(program: Program, file: Option<&Path>) -> Result<GuardSettings> {
    match program {
        Program::Sallyport => Ok(sallyport::Config::load(file)?.otp.guard),
        Program::OtpApi => Ok(otp_dispatch::Config::load(file)?.otp.guard),
    }
}

fn print_report(report: &Report, cost: f64) -> Result<()> {
    let saved = report.messages_saved as f64 * cost;
    output::text(&format!(
        "codes           {}\n\
         refused         {}\n\
         pumped          {}, of which {} were stopped ({:.2} %)\n\
         good users      {}, of whom {} were refused ({:.3} %)\n\
         messages saved  {}, at {cost} each: {saved:.2}\n",
        report.codes,
        report.blocked,
        report.pumped,
        report.pumped_stopped,
        report.stopped_percent(),
        report.good_users,
        report.good_users_lost,
        report.lost_percent(),
        report.messages_saved,
    ));
    output::text("");
    output::rows(
        Form::Table,
        &[
            "COUNTRY",
            "CODES",
            "REFUSED",
            "PUMPED",
            "STOPPED",
            "GOOD USERS",
            "LOST",
        ],
        &report.countries,
        |row| {
            vec![
                row.country.clone(),
                row.codes.to_string(),
                row.blocked.to_string(),
                row.pumped.to_string(),
                row.pumped_stopped.to_string(),
                row.good_users.to_string(),
                row.good_users_lost.to_string(),
            ]
        },
    )?;
    if report.prefixes.is_empty() {
        return Ok(());
    }
    output::text("");
    output::rows(
        Form::Table,
        &["PREFIX", "REFUSED"],
        &report.prefixes,
        |row| vec![row.prefix.clone(), row.blocked.to_string()],
    )
}

fn print_curve(rows: &[Row], budgets: Budgets, form: Form) -> Result<()> {
    let points: Vec<Point> = curve(rows, budgets, &FACTORS)
        .into_iter()
        .map(|(day_percent, report)| Point {
            day_percent,
            pumped: report.pumped,
            pumped_stopped: report.pumped_stopped,
            stopped_percent: report.stopped_percent(),
            good_users: report.good_users,
            good_users_lost: report.good_users_lost,
            lost_percent: report.lost_percent(),
        })
        .collect();
    output::rows(
        form,
        &["DAY PERCENT", "STOPPED %", "GOOD USERS LOST", "LOST %"],
        &points,
        |point| {
            vec![
                point.day_percent.to_string(),
                format!("{:.2}", point.stopped_percent),
                point.good_users_lost.to_string(),
                format!("{:.3}", point.lost_percent),
            ]
        },
    )
}
