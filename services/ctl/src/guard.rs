//! `guard`: calls to otp-api as an operator, and the guard tried on traffic files.

mod traffic;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::clock::from_proto;
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::guard_service_client::GuardServiceClient;
use serde::Serialize;

use crate::door::{Door, told};
use crate::output::{self, Form};

/// Who is called.
const SERVICE: &str = "otp-api";

#[derive(Subcommand)]
pub(crate) enum GuardCommand {
    /// List what the guard decided, newest first, or what operators decide instead.
    ///
    /// Example: sallyportctl guard list --socket data/operator.otp.sock --outcome blocked
    /// --country FR
    List(Box<List>),
    /// Let codes to a country or prefix through; they do not count.
    ///
    /// Example: sallyportctl guard allow +3361234 --socket data/operator.otp.sock
    /// --note "our own test numbers"
    Allow(Box<Set>),
    /// Refuse codes to a country or prefix, but for signing in with a confirmed factor.
    ///
    /// Example: sallyportctl guard block +99450 --socket data/operator.otp.sock
    Block(Box<Set>),
    /// Let codes to a country or prefix through, and record where a budget is spent.
    ///
    /// Example: sallyportctl guard observe FR --socket data/operator.otp.sock
    Observe(Box<Set>),
    /// Leave a country or prefix to the budgets again.
    ///
    /// Example: sallyportctl guard remove +99450 --socket data/operator.otp.sock
    Remove(Box<Remove>),
    /// Replay a traffic file: what the guard would have refused, whom that would have cost a code,
    /// and what it would have saved. docs/fraud.md describes the file.
    ///
    /// Example: sallyportctl guard simulate traffic.csv --cost 0.05
    Simulate(Box<traffic::Simulate>),
    /// Print a traffic file of good users and an attack, to try `simulate` with.
    ///
    /// Example: sallyportctl guard generate --attack slow --seed 7 > traffic.csv
    Generate(traffic::Generate),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    door: Door,
    /// List overrides instead of decisions.
    #[arg(long, conflicts_with_all = ["outcome", "country", "limit", "before"])]
    overrides: bool,
    /// Only decisions of this outcome.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only decisions about this country, by its two letters.
    #[arg(long)]
    country: Option<String>,
    /// At most so many; 500 is the most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only decisions before this one: the last id of the page before.
    #[arg(long)]
    before: Option<String>,
}

