//! Users who are kept out, deleted and brought back. Every write here is made under the lock of the
//! organisation, counts as a change that identity is told of, and as an edit where it changes what an
//! editor reads.

use sallyport_sql::StoreError;
use sea_orm::ConnectionTrait;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;

use super::entity::user::{self, Column};

/// The status of a user who may sign in: invited until he first set a password.
pub fn enabled(user: &user::Model) -> &'static str {
    match user.activated_at {
        Some(_) => "active",
        None => "invited",
    }
}

/// Stores the status and whether 2FA is required, beside an edit of the profile, which counts.
pub async fn set(
    transaction: &impl ConnectionTrait,
    user_id: Uuid,
    status: &str,
    two_factor_required: bool,
) -> Result<(), StoreError> {
    user::Entity::update_many()
        .col_expr(Column::Status, Expr::value(status.to_owned()))
        .col_expr(Column::TwoFactorRequired, Expr::value(two_factor_required))
        .filter(Column::Id.eq(user_id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Deletes a user, for as long as it can be undone.
pub async fn delete(
    transaction: &impl ConnectionTrait,
    user: &user::Model,
    now: i64,
) -> Result<(), StoreError> {
    bumped()
        .col_expr(Column::Status, Expr::value("deleted"))
        .col_expr(Column::DeletedAt, Expr::value(now))
        .col_expr(Column::DeletedFrom, Expr::value(user.status.clone()))
        .filter(Column::Id.eq(user.id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// A user of the organisation who was deleted behind an instant.
pub async fn find_deleted(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
    after: i64,
) -> Result<Option<user::Model>, StoreError> {
    Ok(user::Entity::find_by_id(user_id)
        .filter(Column::OrganisationId.eq(organisation_id))
        .filter(Column::Status.eq("deleted"))
        .filter(Column::DeletedAt.gt(after))
        .one(connection)
        .await?)
}

/// Brings a deleted user back.
pub async fn restore(
    transaction: &impl ConnectionTrait,
    user_id: Uuid,
    status: &str,
) -> Result<(), StoreError> {
    bumped()
        .col_expr(Column::Status, Expr::value(status.to_owned()))
        .col_expr(Column::DeletedAt, Expr::value(None::<i64>))
        .col_expr(Column::DeletedFrom, Expr::value(None::<String>))
        .filter(Column::Id.eq(user_id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Counts an edit, and a change that identity is told of.
fn bumped() -> sea_orm::UpdateMany<user::Entity> {
    let next = |column: Column| Expr::col(column).add(1);
    user::Entity::update_many()
        .col_expr(Column::Version, next(Column::Version))
        .col_expr(Column::ProjectionVersion, next(Column::ProjectionVersion))
}
