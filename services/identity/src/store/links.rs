//! One-time links. A link may be held twice: by whoever asked for it, and in the mail, whose token
//! is made when it is sent, so that no token lies in the outbox.

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect};

use super::words::stored_as_words;
pub use crate::domain::link::Purpose;

stored_as_words!(Purpose, 16, {
    Invitation => "invitation",
    Reset => "reset",
    Enrolment => "enrolment",
});

/// One link.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "links")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it is for.
    pub purpose: Purpose,
    /// SHA-256 of the token that the asking service got.
    pub handed_hash: Option<String>,
    /// SHA-256 of the token that was mailed last.
    pub mailed_hash: Option<String>,
    /// The key of the request that made it.
    pub idempotency_key: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// Its end.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Stores a new link.
pub async fn insert(txn: &impl ConnectionTrait, link: Model) -> Result<(), StoreError> {
    Entity::insert(ActiveModel::from(link))
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Whether there is a link of this id, open or not.
pub async fn exists(txn: &impl ConnectionTrait, id: Uuid) -> Result<bool, StoreError> {
    Ok(Entity::find_by_id(id).one(txn).await?.is_some())
}

/// Notes the token that a mail of this link carries; `None` where the link is no longer open.
pub async fn set_mailed(
    txn: &impl ConnectionTrait,
    id: Uuid,
    hash: String,
    now_ms: i64,
) -> Result<Option<Model>, StoreError> {
    let changed = Entity::update_many()
        .col_expr(Column::MailedHash, Expr::value(hash))
        .filter(Column::Id.eq(id))
        .filter(open(now_ms))
        .exec(txn)
        .await?;
    if changed.rows_affected == 0 {
        return Ok(None);
    }
    Ok(Entity::find_by_id(id).one(txn).await?)
}

/// The open link of a token's hash.
pub async fn find_open(
    connection: &impl ConnectionTrait,
    token_hash: &str,
    now_ms: i64,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find()
        .filter(held_as(token_hash))
        .filter(open(now_ms))
        .one(connection)
        .await?)
}

/// Uses a link; false where another use came first.
pub async fn take(
    txn: &impl ConnectionTrait,
    id: Uuid,
    token_hash: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let used = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now_ms))
        .filter(Column::Id.eq(id))
        .filter(held_as(token_hash))
        .filter(open(now_ms))
        .exec(txn)
        .await?;
    Ok(used.rows_affected > 0)
}

/// Ends the user's open links; with a purpose, only those.
pub async fn end_all(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    purpose: Option<Purpose>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut update = Entity::update_many()
        .col_expr(Column::ExpiresAt, Expr::value(now_ms))
        .filter(Column::UserId.eq(user_id))
        .filter(open(now_ms));
    if let Some(purpose) = purpose {
        update = update.filter(Column::Purpose.eq(purpose));
    }
    update.exec(txn).await?;
    Ok(())
}

/// The link that a request with this key made.
pub async fn find_by_key(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    key: &str,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::IdempotencyKey.eq(key))
        .one(txn)
        .await?)
}

/// Where the user has had as many links of this purpose as he may since an instant: when the oldest
/// of them was made.
pub async fn full_since(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    purpose: Purpose,
    limit: u64,
    after_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let made: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::CreatedAt)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Purpose.eq(purpose))
        .filter(Column::CreatedAt.gt(after_ms))
        .order_by_desc(Column::CreatedAt)
        .limit(limit)
        .into_tuple()
        .all(txn)
        .await?;
    let full = made.len() as u64 >= limit;
    Ok(if full { made.last().copied() } else { None })
}

/// Deletes links that ended before this instant.
pub async fn forget(connection: &impl ConnectionTrait, before_ms: i64) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lt(before_ms))
        .exec(connection)
        .await?;
    Ok(())
}

fn held_as(token_hash: &str) -> Condition {
    Condition::any()
        .add(Column::HandedHash.eq(token_hash))
        .add(Column::MailedHash.eq(token_hash))
}

fn open(now_ms: i64) -> Condition {
    Condition::all()
        .add(Column::UsedAt.is_null())
        .add(Column::ExpiresAt.gt(now_ms))
}
