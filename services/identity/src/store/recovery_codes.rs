//! Recovery codes, as keyed hashes.

use sallyport_sql::StoreError;
use sea_orm::ActiveValue::Set;
use sea_orm::PaginatorTrait;
use sea_orm::entity::prelude::*;

/// A row of `recovery_codes`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery_codes")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Keyed hash of user and code.
    pub lookup: String,
    /// When the set was made.
    pub created_at: i64,
    /// When it was used; once.
    pub used_at: Option<i64>,
    /// The session that used it.
    pub used_session_id: Option<Uuid>,
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Replaces the user's unused codes by a new set, given as keyed hashes. Used ones stay: they say
/// what a session was confirmed by.
pub async fn replace(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    set: Vec<(Uuid, String)>,
    now_ms: i64,
) -> Result<(), StoreError> {
    drop_unused(tx, user_id).await?;
    let rows = set.into_iter().map(|(id, lookup)| ActiveModel {
        id: Set(id),
        user_id: Set(user_id),
        lookup: Set(lookup),
        created_at: Set(now_ms),
        used_at: Set(None),
        used_session_id: Set(None),
    });
    Entity::insert_many(rows).exec_without_returning(tx).await?;
    Ok(())
}

/// Ends the user's set.
pub async fn drop_unused(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::UsedAt.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Uses a code up; `false` where the user has none of these hashes, or has used it before.
pub async fn use_up(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    lookups: Vec<String>,
    session_id: Uuid,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let used = Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Lookup.is_in(lookups))
        .filter(Column::UsedAt.is_null())
        .col_expr(Column::UsedAt, Expr::value(now_ms))
        .col_expr(Column::UsedSessionId, Expr::value(session_id))
        .exec(tx)
        .await?;
    Ok(used.rows_affected == 1)
}

/// How many are left.
pub async fn left(db: &impl ConnectionTrait, user_id: Uuid) -> Result<u32, StoreError> {
    let count = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::UsedAt.is_null())
        .count(db)
        .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether the session used a recovery code since the instant.
pub async fn used_since(
    db: &impl ConnectionTrait,
    session_id: Uuid,
    since_ms: i64,
) -> Result<bool, StoreError> {
    let count = Entity::find()
        .filter(Column::UsedSessionId.eq(session_id))
        .filter(Column::UsedAt.gte(since_ms))
        .count(db)
        .await?;
    Ok(count > 0)
}
