//! Every SMS factor that was ever bound, with times (NIST SP 800-63B-4, 4.1). Rows are ended, never
//! deleted. No unique index forbids a user several confirmed numbers (rule 9a).

use sallyport_phone::PhoneNumber;
use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DbBackend, PaginatorTrait, QueryOrder, Statement};

/// A row of `factors`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "factors")]
pub struct Model {
    /// Row id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// `sms`.
    pub kind: String,
    /// E.164.
    pub number: String,
    /// `confirmed`, or `ended`. A confirmed number stays so while two-factor authentication is
    /// switched off, so that switching it on again needs no code (rule 7).
    pub state: String,
    /// When a code proved it.
    pub confirmed_at: i64,
    /// When it stopped being a factor.
    pub ended_at: Option<i64>,
    /// Why: one of [`EndReason`].
    pub end_reason: Option<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("factor::Model")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    fn number(self) -> Result<PhoneNumber, StoreError> {
        PhoneNumber::parse_e164(&self.number).map_err(|_| StoreError::Corrupt("factors.number"))
    }
}

/// Why a factor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Another number took its place.
    NumberChanged,
    /// Enrolled anew.
    EnrolledAnew,
    /// A hundred wrong answers in a row.
    TooManyFailures,
    /// Its phone was reported lost.
    ReportedLost,
    /// Another app took its place.
    Replaced,
    /// Its user took it away, having another one.
    Removed,
    /// Two-factor authentication was switched off.
    SwitchedOff,
    /// Two-factor authentication was switched on again with another factor.
    LeftOut,
}

impl EndReason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NumberChanged => "number_changed",
            Self::EnrolledAnew => "enrolled_anew",
            Self::TooManyFailures => "too_many_failures",
            Self::ReportedLost => "reported_lost",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::SwitchedOff => "switched_off",
            Self::LeftOut => "left_out",
        }
    }
}

/// The number that codes go to: the one confirmed last.
pub async fn confirmed(
    db: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Option<PhoneNumber>, StoreError> {
    let row = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::State.eq("confirmed"))
        .order_by_desc(Column::ConfirmedAt)
        .order_by_desc(Column::Id)
        .one(db)
        .await?;
    row.map(Model::number).transpose()
}

/// The number that codes went to until too many wrong ones disabled it, or it was reported lost.
pub async fn disabled(
    db: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Option<PhoneNumber>, StoreError> {
    let row = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndReason.is_in([
            EndReason::TooManyFailures.word(),
            EndReason::ReportedLost.word(),
        ]))
        .order_by_desc(Column::EndedAt)
        .order_by_desc(Column::Id)
        .one(db)
        .await?;
    row.map(Model::number).transpose()
}

/// Lets one transaction at a time bind this number. Of two that bind it at once each would count the
/// holders without the other, and together they would be more than may have it. On SQLite the
/// transaction holds the whole database already.
///
/// It is taken after the rows of the user, who holds no other number's.
pub async fn hold_number(
    tx: &impl ConnectionTrait,
    number: &PhoneNumber,
) -> Result<(), StoreError> {
    if tx.get_database_backend() == DbBackend::Postgres {
        let hold = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let name = format!("factors.number {}", number.e164());
        let hold = Statement::from_sql_and_values(DbBackend::Postgres, hold, [name.into()]);
        tx.execute_raw(hold).await?;
    }
    Ok(())
}

/// How many other users have this number confirmed.
pub async fn other_holders(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    number: &PhoneNumber,
) -> Result<u64, StoreError> {
    Ok(Entity::find()
        .filter(Column::Number.eq(number.e164()))
        .filter(Column::State.eq("confirmed"))
        .filter(Column::UserId.ne(user_id))
        .count(db)
        .await?)
}

/// Binds a number that a code has proved.
pub async fn confirm(
    tx: &impl ConnectionTrait,
    id: Uuid,
    user_id: Uuid,
    number: &PhoneNumber,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::insert(ActiveModel {
        id: Set(id),
        user_id: Set(user_id),
        kind: Set("sms".into()),
        number: Set(number.e164().into()),
        state: Set("confirmed".into()),
        confirmed_at: Set(now_ms),
        ended_at: Set(None),
        end_reason: Set(None),
    })
    .exec_without_returning(tx)
    .await?;
    Ok(())
}

/// Ends every confirmed number of the user.
pub async fn end_all(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    reason: EndReason,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::State.eq("confirmed"))
        .col_expr(Column::State, Expr::value("ended"))
        .col_expr(Column::EndedAt, Expr::value(now_ms))
        .col_expr(Column::EndReason, Expr::value(reason.word()))
        .exec(tx)
        .await?;
    Ok(())
}
