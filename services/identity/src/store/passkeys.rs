//! Every passkey that was ever registered, with times (NIST SP 800-63B-4, 4.1). Rows are ended, never
//! deleted. A user has several; nothing in a row is secret.

use sallyport_sql::{StoreError, is_unique_violation};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{Condition, IntoActiveModel, PaginatorTrait, QueryOrder, QuerySelect, QueryTrait};

use super::factors::EndReason;

/// A row of `passkeys`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passkeys")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The authenticator's name for it, base64url; no two that work have the same.
    #[sea_orm(column_type = "Text")]
    pub credential_id: String,
    /// The public key and how it was registered, as the relying party keeps it.
    #[sea_orm(column_type = "Text")]
    pub credential: String,
    /// The user's name for it.
    pub name: String,
    /// How often the authenticator says that it has signed; 0 where it does not count.
    pub sign_count: i64,
    /// Whether it may be copied to other devices, as by an account of the maker.
    pub backup_eligible: bool,
    /// Whether it is.
    pub backed_up: bool,
    /// When it was registered.
    pub created_at: i64,
    /// When it last signed in, or confirmed something.
    pub last_used_at: Option<i64>,
    /// When it stopped being a factor.
    pub ended_at: Option<i64>,
    /// Why: one of [`EndReason`].
    pub end_reason: Option<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("passkey::Model")
            .field("id", &self.id)
            .field("ended_at", &self.ended_at)
            .finish_non_exhaustive()
    }
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What an assertion says of its passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// How often the authenticator says that it has signed.
    pub sign_count: i64,
    /// Whether it may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it is.
    pub backed_up: bool,
}

fn working(user_id: Uuid) -> Condition {
    Condition::all()
        .add(Column::UserId.eq(user_id))
        .add(Column::EndedAt.is_null())
}

/// The user's passkeys that work, oldest first.
pub async fn live(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find()
        .filter(working(user_id))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?)
}

/// How many of the user's passkeys work.
pub async fn count(db: &impl ConnectionTrait, user_id: Uuid) -> Result<u64, StoreError> {
    Ok(Entity::find().filter(working(user_id)).count(db).await?)
}

/// The ids of the user's passkeys that work, for statements that ask whether there is one.
pub(super) fn live_ids(user_id: Uuid) -> SelectStatement {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(working(user_id))
        .into_query()
}

/// Stores a passkey; `false` where one that works has its credential id. Then the transaction is over.
pub async fn insert(tx: &impl ConnectionTrait, row: Model) -> Result<bool, StoreError> {
    match Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await
    {
        Ok(_) => Ok(true),
        Err(error) if is_unique_violation(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Notes a use; `false` where the passkey has ended, or its counter has not gone on since the last
/// one. An authenticator that does not count says 0 always.
pub async fn note_use(
    tx: &impl ConnectionTrait,
    id: Uuid,
    used: Use,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let mut goes_on = Condition::any().add(Column::SignCount.lt(used.sign_count));
    if used.sign_count == 0 {
        goes_on = goes_on.add(Column::SignCount.eq(0));
    }
    let noted = Entity::update_many()
        .filter(Column::Id.eq(id))
        .filter(Column::EndedAt.is_null())
        .filter(goes_on)
        .col_expr(Column::SignCount, Expr::value(used.sign_count))
        .col_expr(Column::BackupEligible, Expr::value(used.backup_eligible))
        .col_expr(Column::BackedUp, Expr::value(used.backed_up))
        .col_expr(Column::LastUsedAt, Expr::value(now_ms))
        .exec(tx)
        .await?;
    Ok(noted.rows_affected == 1)
}

/// Gives a passkey of the user another name; `false` where he has none of this id.
pub async fn rename(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    id: Uuid,
    name: &str,
) -> Result<bool, StoreError> {
    let renamed = Entity::update_many()
        .filter(working(user_id))
        .filter(Column::Id.eq(id))
        .col_expr(Column::Name, Expr::value(name))
        .exec(tx)
        .await?;
    Ok(renamed.rows_affected == 1)
}

/// Ends one passkey of the user, or all where no id is given; how many there were.
pub async fn end(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    id: Option<Uuid>,
    reason: EndReason,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let mut ending = Entity::update_many().filter(working(user_id));
    if let Some(id) = id {
        ending = ending.filter(Column::Id.eq(id));
    }
    let ended = ending
        .col_expr(Column::EndedAt, Expr::value(now_ms))
        .col_expr(Column::EndReason, Expr::value(reason.word()))
        .exec(tx)
        .await?;
    Ok(ended.rows_affected)
}
