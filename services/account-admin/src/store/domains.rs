//! E-mail domains.

use sallyport_sql::{StoreError, is_unique_violation};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder};

use super::entity::domain;

/// The domains of an organisation by name.
pub async fn of_organisation(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
) -> Result<Vec<domain::Model>, StoreError> {
    Ok(domain::Entity::find()
        .filter(domain::Column::OrganisationId.eq(organisation_id))
        .order_by_asc(domain::Column::Domain)
        .all(connection)
        .await?)
}

/// Who holds the domain verified.
pub async fn holder(
    connection: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<Uuid>, StoreError> {
    Ok(domain::Entity::find()
        .filter(domain::Column::Domain.eq(name))
        .filter(domain::Column::State.eq("verified"))
        .one(connection)
        .await?
        .map(|row| row.organisation_id))
}

/// Stores the organisation's domain as verified by hand; a claim becomes the approval.
/// `None` where another organisation holds it.
pub async fn approve(
    transaction: &impl ConnectionTrait,
    new: domain::Model,
) -> Result<Option<domain::Model>, StoreError> {
    match store(transaction, new).await {
        Err(error) if is_unique_violation(&error) => Ok(None),
        stored => Ok(Some(stored?)),
    }
}

async fn store(
    transaction: &impl ConnectionTrait,
    new: domain::Model,
) -> Result<domain::Model, DbErr> {
    let claimed = domain::Entity::find()
        .filter(domain::Column::OrganisationId.eq(new.organisation_id))
        .filter(domain::Column::Domain.eq(new.domain.as_str()))
        .one(transaction)
        .await?;
    let Some(claimed) = claimed else {
        domain::Entity::insert(domain::ActiveModel {
            id: Set(new.id),
            organisation_id: Set(new.organisation_id),
            domain: Set(new.domain.clone()),
            state: Set(new.state.clone()),
            note: Set(new.note.clone()),
            created_at: Set(new.created_at),
            verified_at: Set(new.verified_at),
            expires_at: Set(new.expires_at),
        })
        .exec_without_returning(transaction)
        .await?;
        return Ok(new);
    };
    domain::Entity::update_many()
        .col_expr(domain::Column::State, Expr::value(new.state.clone()))
        .col_expr(domain::Column::Note, Expr::value(new.note.clone()))
        .col_expr(domain::Column::VerifiedAt, Expr::value(new.verified_at))
        .col_expr(domain::Column::ExpiresAt, Expr::value(new.expires_at))
        .filter(domain::Column::Id.eq(claimed.id))
        .exec(transaction)
        .await?;
    Ok(domain::Model {
        id: claimed.id,
        created_at: claimed.created_at,
        ..new
    })
}
