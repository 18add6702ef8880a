//! What account-admin has told of each user.

use sallyport_sql::{StoreError, is_unique_violation};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, OnConflict};
use sea_orm::{IntoActiveModel, QuerySelect};

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Status {
    /// May sign in.
    #[sea_orm(string_value = "active")]
    Active,
    /// May not, until enabled again.
    #[sea_orm(string_value = "disabled")]
    Disabled,
    /// Is gone; the e-mail may belong to somebody else.
    #[sea_orm(string_value = "deleted")]
    Deleted,
}

/// One user.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Given by account-admin.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The user's organisation.
    pub organisation_id: Uuid,
    /// Of the projection; older ones are not stored.
    pub version: i64,
    /// Lower case, ASCII domain; unique among users that are not deleted.
    pub email: String,
    /// Whether the user may sign in.
    pub status: Status,
    /// Permission names, one a line.
    pub permissions: String,
    /// Whether the organisation or an administrator asks for a second factor.
    pub two_factor_required: bool,
    /// `en` or `fr`.
    pub locale: String,
    /// Whether the user holds a licence seat.
    pub licensed: bool,
    /// Words that a password must not be made of, one a line.
    pub context_words: String,
}

impl Model {
    /// Names of the user's permissions.
    pub fn permissions(&self) -> Vec<String> {
        self.permissions.lines().map(str::to_owned).collect()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("organisation_id", &self.organisation_id)
            .field("version", &self.version)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// No relations: reads that need two tables say so.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The user's row as it is now, held until the transaction ends. Whoever opens a session and whoever
/// changes what sign-in asks (password, second factor, status) holds it, and takes it before any
/// other row of the user: then second step, pending number, session. On SQLite the transaction
/// holds the whole database already.
pub async fn lock(txn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id).lock_exclusive().one(txn).await?)
}

/// The user of this id, whatever his status.
pub async fn find(
    connection: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id).one(connection).await?)
}

/// Whose e-mail this is, unless he was deleted.
pub async fn by_email(
    connection: &impl ConnectionTrait,
    email: &str,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::Email.eq(email))
        .filter(Column::Status.ne(Status::Deleted))
        .one(connection)
        .await?)
}

/// Whose e-mail this is, if he may sign in.
pub async fn active_by_email(
    connection: &impl ConnectionTrait,
    email: &str,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::Email.eq(email))
        .filter(Column::Status.eq(Status::Active))
        .one(connection)
        .await?)
}

/// What became of a user that was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// He is stored.
    Stored,
    /// This version, or a newer one, is there.
    Known,
    /// Another user, not deleted, has the e-mail. The transaction can only be given up.
    EmailTaken,
}

/// Stores a user, unless this version or a newer one is there.
pub async fn put(txn: &impl ConnectionTrait, user: Model) -> Result<Put, StoreError> {
    let newer = Expr::col((Entity, Column::Version)).lt(user.version);
    let written = Entity::insert(user.into_active_model())
        .on_conflict(
            OnConflict::column(Column::Id)
                .update_columns([
                    Column::OrganisationId,
                    Column::Version,
                    Column::Email,
                    Column::Status,
                    Column::Permissions,
                    Column::TwoFactorRequired,
                    Column::Locale,
                    Column::Licensed,
                    Column::ContextWords,
                ])
                .action_and_where(newer)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await;
    match written {
        Err(error) if is_unique_violation(&error) => Ok(Put::EmailTaken),
        Err(error) => Err(error.into()),
        Ok(0) => Ok(Put::Known),
        Ok(_) => Ok(Put::Stored),
    }
}
