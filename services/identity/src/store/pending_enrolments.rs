//! The number that a user is about to bind: at most one, bound to the session and challenge that
//! asked.

use sallyport_phone::PhoneNumber;
use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{IntoActiveModel, QuerySelect};

use super::challenges::{Challenge, Purpose};

/// A row of `pending_enrolments`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pending_enrolments")]
pub struct Model {
    /// Whose it is; one a user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// The session that asked.
    pub session_id: Uuid,
    /// The challenge that proves the number.
    pub challenge_id: String,
    /// `enrolment` or `number_change`.
    pub purpose: String,
    /// E.164.
    pub number: String,
    /// Whether its messages count by number and user only.
    pub trusted: bool,
    /// When it is dropped.
    pub expires_at: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("pending_enrolment::Model")
            .field("user_id", &self.user_id)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The challenge that proves the number.
    fn challenge(&self) -> Result<Challenge, StoreError> {
        Ok(Challenge {
            id: self.challenge_id.clone(),
            purpose: Purpose::from_word(&self.purpose)
                .ok_or(StoreError::Corrupt("pending_enrolments.purpose"))?,
            user_id: self.user_id,
            session_id: self.session_id,
            number: PhoneNumber::parse_e164(&self.number)
                .map_err(|_| StoreError::Corrupt("pending_enrolments.number"))?,
        })
    }
}

/// Stores it in place of whatever was pending; returns the challenge of that. The transaction holds
/// the row.
pub async fn put(tx: &impl ConnectionTrait, row: Model) -> Result<Option<Challenge>, StoreError> {
    let before = Entity::find_by_id(row.user_id)
        .lock_exclusive()
        .one(tx)
        .await?;
    Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::column(Column::UserId)
                .update_columns([
                    Column::SessionId,
                    Column::ChallengeId,
                    Column::Purpose,
                    Column::Number,
                    Column::Trusted,
                    Column::ExpiresAt,
                ])
                .to_owned(),
        )
        .exec_without_returning(tx)
        .await?;
    before.map(|before| before.challenge()).transpose()
}

/// What is pending now.
pub async fn live(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(user_id)
        .filter(Column::ExpiresAt.gt(now_ms))
        .one(db)
        .await?)
}

/// Takes it away if it is still the live one that this challenge proves; `false` otherwise.
pub async fn take(
    tx: &impl ConnectionTrait,
    challenge: &Challenge,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let taken = Entity::delete_many()
        .filter(Column::UserId.eq(challenge.user_id))
        .filter(Column::SessionId.eq(challenge.session_id))
        .filter(Column::ChallengeId.eq(challenge.id.as_str()))
        .filter(Column::Number.eq(challenge.number.e164()))
        .filter(Column::ExpiresAt.gt(now_ms))
        .exec(tx)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Drops what this session left pending.
pub async fn drop_of_session(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    session_id: Uuid,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::SessionId.eq(session_id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Drops whatever is pending.
pub async fn drop_of_user(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::delete_by_id(user_id).exec(tx).await?;
    Ok(())
}

/// Deletes what has run out.
pub async fn drop_ended(db: &impl ConnectionTrait, now_ms: i64) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lte(now_ms))
        .exec(db)
        .await?;
    Ok(())
}
