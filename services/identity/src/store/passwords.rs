//! Password hashes.

use sallyport_sql::StoreError;
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

/// A user's password hash.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passwords")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// PHC string: parameters, salt and hash.
    pub hash: String,
    /// Id of the pepper's key.
    pub pepper_key: String,
    /// When the user chose it.
    pub changed_at: i64,
    /// Whether it is long enough to be all that sign-in asks.
    pub stands_alone: bool,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A hash and the key of its pepper.
#[derive(Clone)]
pub struct NewHash {
    /// PHC string.
    pub hash: String,
    /// Id of the pepper's key.
    pub pepper_key: String,
    /// Whether the password is long enough to be all that sign-in asks.
    pub stands_alone: bool,
}

/// The user's hash.
pub async fn find(
    connection: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(user_id).one(connection).await?)
}

/// Stores the hash of a password that the user chose.
pub async fn put(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    new: NewHash,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::insert(ActiveModel {
        user_id: Set(user_id),
        hash: Set(new.hash),
        pepper_key: Set(new.pepper_key),
        changed_at: Set(now_ms),
        stands_alone: Set(new.stands_alone),
    })
    .on_conflict(
        OnConflict::column(Column::UserId)
            .update_columns([
                Column::Hash,
                Column::PepperKey,
                Column::ChangedAt,
                Column::StandsAlone,
            ])
            .to_owned(),
    )
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Replaces a hash by another one of the same password, unless it has changed meanwhile; whether it
/// was replaced.
pub async fn replace(
    txn: &impl ConnectionTrait,
    old: &Model,
    new: NewHash,
    changed_at: i64,
) -> Result<bool, StoreError> {
    let changed = Entity::update_many()
        .col_expr(Column::Hash, Expr::value(new.hash))
        .col_expr(Column::PepperKey, Expr::value(new.pepper_key))
        .col_expr(Column::ChangedAt, Expr::value(changed_at))
        .col_expr(Column::StandsAlone, Expr::value(new.stands_alone))
        .filter(Column::UserId.eq(old.user_id))
        .filter(Column::Hash.eq(&old.hash))
        .exec(txn)
        .await?;
    Ok(changed.rows_affected > 0)
}
