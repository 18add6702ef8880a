//! Whether sign-in asks a user for the second step, and the count of wrong answers.

use std::time::Duration;

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{CaseStatement, Cond, ExprTrait, OnConflict};
use sea_orm::{IntoActiveModel, QuerySelect};

use super::passkeys;
use crate::domain::second_step::{DISABLED_AT, LONGEST_LOCK, LockRules};

/// A row of `second_steps`; made when the user first binds a number.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "second_steps")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Whether sign-in asks. A lock or a disabled factor never changes this.
    pub active: bool,
    /// Wrong or undecided answers since the last right one.
    pub failures: i32,
    /// No attempt is taken before.
    pub locked_until_at: Option<i64>,
    /// No factor works since: a recovery code gets in, and a number must be enrolled anew.
    pub disabled_at: Option<i64>,
    /// When the number was last changed (rule 41).
    pub number_changed_at: Option<i64>,
    /// When a mailed link set the password, if no second factor was right since: until one is, the
    /// mailbox does not stand in for the factor too.
    pub password_mailed_at: Option<i64>,
    /// Recovery codes tried since `recovery_window_at`.
    pub recovery_tries: i32,
    /// When the present hour of recovery tries began.
    pub recovery_window_at: i64,
    /// Ceremonies of passkeys begun since `ceremonies_window_at`.
    pub ceremonies: i32,
    /// When the present hour of ceremonies began.
    pub ceremonies_window_at: i64,
}

/// No relations are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether the ceiling of wrong answers ended the factor. Who has none active has none to end:
    /// there the longest lock holds on.
    pub fn is_spent(&self) -> bool {
        self.active && self.failures >= DISABLED_AT as i32
    }

    /// Whether sign-in asks for a factor that no longer works.
    pub fn is_disabled(&self) -> bool {
        self.active && self.disabled_at.is_some()
    }
}

/// The user's row, if he ever began to bind a number.
pub async fn find(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(user_id).one(db).await?)
}

/// The user's row, locked until the transaction ends: whoever changes factors holds it.
pub async fn lock(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(user_id).lock_exclusive().one(tx).await?)
}

/// Makes the user's row where there is none.
pub async fn ensure(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    let row = Model {
        user_id,
        active: false,
        failures: 0,
        locked_until_at: None,
        disabled_at: None,
        number_changed_at: None,
        password_mailed_at: None,
        recovery_tries: 0,
        recovery_window_at: 0,
        ceremonies: 0,
        ceremonies_window_at: 0,
    };
    Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(Column::UserId).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Counts one attempt as failed before it is decided, in one statement that also sets the lock
/// that this count leads to, so that attempts made at the same instant can never be more than the
/// ladder allows. Returns the count, or `None` where no attempt is taken.
///
/// `enrolling` attempts are taken while the factor is disabled, since they end that. A user who has
/// no active factor has none to disable: his count stays at the ceiling, and each attempt there sets
/// the longest lock. Nor is anything disabled but codes, which the count itself keeps out, where a
/// passkey works on: nobody can guess one.
pub async fn reserve(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    rules: &LockRules,
    enrolling: bool,
    now_ms: i64,
) -> Result<Option<u32>, StoreError> {
    let after = || Expr::col(Column::Failures).add(1);
    let mut locked_until = CaseStatement::new();
    for (failures, length) in rules.locks() {
        locked_until = locked_until.case(
            Cond::all().add(after().eq(failures as i32)),
            Expr::value(now_ms + ms(length)),
        );
    }
    let at_ceiling = Cond::all()
        .add(after().gte(DISABLED_AT as i32))
        .add(Expr::col(Column::Active).eq(false));
    let locked_until = locked_until
        .case(at_ceiling, Expr::value(now_ms + ms(LONGEST_LOCK)))
        .finally(Expr::col(Column::LockedUntilAt));
    let disabled_at = CaseStatement::new()
        .case(
            Cond::all()
                .add(after().gte(DISABLED_AT as i32))
                .add(Expr::col(Column::Active).eq(true))
                .add(Expr::col(Column::DisabledAt).is_null())
                .add(Expr::not_exists(passkeys::live_ids(user_id))),
            Expr::value(now_ms),
        )
        .finally(Expr::col(Column::DisabledAt));
    let mut open = Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(
            Cond::any()
                .add(Column::Failures.lt(DISABLED_AT as i32))
                .add(Column::Active.eq(false)),
        )
        .filter(
            Cond::any()
                .add(Column::LockedUntilAt.is_null())
                .add(Column::LockedUntilAt.lte(now_ms)),
        );
    if !enrolling {
        open = open
            .filter(Column::Active.eq(true))
            .filter(Column::DisabledAt.is_null());
    }
    let counted = CaseStatement::new()
        .case(
            Cond::all().add(Expr::col(Column::Failures).lt(DISABLED_AT as i32)),
            after(),
        )
        .finally(Expr::col(Column::Failures));
    let rows = open
        .col_expr(Column::Failures, counted.into())
        .col_expr(Column::LockedUntilAt, locked_until.into())
        .col_expr(Column::DisabledAt, disabled_at.into())
        .exec_with_returning(db)
        .await?;
    Ok(rows.first().map(|row| row.failures.unsigned_abs()))
}

/// A right answer: the count and the lock are gone, and who set the password has proved himself.
pub async fn clear(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::Failures, Expr::value(0))
        .col_expr(Column::LockedUntilAt, Expr::value(None::<i64>))
        .col_expr(Column::PasswordMailedAt, Expr::value(None::<i64>))
        .exec(tx)
        .await?;
    Ok(())
}

