//! Decisions of the guard, overrides, and the history of what was verified.

use sallyport_sql::{Database, StoreError};
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, OnConflict};
use sea_orm::{QueryOrder, QuerySelect};

use super::entity::{decision, override_row, total};
use crate::domain::challenge::Purpose;
use crate::domain::guard::overrides::{Rule, Target};
use crate::domain::guard::{DayTotal, Outcome, Record};

/// Rows of one statement.
const BATCH: usize = 500;

/// What an operator set, for whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// A country or a prefix.
    pub target: Target,
    /// What holds there.
    pub rule: Rule,
    /// Why.
    pub note: String,
    /// The operator.
    pub set_by: String,
    /// Unix milliseconds.
    pub set_at: i64,
}

/// Which decisions are listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only these.
    pub outcome: Option<Outcome>,
    /// Only of this country.
    pub country: Option<String>,
    /// Only those before this one.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: u64,
}

/// Stores decisions under ids that their caller made; those that are there already stay.
pub async fn put_decisions(
    connection: &impl ConnectionTrait,
    records: &[(Uuid, Record)],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(records.len());
    for (id, record) in records {
        rows.push(decision::ActiveModel {
            id: Set(*id),
            decided_at: Set(record.at),
            outcome: Set(record.decision.outcome.name().to_owned()),
            country: Set(record.country.clone()),
            prefix: Set(record.prefix.clone()),
            purpose: Set(record.purpose.name().to_owned()),
            decision: Set(serde_json::to_string(&record.decision)
                .map_err(|_| StoreError::Corrupt("a decision that is no JSON"))?),
        });
    }
    decision::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::column(decision::Column::Id)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Decisions, newest first.
pub async fn decisions(
    connection: &impl ConnectionTrait,
    wanted: &Wanted,
) -> Result<Vec<(Uuid, Record)>, StoreError> {
    use decision::Column;
    let mut query = decision::Entity::find();
    if let Some(outcome) = wanted.outcome {
        query = query.filter(Column::Outcome.eq(outcome.name()));
    }
    if let Some(country) = &wanted.country {
        query = query.filter(Column::Country.eq(country.as_str()));
    }
    if let Some(before) = wanted.before {
        query = query.filter(Column::Id.lt(before));
    }
    query
        .order_by_desc(Column::Id)
        .limit(wanted.limit)
        .all(connection)
        .await?
        .into_iter()
        .map(read_decision)
        .collect()
}

fn read_decision(row: decision::Model) -> Result<(Uuid, Record), StoreError> {
    let purpose = Purpose::ALL
        .into_iter()
        .find(|purpose| purpose.name() == row.purpose)
        .ok_or(StoreError::Corrupt("a decision of an unknown purpose"))?;
    let decision = serde_json::from_str(&row.decision)
        .map_err(|_| StoreError::Corrupt("a decision of another form"))?;
    let record = Record {
        at: row.decided_at,
        purpose,
        country: row.country,
        prefix: row.prefix,
        decision,
    };
    Ok((row.id, record))
}

/// Deletes decisions from before an instant.
pub async fn forget_decisions(
    connection: &impl ConnectionTrait,
    before_ms: i64,
) -> Result<(), StoreError> {
    decision::Entity::delete_many()
        .filter(decision::Column::DecidedAt.lt(before_ms))
        .exec(connection)
        .await?;
    Ok(())
}

/// Every override.
pub async fn overrides(connection: &impl ConnectionTrait) -> Result<Vec<Override>, StoreError> {
    override_row::Entity::find()
        .order_by_asc(override_row::Column::Target)
        .all(connection)
        .await?
        .into_iter()
        .map(read_override)
        .collect()
}

fn read_override(row: override_row::Model) -> Result<Override, StoreError> {
    Ok(Override {
        target: row
            .target
            .parse()
            .map_err(|_| StoreError::Corrupt("an override of nothing"))?,
        rule: Rule::of_name(&row.rule)
            .ok_or(StoreError::Corrupt("an override by an unknown word"))?,
        note: row.note,
        set_by: row.set_by,
        set_at: row.set_at,
    })
}

/// Sets an override, in place of one of the same target.
pub async fn put_override(
    connection: &impl ConnectionTrait,
    new: &Override,
) -> Result<(), StoreError> {
    use override_row::Column;
    override_row::Entity::insert(override_row::ActiveModel {
        target: Set(new.target.to_string()),
        rule: Set(new.rule.name().to_owned()),
        note: Set(new.note.clone()),
        set_by: Set(new.set_by.clone()),
        set_at: Set(new.set_at),
    })
    .on_conflict(
        OnConflict::column(Column::Target)
            .update_columns([Column::Rule, Column::Note, Column::SetBy, Column::SetAt])
            .to_owned(),
    )
    .exec_without_returning(connection)
    .await?;
    Ok(())
}

/// Removes an override; `false` where there is none.
pub async fn remove_override(
    connection: &impl ConnectionTrait,
    target: &Target,
) -> Result<bool, StoreError> {
    let gone = override_row::Entity::delete_by_id(target.to_string())
        .exec(connection)
        .await?;
    Ok(gone.rows_affected > 0)
}

/// Adds to days' counts, all or none. Each place and day is there once.
pub async fn add_totals(database: &Database, totals: &[DayTotal]) -> Result<(), StoreError> {
    use total::{Column, Entity};
    // Everybody takes the rows in the same order, so that nobody waits for one who waits.
    let mut ordered: Vec<&DayTotal> = totals.iter().collect();
    ordered.sort_unstable_by(|a, b| (&a.place, a.day).cmp(&(&b.place, b.day)));
    let transaction = database.begin().await?;
    for batch in ordered.chunks(BATCH) {
        let rows = batch.iter().map(|total| total::ActiveModel {
            place: Set(total.place.clone()),
            day: Set(total.day),
            verified: Set(i64::try_from(total.verified).unwrap_or(i64::MAX)),
        });
        let sum = Expr::col((Entity, Column::Verified)).add(Expr::cust("excluded.verified"));
        Entity::insert_many(rows)
            .on_conflict(
                OnConflict::columns([Column::Place, Column::Day])
                    .value(Column::Verified, sum)
                    .to_owned(),
            )
            .exec_without_returning(&transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// The counts of a day and of those after it.
pub async fn totals_from(
    connection: &impl ConnectionTrait,
    day: i64,
) -> Result<Vec<DayTotal>, StoreError> {
    let rows = total::Entity::find()
        .filter(total::Column::Day.gte(day))
        .all(connection)
        .await?;
    let read = |row: total::Model| DayTotal {
        place: row.place,
        day: row.day,
        verified: row.verified.unsigned_abs(),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Deletes the counts of days before this one.
pub async fn forget_totals(connection: &impl ConnectionTrait, day: i64) -> Result<(), StoreError> {
    total::Entity::delete_many()
        .filter(total::Column::Day.lt(day))
        .exec(connection)
        .await?;
    Ok(())
}
