//! What binding a factor does, in the transaction of whoever proved it. The caller holds the rows of
//! the user and of his second step, and renews the session.

use sallyport_chassis::{Caller, Secret, clock};
use sallyport_phone::PhoneNumber;
use sallyport_sql::{Connection, StoreError, Transaction};
use uuid::Uuid;

use super::recovery_set;
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, SessionContext};
use crate::domain::mail_text::Notice;
use crate::store::challenges::Challenge;
use crate::store::factors::EndReason;
use crate::store::{
    authenticators, browsers, factors, passkeys, pending_enrolments, second_steps, users,
};

/// Refuses a number that many users have already (rule 13), without a hint whose it is.
pub(crate) async fn refuse_shared(
    db: &impl Connection,
    app: &App,
    user_id: Uuid,
    number: &PhoneNumber,
) -> Result<(), CodeRefusal> {
    let others = factors::other_holders(db, user_id, number).await?;
    if others >= u64::from(app.settings.second_step.users_per_number) {
        return Err(CodeRefusal::NumberInUse);
    }
    Ok(())
}

/// The proved number takes the place of the confirmed one.
pub(crate) async fn replace_number(
    tx: &Transaction,
    app: &App,
    proved: &Challenge,
    reason: EndReason,
) -> Result<(), StoreError> {
    let now_ms = app.clock.now_ms();
    factors::end_all(tx, proved.user_id, reason, now_ms).await?;
    let id = clock::new_id(&*app.clock);
    factors::confirm(tx, id, proved.user_id, &proved.number, now_ms).await
}

/// Where a disabled number is enrolled anew by another one, the old one is told, and the day of rule
/// 41 begins, as with every change of number.
pub(crate) async fn enrol_anew(
    tx: &Transaction,
    app: &App,
    user: &users::Model,
    proved: &Challenge,
) -> Result<(), StoreError> {
    let old = factors::disabled(tx, user.id).await?;
    match old.filter(|old| *old != proved.number) {
        None => Ok(()),
        Some(old) => {
            second_steps::number_changed(tx, user.id, app.clock.now_ms()).await?;
            notices::tell(tx, app, user, Notice::NumberChanged, [&old]).await
        }
    }
}

/// Sign-in asks from now on, for this number and nothing that was a factor before; other sessions and
/// remembered browsers end. Returns the new recovery codes.
pub(crate) async fn activate(
    tx: &Transaction,
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    number: &PhoneNumber,
) -> Result<Vec<Secret>, StoreError> {
    let user_id = context.user.id;
    let (reason, now_ms) = (EndReason::EnrolledAnew, app.clock.now_ms());
    authenticators::end(tx, user_id, reason, now_ms).await?;
    passkeys::end(tx, user_id, None, reason, now_ms).await?;
    second_steps::set_active(tx, user_id, true).await?;
    let codes = recovery_set::remake(tx, app, user_id).await?;
    number_added(tx, app, caller, context, number).await?;
    Ok(codes)
}

/// Sign-in asks from now on, for a factor that the caller has bound and that is no number. Returns the
/// new recovery codes.
pub(crate) async fn activate_without_number(
    tx: &Transaction,
    app: &App,
    caller: &Caller,
    user: &users::Model,
    method: &'static str,
) -> Result<Vec<Secret>, StoreError> {
    // Codes by SMS sign in where their box was ticked, and not because they did once.
    factors::end_all(tx, user.id, EndReason::LeftOut, app.clock.now_ms()).await?;
    pending_enrolments::drop_of_user(tx, user.id).await?;
    second_steps::set_active(tx, user.id, true).await?;
    second_steps::clear(tx, user.id).await?;
    let codes = recovery_set::remake(tx, app, user.id).await?;
    let event = EventDraft::of(caller, user, "two_factor_enabled").with("method", method);
    events::record(tx, app, event).await?;
    Ok(codes)
}

/// Codes to the number sign in from now on; other sessions and remembered browsers end.
pub(crate) async fn number_added(
    tx: &Transaction,
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    number: &PhoneNumber,
) -> Result<(), StoreError> {
    let user = &context.user;
    browsers::drop_all(tx, user.id).await?;
    session::end_others(tx, app, caller, context).await?;
    let event = EventDraft::of(caller, user, "two_factor_enabled")
        .with("method", "sms")
        .with("number_ending", number.last_two());
    events::record(tx, app, event).await?;
    notices::tell(tx, app, user, Notice::TwoFactorEnabled, [number]).await
}

/// The proved number replaces the one that worked until now, which is told.
pub(crate) async fn change_number(
    tx: &Transaction,
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    proved: &Challenge,
) -> Result<(), StoreError> {
    let user = &context.user;
    let old = factors::confirmed(tx, user.id).await?;
    replace_number(tx, app, proved, EndReason::NumberChanged).await?;
    second_steps::number_changed(tx, user.id, app.clock.now_ms()).await?;
    browsers::drop_all(tx, user.id).await?;
    session::end_others(tx, app, caller, context).await?;
    let event = EventDraft::of(caller, user, "two_factor_number_changed")
        .with("number_ending", proved.number.last_two());
    events::record(tx, app, event).await?;
    notices::tell(tx, app, user, Notice::NumberChanged, &old).await
}
