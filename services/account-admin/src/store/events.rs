//! Reading the event log.

use std::collections::{BTreeMap, HashMap};

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, QueryOrder, QuerySelect};

use super::entity::{event, event_person, organisation};
use super::head::hash_of;
use crate::domain::chain::{Content, Mark, Person, Row, Side};

/// Up to `limit` events that the user did or that were about him, newest first, before a sequence.
pub async fn of_user(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<event::Model>, StoreError> {
    let mut merged: BTreeMap<i64, event::Model> = BTreeMap::new();
    for column in [event::Column::Actor, event::Column::Target] {
        let mut query = event::Entity::find()
            .filter(event::Column::OrganisationId.eq(organisation_id))
            .filter(column.eq(user_id.to_string()))
            .order_by_desc(event::Column::Sequence)
            .limit(limit as u64);
        if let Some(before) = before {
            query = query.filter(event::Column::Sequence.lt(before));
        }
        for row in query.all(connection).await? {
            merged.insert(row.sequence, row);
        }
    }
    Ok(merged.into_values().rev().take(limit).collect())
}

/// The side rows of events.
pub async fn persons(
    connection: &impl ConnectionTrait,
    event_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, event_person::Model>, StoreError> {
    let rows = event_person::Entity::find()
        .filter(event_person::Column::EventId.is_in(event_ids))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.event_id, row)).collect())
}

/// The stored head; `None` where the organisation does not exist.
pub async fn head(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Option<Mark>, StoreError> {
    let Some(row) = organisation::Entity::find_by_id(organisation_id)
        .one(connection)
        .await?
    else {
        return Ok(None);
    };
    Ok(Some(Mark {
        sequence: row.head_sequence,
        hash: hash_of(&row.head_hash)?,
    }))
}

/// The next rows of the chain as verification wants them, in order, up to a head.
pub async fn chain_rows(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    after: i64,
    until: i64,
    limit: u64,
) -> Result<Vec<Row>, StoreError> {
    let rows = event::Entity::find()
        .filter(event::Column::OrganisationId.eq(organisation_id))
        .filter(event::Column::Sequence.gt(after))
        .filter(event::Column::Sequence.lte(until))
        .order_by_asc(event::Column::Sequence)
        .limit(limit)
        .all(connection)
        .await?;
    let mut sides = persons(connection, rows.iter().map(|row| row.event_id).collect()).await?;
    rows.into_iter()
        .map(|row| {
            let side = match sides.remove(&row.event_id) {
                None => Side::Missing,
                Some(side) if side.erased_at.is_some() => Side::Erased,
                Some(side) => Side::Present(Person {
                    salt: side.salt,
                    client_ip: side.client_ip,
                    user_agent: side.user_agent,
                    actor_name: side.actor_name,
                    actor_email: side.actor_email,
                    target_name: side.target_name,
                    target_email: side.target_email,
                }),
            };
            Ok(Row {
                sequence: row.sequence,
                previous_hash: hash_of(&row.previous_hash)?,
                hash: hash_of(&row.hash)?,
                side,
                content: Content {
                    event_id: row.event_id,
                    occurred_at: row.occurred_at,
                    kind: row.kind,
                    result: row.result,
                    actor: row.actor,
                    target: row.target,
                    reason: row.reason,
                    request_id: row.request_id,
                    details: details(&row.details)?,
                    person_hash: hash_of(&row.person_hash)?,
                },
            })
        })
        .collect()
}

/// Details as they are stored.
pub fn details(stored: &str) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_str(stored).map_err(|_| StoreError::Corrupt("details of an event"))
}
