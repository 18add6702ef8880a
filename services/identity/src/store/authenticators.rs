//! Every authenticator app that was ever bound, with times (NIST SP 800-63B-4, 4.1). Rows are ended,
//! never deleted, but an ended one has lost its seed. A user has at most one that works.

use sallyport_sql::StoreError;
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;

use super::factors::EndReason;

/// A row of `authenticators`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "authenticators")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The sealed seed; empty once it has ended.
    pub seed: Vec<u8>,
    /// Id of the key that it is sealed under.
    pub seed_key: String,
    /// The newest step whose code was taken; neither it nor an older one is taken again.
    pub last_step: i64,
    /// When a code proved it.
    pub confirmed_at: i64,
    /// When it stopped being a factor.
    pub ended_at: Option<i64>,
    /// Why: one of [`EndReason`].
    pub end_reason: Option<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("authenticator::Model")
            .field("id", &self.id)
            .field("ended_at", &self.ended_at)
            .finish_non_exhaustive()
    }
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The user's app, if one works.
pub async fn live(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndedAt.is_null())
        .one(db)
        .await?)
}

/// Binds an app that a code has proved.
pub async fn insert(tx: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Uses up the code of a step; `false` where it or a later one was used before, or the app has ended.
/// The seed is stored anew, so that it moves to the key that seals now.
pub async fn take_step(
    tx: &impl ConnectionTrait,
    id: Uuid,
    step: i64,
    seed: Vec<u8>,
    seed_key: &str,
) -> Result<bool, StoreError> {
    let taken = Entity::update_many()
        .filter(Column::Id.eq(id))
        .filter(Column::EndedAt.is_null())
        .filter(Column::LastStep.lt(step))
        .col_expr(Column::LastStep, Expr::value(step))
        .col_expr(Column::Seed, Expr::value(seed))
        .col_expr(Column::SeedKey, Expr::value(seed_key))
        .exec(tx)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Ends the user's app; whether one worked.
pub async fn end(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    reason: EndReason,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let ended = Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndedAt.is_null())
        .col_expr(Column::Seed, Expr::value(Vec::<u8>::new()))
        .col_expr(Column::EndedAt, Expr::value(now_ms))
        .col_expr(Column::EndReason, Expr::value(reason.word()))
        .exec(tx)
        .await?;
    Ok(ended.rows_affected > 0)
}
