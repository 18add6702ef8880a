//! Ceremonies of passkeys that have begun: what the relying party has to remember between the options
//! that it gave and the answer to them. Nothing in a row is secret; each is taken once.

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, IntoActiveModel};

/// What a ceremony is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Registers a passkey.
    Registration,
    /// Gives one, at sign-in or as a step-up.
    Assertion,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Assertion => "assertion",
        }
    }
}

/// A row of `passkey_ceremonies`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passkey_ceremonies")]
pub struct Model {
    /// Row id, which the answer names.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The session that began it, and alone may end it.
    pub session_id: Uuid,
    /// `registration` or `assertion`.
    pub kind: String,
    /// What the relying party remembers.
    #[sea_orm(column_type = "Text")]
    pub state: String,
    /// Its end.
    pub expires_at: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("passkey_ceremony::Model")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A ceremony and what it is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The session that began it.
    pub session_id: Uuid,
    /// What it is for.
    pub kind: Kind,
}

impl Bound {
    fn live(self, now_ms: i64) -> Condition {
        Condition::all()
            .add(Column::Id.eq(self.id))
            .add(Column::UserId.eq(self.user_id))
            .add(Column::SessionId.eq(self.session_id))
            .add(Column::Kind.eq(self.kind.word()))
            .add(Column::ExpiresAt.gt(now_ms))
    }
}

/// Stores a ceremony that begins.
pub async fn insert(
    db: &impl ConnectionTrait,
    bound: Bound,
    state: String,
    expires_at: i64,
) -> Result<(), StoreError> {
    let row = Model {
        id: bound.id,
        user_id: bound.user_id,
        session_id: bound.session_id,
        kind: bound.kind.word().to_owned(),
        state,
        expires_at,
    };
    Entity::insert(row.into_active_model())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Takes a ceremony away, with what the relying party remembers of it; `None` where it is not live, is
/// another session's or for something else, or was taken before. The conditional delete decides.
pub async fn take(
    db: &impl ConnectionTrait,
    bound: Bound,
    now_ms: i64,
) -> Result<Option<String>, StoreError> {
    let Some(found) = Entity::find().filter(bound.live(now_ms)).one(db).await? else {
        return Ok(None);
    };
    let taken = Entity::delete_many()
        .filter(bound.live(now_ms))
        .exec(db)
        .await?;
    Ok((taken.rows_affected == 1).then_some(found.state))
}

/// Deletes those that have ended.
pub async fn drop_ended(db: &impl ConnectionTrait, now_ms: i64) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lte(now_ms))
        .exec(db)
        .await?;
    Ok(())
}
