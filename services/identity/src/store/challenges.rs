//! The live challenge of a session: at most one, kept in the session's row, so that it ends with it.

use sallyport_phone::PhoneNumber;
use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{EntityTrait, QueryFilter, QuerySelect};

use super::sessions::{Column, Entity, Model};
pub use crate::domain::challenge::Purpose;

/// A challenge and everything that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// otp-api's id.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub user_id: Uuid,
    /// The session that asked.
    pub session_id: Uuid,
    /// Where the code went.
    pub number: PhoneNumber,
}

/// The challenge of a session's row.
pub fn of(session: &Model) -> Result<Option<Challenge>, StoreError> {
    let (Some(id), Some(purpose), Some(number)) = (
        &session.challenge_id,
        &session.challenge_purpose,
        &session.challenge_number,
    ) else {
        return Ok(None);
    };
    Ok(Some(Challenge {
        id: id.clone(),
        purpose: Purpose::from_word(purpose)
            .ok_or(StoreError::Corrupt("sessions.challenge_purpose"))?,
        user_id: session.user_id,
        session_id: session.id,
        number: PhoneNumber::parse_e164(number)
            .map_err(|_| StoreError::Corrupt("sessions.challenge_number"))?,
    }))
}

/// What stood in a session's row before another challenge took its place.
#[derive(Debug)]
pub enum Stored {
    /// The session has ended.
    SessionEnded,
    /// This was there.
    Displaced(Option<Challenge>),
}

/// Makes a challenge the session's only one. The transaction holds the session's row.
pub async fn put(
    tx: &impl ConnectionTrait,
    challenge: &Challenge,
    expires_at: i64,
) -> Result<Stored, StoreError> {
    let before = Entity::find_by_id(challenge.session_id)
        .lock_exclusive()
        .one(tx)
        .await?;
    let Some(before) = before else {
        return Ok(Stored::SessionEnded);
    };
    Entity::update_many()
        .filter(Column::Id.eq(challenge.session_id))
        .col_expr(Column::ChallengeId, Expr::value(challenge.id.as_str()))
        .col_expr(
            Column::ChallengePurpose,
            Expr::value(challenge.purpose.word()),
        )
        .col_expr(
            Column::ChallengeNumber,
            Expr::value(challenge.number.e164()),
        )
        .col_expr(Column::ChallengeExpiresAt, Expr::value(expires_at))
        .exec(tx)
        .await?;
    Ok(Stored::Displaced(of(&before)?))
}

/// Takes this challenge out of its session's row.
pub async fn clear(tx: &impl ConnectionTrait, challenge: &Challenge) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::Id.eq(challenge.session_id))
        .filter(Column::ChallengeId.eq(challenge.id.as_str()))
        .col_expr(Column::ChallengeId, Expr::value(None::<String>))
        .col_expr(Column::ChallengePurpose, Expr::value(None::<String>))
        .col_expr(Column::ChallengeNumber, Expr::value(None::<String>))
        .col_expr(Column::ChallengeExpiresAt, Expr::value(None::<i64>))
        .exec(tx)
        .await?;
    Ok(())
}

/// Whether the session is still there and this is still its challenge.
pub async fn is_current(
    db: &impl ConnectionTrait,
    challenge: &Challenge,
) -> Result<bool, StoreError> {
    let found = Entity::find_by_id(challenge.session_id)
        .filter(Column::ChallengeId.eq(challenge.id.as_str()))
        .one(db)
        .await?;
    Ok(found.is_some())
}
