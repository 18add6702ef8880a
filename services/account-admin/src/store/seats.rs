//! Plans and seats. A plan's count and the seats change in one transaction, never apart.

use std::collections::HashMap;

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder};

use super::entity::{plan, seat};

/// The plans of an organisation by name.
pub async fn plans(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Vec<plan::Model>, StoreError> {
    Ok(plan::Entity::find()
        .filter(plan::Column::OrganisationId.eq(organisation_id))
        .order_by_asc(plan::Column::Name)
        .all(connection)
        .await?)
}

/// One plan of an organisation.
pub async fn plan(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    plan_id: Uuid,
) -> Result<Option<plan::Model>, StoreError> {
    Ok(plan::Entity::find_by_id(plan_id)
        .filter(plan::Column::OrganisationId.eq(organisation_id))
        .one(connection)
        .await?)
}

/// Makes a plan with free seats.
pub async fn insert_plan(
    transaction: &impl ConnectionTrait,
    plan: plan::Model,
) -> Result<(), StoreError> {
    plan::Entity::insert(plan::ActiveModel {
        id: Set(plan.id),
        organisation_id: Set(plan.organisation_id),
        name: Set(plan.name),
        purchased: Set(plan.purchased),
        assigned: Set(plan.assigned),
        expires_at: Set(plan.expires_at),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(())
}

/// Takes a seat of the plan for a user without one; `false` where none is left. This one write
/// decides who gets the last seat (rule 53).
pub async fn take(
    transaction: &impl ConnectionTrait,
    seat: seat::Model,
) -> Result<bool, StoreError> {
    use plan::Column;
    let taken = plan::Entity::update_many()
        .col_expr(Column::Assigned, Expr::col(Column::Assigned).add(1))
        .filter(Column::Id.eq(seat.plan_id))
        .filter(Column::OrganisationId.eq(seat.organisation_id))
        .filter(Expr::col(Column::Assigned).lt(Expr::col(Column::Purchased)))
        .exec(transaction)
        .await?;
    if taken.rows_affected == 0 {
        return Ok(false);
    }
    seat::Entity::insert(seat::ActiveModel {
        user_id: Set(seat.user_id),
        organisation_id: Set(seat.organisation_id),
        plan_id: Set(seat.plan_id),
        assigned_at: Set(seat.assigned_at),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(true)
}

/// Gives a user's seat back.
pub async fn free(
    transaction: &impl ConnectionTrait,
    seat: &seat::Model,
) -> Result<(), StoreError> {
    use plan::Column;
    let gone = seat::Entity::delete_by_id(seat.user_id)
        .exec(transaction)
        .await?;
    if gone.rows_affected == 1 {
        plan::Entity::update_many()
            .col_expr(Column::Assigned, Expr::col(Column::Assigned).sub(1))
            .filter(Column::Id.eq(seat.plan_id))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// The seats of users of an organisation, each with its plan.
pub async fn of_users(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, (seat::Model, plan::Model)>, StoreError> {
    let seats = seat::Entity::find()
        .filter(seat::Column::OrganisationId.eq(organisation_id))
        .filter(seat::Column::UserId.is_in(user_ids))
        .all(connection)
        .await?;
    if seats.is_empty() {
        return Ok(HashMap::new());
    }
    let plans: HashMap<Uuid, plan::Model> = plans(connection, organisation_id)
        .await?
        .into_iter()
        .map(|plan| (plan.id, plan))
        .collect();
    Ok(seats
        .into_iter()
        .filter_map(|seat| {
            let plan = plans.get(&seat.plan_id)?.clone();
            Some((seat.user_id, (seat, plan)))
        })
        .collect())
}
