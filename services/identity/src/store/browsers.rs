//! Remembered browsers.

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder};

/// A row of `browsers`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "browsers")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// SHA-256 of the `spb_` token.
    pub token_hash: String,
    /// The browser's own name.
    pub user_agent: String,
    /// Where from it was remembered.
    pub client_ip: String,
    /// When it was remembered.
    pub created_at: i64,
    /// When it last signed in.
    pub last_used_at: i64,
    /// When it is forgotten.
    pub expires_at: i64,
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Remembers a browser.
pub async fn insert(tx: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Notes a browser's use; `false` where this user has no such live browser.
pub async fn touch(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    token_hash: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let touched = Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::TokenHash.eq(token_hash))
        .filter(Column::ExpiresAt.gt(now_ms))
        .col_expr(Column::LastUsedAt, Expr::value(now_ms))
        .exec(db)
        .await?;
    Ok(touched.rows_affected == 1)
}

/// Forgets every browser of the user; how many there were.
pub async fn drop_all(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<u64, StoreError> {
    let dropped = Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .exec(tx)
        .await?;
    Ok(dropped.rows_affected)
}

/// Forgets one browser of the user; how many there were of this id.
pub async fn drop_one(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    id: Uuid,
) -> Result<u64, StoreError> {
    let dropped = Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(dropped.rows_affected)
}

/// The user's browsers that are still remembered, newest use first.
pub async fn live(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::ExpiresAt.gt(now_ms))
        .order_by_desc(Column::LastUsedAt)
        .order_by_desc(Column::Id)
        .all(db)
        .await?)
}

/// Whether the user has this browser remembered.
pub async fn is_live(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    token_hash: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let found = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::TokenHash.eq(token_hash))
        .filter(Column::ExpiresAt.gt(now_ms))
        .one(db)
        .await?;
    Ok(found.is_some())
}

/// Deletes what has run out.
pub async fn drop_ended(db: &impl ConnectionTrait, now_ms: i64) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lte(now_ms))
        .exec(db)
        .await?;
    Ok(())
}