#[derive(Args)]
pub(crate) struct Set {
    #[command(flatten)]
    door: Door,
    /// A country's two letters, or + and the first digits of numbers.
    target: String,
    /// Why, for other operators.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    door: Door,
    /// As it was given.
    target: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Outcome {
    Allowed,
    Observed,
    Blocked,
}

#[derive(Serialize)]
struct DecisionRow {
    id: String,
    at: String,
    outcome: &'static str,
    reason: &'static str,
    country: String,
    prefix: String,
    purpose: &'static str,
    uses: Vec<UseRow>,
}

#[derive(Serialize)]
struct UseRow {
    scope: &'static str,
    window: &'static str,
    counted: u64,
    budget: u64,
}

#[derive(Serialize)]
struct OverrideRow {
    target: String,
    rule: &'static str,
    note: String,
    set_by: String,
    set_at: String,
}

pub(crate) async fn run(command: GuardCommand, form: Form) -> Result<()> {
    match command {
        GuardCommand::List(list) => self::list(*list, form).await,
        GuardCommand::Allow(set) => self::set(*set, pb::GuardRule::Allow, form).await,
        GuardCommand::Block(set) => self::set(*set, pb::GuardRule::Block, form).await,
        GuardCommand::Observe(set) => self::set(*set, pb::GuardRule::Observe, form).await,
        GuardCommand::Remove(remove) => {
            let target = remove.target;
            client(remove.door)?
                .remove_override(pb::RemoveOverrideRequest { target })
                .await
                .map_err(told)?;
            Ok(())
        }
        GuardCommand::Simulate(simulate) => traffic::simulate(&simulate, form),
        GuardCommand::Generate(generate) => traffic::generate(&generate),
    }
}

fn client(door: Door) -> Result<GuardServiceClient<Outgoing>> {
    Ok(GuardServiceClient::new(door.open(SERVICE)?))
}

async fn list(list: List, form: Form) -> Result<()> {
    let mut client = client(list.door)?;
    if list.overrides {
        let answer = client
            .list_overrides(pb::ListOverridesRequest {})
            .await
            .map_err(told)?;
        return print_overrides(answer.into_inner().overrides, form);
    }
    let outcome = match list.outcome {
        None => pb::GuardOutcome::Unspecified,
        Some(Outcome::Allowed) => pb::GuardOutcome::Allowed,
        Some(Outcome::Observed) => pb::GuardOutcome::Observed,
        Some(Outcome::Blocked) => pb::GuardOutcome::Blocked,
    };
    let answer = client
        .list_decisions(pb::ListDecisionsRequest {
            outcome: outcome.into(),
            country: list.country.unwrap_or_default(),
            limit: list.limit,
            before: list.before.unwrap_or_default(),
        })
        .await
        .map_err(told)?;
    let rows: Vec<DecisionRow> = answer
        .into_inner()
        .decisions
        .into_iter()
        .map(decision)
        .collect();
    output::rows(
        form,
        &[
            "AT", "OUTCOME", "REASON", "COUNTRY", "PREFIX", "PURPOSE", "USE", "ID",
        ],
        &rows,
        |row| {
            vec![
                row.at.clone(),
                row.outcome.to_owned(),
                row.reason.to_owned(),
                row.country.clone(),
                row.prefix.clone(),
                row.purpose.to_owned(),
                row.uses
                    .iter()
                    .map(|u| format!("{} {} {}/{}", u.scope, u.window, u.counted, u.budget))
                    .collect::<Vec<_>>()
                    .join(", "),
                row.id.clone(),
            ]
        },
    )
}

async fn set(set: Set, rule: pb::GuardRule, form: Form) -> Result<()> {
    let answer = client(set.door)?
        .set_override(pb::SetOverrideRequest {
            target: set.target,
            rule: rule.into(),
            note: set.note,
        })
        .await
        .map_err(told)?;
    let found = answer.into_inner().guard_override;
    print_overrides(vec![found.context("an answer without the override")?], form)
}

fn print_overrides(overrides: Vec<pb::GuardOverride>, form: Form) -> Result<()> {
    let rows: Vec<OverrideRow> = overrides
        .into_iter()
        .map(|found| OverrideRow {
            rule: match found.rule() {
                pb::GuardRule::Unspecified => "unknown",
                pb::GuardRule::Allow => "allow",
                pb::GuardRule::Block => "block",
                pb::GuardRule::Observe => "observe",
            },
            set_at: instant(found.set_at.as_ref()),
            target: found.target,
            note: found.note,
            set_by: found.set_by,
        })
        .collect();
    output::rows(
        form,
        &["TARGET", "RULE", "SET BY", "SET AT", "NOTE"],
        &rows,
        |row| {
            vec![
                row.target.clone(),
                row.rule.to_owned(),
                row.set_by.clone(),
                row.set_at.clone(),
                row.note.clone(),
            ]
        },
    )
}

fn decision(found: pb::GuardDecision) -> DecisionRow {
    DecisionRow {
        outcome: match found.outcome() {
            pb::GuardOutcome::Unspecified => "unknown",
            pb::GuardOutcome::Allowed => "allowed",
            pb::GuardOutcome::Observed => "observed",
            pb::GuardOutcome::Blocked => "blocked",
        },
        reason: match found.reason() {
            pb::GuardReason::Unspecified => "unknown",
            pb::GuardReason::OperatorAllows => "operator allows",
            pb::GuardReason::OperatorBlocks => "operator blocks",
            pb::GuardReason::NumberVerified => "number verified",
            pb::GuardReason::WithinBudget => "within budget",
            pb::GuardReason::OverBudget => "over budget",
        },
        purpose: match found.purpose() {
            pb::Purpose::Unspecified => "unknown",
            pb::Purpose::SignIn => "sign-in",
            pb::Purpose::Enrolment => "enrolment",
            pb::Purpose::NumberChange => "number change",
            pb::Purpose::StepUp => "step-up",
        },
        at: instant(found.decided_at.as_ref()),
        uses: found.uses.iter().map(used).collect(),
        id: found.decision_id,
        country: found.country,
        prefix: found.prefix,
    }
}

fn used(used: &pb::GuardUse) -> UseRow {
    UseRow {
        scope: match used.scope() {
            pb::GuardScope::Unspecified => "unknown",
            pb::GuardScope::Prefix => "prefix",
            pb::GuardScope::Country => "country",
        },
        window: match used.window() {
            pb::GuardWindow::Unspecified => "unknown",
            pb::GuardWindow::Hour => "hour",
            pb::GuardWindow::Day => "day",
        },
        counted: used.counted,
        budget: used.budget,
    }
}

/// RFC 3339, UTC.
fn instant(stamp: Option<&prost_types::Timestamp>) -> String {
    stamp
        .and_then(from_proto)
        .map(|instant| instant.to_string())
        .unwrap_or_default()
}