/// The attempt whose reservation disabled the factor was right after all.
pub async fn undo_disabled(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::DisabledAt, Expr::value(None::<i64>))
        .exec(tx)
        .await?;
    Ok(())
}

/// No factor works any more: sign-in asks as before, and one must be enrolled anew.
pub async fn disable(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::DisabledAt.is_null())
        .col_expr(Column::DisabledAt, Expr::value(now_ms))
        .exec(tx)
        .await?;
    Ok(())
}

/// Whether sign-in asks from now on. Either way a disabled factor is behind: it was enrolled anew,
/// or it is not asked for.
pub async fn set_active(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    active: bool,
) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::Active, Expr::value(active))
        .col_expr(Column::DisabledAt, Expr::value(None::<i64>))
        .exec(tx)
        .await?;
    Ok(())
}

/// Remembers that a mailed link set the password.
pub async fn password_mailed(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::PasswordMailedAt, Expr::value(now_ms))
        .exec(tx)
        .await?;
    Ok(())
}

/// Remembers when the number was changed.
pub async fn number_changed(
    tx: &impl ConnectionTrait,
    user_id: Uuid,
    now_ms: i64,
) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::NumberChangedAt, Expr::value(now_ms))
        .exec(tx)
        .await?;
    Ok(())
}

/// Counts one recovery code tried, before it is looked for; `false` where the hour's tries are
/// spent. The hour begins with its first try.
pub async fn reserve_recovery(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    tries_per_hour: u32,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let columns = (Column::RecoveryTries, Column::RecoveryWindowAt);
    count_in_hour(db, user_id, columns, tries_per_hour, now_ms).await
}

/// Counts one ceremony of a passkey that begins; `false` where the hour's are spent. The hour begins
/// with its first one.
pub async fn reserve_ceremony(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    per_hour: u32,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let columns = (Column::Ceremonies, Column::CeremoniesWindowAt);
    count_in_hour(db, user_id, columns, per_hour, now_ms).await
}

async fn count_in_hour(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    (count, window_at): (Column, Column),
    per_hour: u32,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let hour_ago = now_ms - HOUR_MS;
    let over = || Cond::all().add(Expr::col(window_at).lte(hour_ago));
    let counted = Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .filter(
            Cond::any()
                .add(window_at.lte(hour_ago))
                .add(count.lt(per_hour as i32)),
        )
        .col_expr(
            count,
            CaseStatement::new()
                .case(over(), Expr::value(1))
                .finally(Expr::col(count).add(1))
                .into(),
        )
        .col_expr(
            window_at,
            CaseStatement::new()
                .case(over(), Expr::value(now_ms))
                .finally(Expr::col(window_at))
                .into(),
        )
        .exec(db)
        .await?;
    Ok(counted.rows_affected == 1)
}

/// The length of both windows.
pub const HOUR_MS: i64 = 3_600_000;

/// A right passkey ends the hour's count.
pub async fn clear_ceremonies(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::Ceremonies, Expr::value(0))
        .exec(tx)
        .await?;
    Ok(())
}

/// A right recovery code ends the hour's count.
pub async fn clear_recovery(tx: &impl ConnectionTrait, user_id: Uuid) -> Result<(), StoreError> {
    Entity::update_many()
        .filter(Column::UserId.eq(user_id))
        .col_expr(Column::RecoveryTries, Expr::value(0))
        .exec(tx)
        .await?;
    Ok(())
}

fn ms(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
