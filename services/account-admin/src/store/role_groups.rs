//! Role groups of an organisation, and who is in them.

use std::collections::BTreeSet;

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, QueryOrder, QuerySelect, QueryTrait};

use super::entity::{role_group, user, user_role_group};

/// The groups of an organisation by name.
pub async fn all(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Vec<role_group::Model>, StoreError> {
    Ok(role_group::Entity::find()
        .filter(role_group::Column::OrganisationId.eq(organisation_id))
        .order_by_asc(role_group::Column::Name)
        .all(connection)
        .await?)
}

/// The groups that a user is in.
pub async fn of_user(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
) -> Result<BTreeSet<Uuid>, StoreError> {
    Ok(user_role_group::Entity::find()
        .filter(user_role_group::Column::OrganisationId.eq(organisation_id))
        .filter(user_role_group::Column::UserId.eq(user_id))
        .all(connection)
        .await?
        .into_iter()
        .map(|member| member.role_group_id)
        .collect())
}

/// Puts a user into groups and takes him out of others.
pub async fn change(
    transaction: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
    added: &[Uuid],
    removed: &[Uuid],
) -> Result<(), StoreError> {
    if !removed.is_empty() {
        user_role_group::Entity::delete_many()
            .filter(user_role_group::Column::OrganisationId.eq(organisation_id))
            .filter(user_role_group::Column::UserId.eq(user_id))
            .filter(user_role_group::Column::RoleGroupId.is_in(removed.iter().copied()))
            .exec(transaction)
            .await?;
    }
    for role_group_id in added {
        user_role_group::Entity::insert(user_role_group::ActiveModel {
            user_id: Set(user_id),
            role_group_id: Set(*role_group_id),
            organisation_id: Set(organisation_id),
        })
        .exec_without_returning(transaction)
        .await?;
    }
    Ok(())
}

/// Whether a member of the group other than `user_id` is active. The acting user is, whatever his row
/// says: the event of his first sign-in may not have come yet.
pub async fn has_another_active_member(
    transaction: &impl ConnectionTrait,
    group_id: Uuid,
    user_id: Uuid,
    acting: Uuid,
) -> Result<bool, StoreError> {
    let members = user_role_group::Entity::find()
        .select_only()
        .column(user_role_group::Column::UserId)
        .filter(user_role_group::Column::RoleGroupId.eq(group_id));
    let there = Condition::any().add(user::Column::Status.eq("active")).add(
        Condition::all()
            .add(user::Column::Status.eq("invited"))
            .add(user::Column::Id.eq(acting)),
    );
    Ok(user::Entity::find()
        .filter(user::Column::Id.in_subquery(members.into_query()))
        .filter(user::Column::Id.ne(user_id))
        .filter(there)
        .one(transaction)
        .await?
        .is_some())
}
