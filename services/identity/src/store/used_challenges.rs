//! Challenges whose right answer has had its effect: the second of two guards of single use.

use sallyport_sql::StoreError;
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

/// A row of `used_challenges`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "used_challenges")]
pub struct Model {
    /// otp-api's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub challenge_id: String,
    /// Whose it was.
    pub user_id: Uuid,
    /// What it was for.
    pub purpose: String,
    /// When it had its effect.
    pub used_at: i64,
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Marks a challenge as used; `false` where it was before.
pub async fn insert(
    tx: &impl ConnectionTrait,
    challenge_id: &str,
    user_id: Uuid,
    purpose: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let inserted = Entity::insert(ActiveModel {
        challenge_id: Set(challenge_id.to_owned()),
        user_id: Set(user_id),
        purpose: Set(purpose.to_owned()),
        used_at: Set(now_ms),
    })
    .on_conflict(
        OnConflict::column(Column::ChallengeId)
            .do_nothing()
            .to_owned(),
    )
    .exec_without_returning(tx)
    .await?;
    Ok(inserted == 1)
}

/// Deletes those used before an instant.
pub async fn forget(db: &impl ConnectionTrait, before_ms: i64) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UsedAt.lt(before_ms))
        .exec(db)
        .await?;
    Ok(())
}
