//! Sessions.

use std::time::Duration;

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect};

use super::words::stored_as_words;
use super::{second_steps, users};
pub use crate::domain::session::Stage;

stored_as_words!(Stage, 24, {
    AwaitingSecondFactor => "awaiting_second_factor",
    SignedIn => "signed_in",
});

/// One session. A row that has ended is deleted.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Public name of the session; the token is the secret.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// SHA-256 of the token, hexadecimal.
    #[sea_orm(unique)]
    pub token_hash: String,
    /// How far it has come.
    pub stage: Stage,
    /// 1 or 2 factors.
    pub assurance: i32,
    /// When the password was first right.
    pub created_at: i64,
    /// Its end, whatever happens.
    pub expires_at: i64,
    /// Last use, exact to the minute.
    pub last_used_at: i64,
    /// When the password was last typed.
    pub password_at: i64,
    /// When a second factor was last given in it.
    pub second_factor_at: Option<i64>,
    /// When a code of the authenticator app, or a passkey, was last given in it.
    pub authenticator_at: Option<i64>,
    /// Where it was made from.
    pub client_ip: String,
    /// The browser that made it.
    pub user_agent: String,
    /// While it awaits its second factor: whether a mailed link lets it enrol a disabled one anew.
    pub enrols_anew: bool,
    /// The live challenge at otp-api.
    pub challenge_id: Option<String>,
    /// What the challenge is for.
    pub challenge_purpose: Option<String>,
    /// The number it went to.
    pub challenge_number: Option<String>,
    /// When it ends.
    pub challenge_expires_at: Option<i64>,
}

impl Model {
    /// Whether it has ended by `now`: its end has come, or nobody used it for as long as `idle`.
    pub fn has_ended(&self, now: i64, idle: Duration) -> bool {
        self.expires_at <= now || self.last_used_at <= last_use_too_old(now, idle)
    }
}

/// The same of rows: those that have ended by `now`.
fn ended(now: i64, idle: Duration) -> Condition {
    Condition::any()
        .add(Column::ExpiresAt.lte(now))
        .add(Column::LastUsedAt.lte(last_use_too_old(now, idle)))
}

/// The newest last use with which a session has lain idle for too long.
fn last_use_too_old(now: i64, idle: Duration) -> i64 {
    now - idle.as_millis() as i64
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("stage", &self.stage)
            .field("assurance", &self.assurance)
            .finish_non_exhaustive()
    }
}

/// A session belongs to a user of the projection, who may have a second step.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Whose it is.
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::UserId",
        to = "super::users::Column::Id"
    )]
    User,
    /// What its user is asked after the password.
    #[sea_orm(
        belongs_to = "super::second_steps::Entity",
        from = "Column::UserId",
        to = "super::second_steps::Column::UserId"
    )]
    SecondStep,
}

impl Related<super::second_steps::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::SecondStep.def()
    }
}

impl Related<super::users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// Opens a session.
pub async fn insert(txn: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    Entity::insert(row.into_active_model())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// The session of a token's hash, its user, and his second step if he ever began one, by one SELECT.
pub async fn find(
    connection: &impl ConnectionTrait,
    token_hash: &str,
) -> Result<Option<(Model, users::Model, Option<second_steps::Model>)>, StoreError> {
    let found = Entity::find()
        .find_also_related(users::Entity)
        .find_also_related(second_steps::Entity)
        .filter(Column::TokenHash.eq(token_hash))
        .one(connection)
        .await?;
    Ok(found.and_then(|(session, user, second_step)| Some((session, user?, second_step))))
}

/// Notes a use, unless a later one is noted.
pub async fn touch(
    connection: &impl ConnectionTrait,
    id: Uuid,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(now_ms))
        .filter(Column::Id.eq(id))
        .filter(Column::LastUsedAt.lt(now_ms))
        .exec(connection)
        .await?;
    Ok(())
}

/// Stores what a renewal changes; `false` where the token was no longer this one.
pub async fn renew(
    txn: &impl ConnectionTrait,
    old_token_hash: &str,
    new: Model,
) -> Result<bool, StoreError> {
    let changed = Entity::update_many()
        .col_expr(Column::TokenHash, Expr::value(new.token_hash))
        .col_expr(Column::Stage, Expr::value(new.stage))
        .col_expr(Column::PasswordAt, Expr::value(new.password_at))
        .col_expr(Column::SecondFactorAt, Expr::value(new.second_factor_at))
        .col_expr(Column::AuthenticatorAt, Expr::value(new.authenticator_at))
        .col_expr(Column::Assurance, Expr::value(new.assurance))
        .col_expr(Column::EnrolsAnew, Expr::value(new.enrols_anew))
        .col_expr(Column::LastUsedAt, Expr::value(new.last_used_at))
        .filter(Column::Id.eq(new.id))
        .filter(Column::TokenHash.eq(old_token_hash))
        .exec(txn)
        .await?;
    Ok(changed.rows_affected > 0)
}

/// Holds the session's row until the transaction ends; `false` where its token is no longer this one.
pub async fn lock(
    txn: &impl ConnectionTrait,
    id: Uuid,
    token_hash: &str,
) -> Result<bool, StoreError> {
    let held = Entity::find_by_id(id)
        .filter(Column::TokenHash.eq(token_hash))
        .lock_exclusive()
        .one(txn)
        .await?;
    Ok(held.is_some())
}

/// The user's sessions that have not ended, newest use first.
pub async fn live_of(
    connection: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
    idle: Duration,
) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(ended(now_ms, idle).not())
        .order_by_desc(Column::LastUsedAt)
        .order_by_desc(Column::Id)
        .all(connection)
        .await?)
}

/// Ends the user's sessions but one; how many there were.
pub async fn drop_others(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    kept: Uuid,
) -> Result<u64, StoreError> {
    let dropped = Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.ne(kept))
        .exec(txn)
        .await?;
    Ok(dropped.rows_affected)
}

/// Ends all sessions of the user; how many there were.
pub async fn drop_all(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<u64, StoreError> {
    let dropped = Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .exec(txn)
        .await?;
    Ok(dropped.rows_affected)
}

/// Ends one session of the user; how many there were of this id.
pub async fn drop_one(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    id: Uuid,
) -> Result<u64, StoreError> {
    let dropped = Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(dropped.rows_affected)
}

/// Deletes those that have ended.
pub async fn drop_ended(
    connection: &impl ConnectionTrait,
    now_ms: i64,
    idle: Duration,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(ended(now_ms, idle))
        .exec(connection)
        .await?;
    Ok(())
}
