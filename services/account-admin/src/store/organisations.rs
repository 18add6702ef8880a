//! Organisations, and the keys of requests that made something.

use std::collections::HashMap;

use sallyport_sql::{StoreError, is_unique_violation};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, QuerySelect};

use super::Insert;
use super::entity::{idempotency, organisation, role_group, user, user_role_group};
use crate::domain::chain::Mark;

/// An organisation to be made.
#[derive(Debug)]
pub struct NewOrganisation<'a> {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: &'a str,
    /// Key of the request.
    pub key: &'a str,
    /// Hash of its body.
    pub digest: &'a str,
    /// Unix milliseconds.
    pub now: i64,
}

/// Makes an organisation with an empty chain, unless its key has made one.
pub async fn insert(
    transaction: &impl ConnectionTrait,
    new: NewOrganisation<'_>,
) -> Result<Insert, StoreError> {
    let row = organisation::ActiveModel {
        id: Set(new.id),
        name: Set(new.name.to_owned()),
        created_at: Set(new.now),
        creation_key: Set(new.key.to_owned()),
        creation_digest: Set(new.digest.to_owned()),
        require_two_factor: Set(false),
        head_sequence: Set(Mark::START.sequence),
        head_hash: Set(Mark::START.hash.to_vec()),
    };
    match organisation::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
    {
        Err(error) if is_unique_violation(&error) => Ok(Insert::Taken),
        done => done.map(|_| Insert::Done).map_err(StoreError::from),
    }
}

/// One organisation.
pub async fn find(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Option<organisation::Model>, StoreError> {
    Ok(organisation::Entity::find_by_id(organisation_id)
        .one(connection)
        .await?)
}

/// The organisation that a key has made.
pub async fn made_by(
    connection: &impl ConnectionTrait,
    key: &str,
) -> Result<Option<organisation::Model>, StoreError> {
    Ok(organisation::Entity::find()
        .filter(organisation::Column::CreationKey.eq(key))
        .one(connection)
        .await?)
}

/// Who was made with the organisation: the oldest member of its built-in group.
pub async fn first_administrator(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Uuid, StoreError> {
    let group = role_group::Entity::find()
        .filter(role_group::Column::OrganisationId.eq(organisation_id))
        .filter(role_group::Column::BuiltIn.eq(true))
        .one(connection)
        .await?
        .ok_or(StoreError::Corrupt(
            "an organisation without its built-in group",
        ))?;
    let member = user_role_group::Entity::find()
        .filter(user_role_group::Column::RoleGroupId.eq(group.id))
        .order_by_asc(user_role_group::Column::UserId)
        .one(connection)
        .await?
        .ok_or(StoreError::Corrupt(
            "an organisation without an administrator",
        ))?;
    Ok(member.user_id)
}

/// Every organisation, oldest first, with the number of its users.
pub async fn all(
    connection: &impl ConnectionTrait,
) -> Result<Vec<(organisation::Model, i64)>, StoreError> {
    let users: HashMap<Uuid, i64> = user::Entity::find()
        .select_only()
        .column(user::Column::OrganisationId)
        .column_as(user::Column::Id.count(), "users")
        .filter(user::Column::Status.ne("deleted"))
        .group_by(user::Column::OrganisationId)
        .into_tuple::<(Uuid, i64)>()
        .all(connection)
        .await?
        .into_iter()
        .collect();
    let organisations = organisation::Entity::find()
        .filter(organisation::Column::Id.ne(Uuid::nil()))
        .order_by_asc(organisation::Column::Id)
        .all(connection)
        .await?;
    Ok(organisations
        .into_iter()
        .map(|organisation| {
            let count = users.get(&organisation.id).copied().unwrap_or(0);
            (organisation, count)
        })
        .collect())
}

/// Digest and user of a request of the organisation that the key has made before.
pub async fn request(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    key: &str,
) -> Result<Option<idempotency::Model>, StoreError> {
    Ok(
        idempotency::Entity::find_by_id((organisation_id, key.to_owned()))
            .one(connection)
            .await?,
    )
}

/// Notes a request that made a user; under the lock of the organisation.
pub async fn note_request(
    transaction: &impl ConnectionTrait,
    row: idempotency::Model,
) -> Result<(), StoreError> {
    idempotency::Entity::insert(idempotency::ActiveModel {
        organisation_id: Set(row.organisation_id),
        key: Set(row.key),
        digest: Set(row.digest),
        user_id: Set(row.user_id),
        created_at: Set(row.created_at),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(())
}
