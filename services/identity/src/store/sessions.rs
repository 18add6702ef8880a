//! Sessions.

use std::time::Duration;

use sea_orm::Condition;
use sea_orm::entity::prelude::*;

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(24))")]
pub enum Stage {
    /// The password was right; the second step is open.
    #[sea_orm(string_value = "awaiting_second_factor")]
    AwaitingSecondFactor,
    /// Signed in.
    #[sea_orm(string_value = "signed_in")]
    SignedIn,
}

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
pub fn ended(now: i64, idle: Duration) -> Condition {
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
