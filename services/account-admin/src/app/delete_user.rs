//! Deleting a user, and undoing it within its window (rule 62). His events stay; his seat is free at
//! once, so an undone deletion does not bring it back.

use sallyport_email::EmailAddress;
use uuid::Uuid;

use super::administrators::{built_in, covered, keep_one};
use super::session::SignedIn;
use super::tell_identity::{owe_another_invitation, owe_projection};
use super::users::{self, UserView};
use super::{App, Error};
use crate::domain::event_kind::{LICENCE_REMOVED, USER_DELETED, USER_RESTORED};
use crate::domain::permission::Permission;
use crate::domain::refused::Refused;
use crate::store::{commit, lifecycle, people, role_groups, seats};

/// Deletes the user whose address was typed again; until when that can be undone.
pub async fn delete(app: &App, who: &SignedIn, user_id: &str, typed: &str) -> Result<i64, Error> {
    let user_id: Uuid = user_id.parse().map_err(|_| Refused::UserNotFound)?;
    let organisation_id = who.organisation_id();
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    let held = who
        .require_now(&transaction, Permission::UserManagement)
        .await?;
    let user = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    let is_his = EmailAddress::parse(typed).is_ok_and(|email| email.as_str() == user.email);
    if !is_his {
        return Err(Refused::EmailMismatch.into());
    }
    let has = people::permissions(&transaction, organisation_id, user_id).await?;
    covered(&held, &has)?;
    let administrators = built_in(&role_groups::all(&transaction, organisation_id).await?)?;
    let is_member = role_groups::of_user(&transaction, organisation_id, user_id)
        .await?
        .contains(&administrators);
    keep_one(&transaction, who, &user, administrators, is_member).await?;

    let mut events = Vec::new();
    let seat = seats::of_users(&transaction, organisation_id, vec![user_id])
        .await?
        .remove(&user_id);
    if let Some((seat, _)) = seat {
        seats::free(&transaction, &seat).await?;
        let event = app.event(&who.origin, LICENCE_REMOVED, user_id);
        events.push(event.with("plan_id", seat.plan_id));
    }
    events.push(app.event(&who.origin, USER_DELETED, user_id));
    let now = app.clock.now_ms();
    lifecycle::delete(&transaction, &user, now).await?;
    head.append(&transaction, events).await?;
    owe_projection(app, &transaction, user_id).await?;
    commit(transaction).await?;
    app.projections_owed.notify_one();
    Ok(now + app.settings.restorable_ms())
}

/// Brings a deleted user back as he was, but for his seat.
pub async fn restore(app: &App, who: &SignedIn, user_id: &str) -> Result<UserView, Error> {
    let user_id: Uuid = user_id.parse().map_err(|_| Refused::UserNotFound)?;
    let organisation_id = who.organisation_id();
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    let held = who
        .require_now(&transaction, Permission::UserManagement)
        .await?;
    let after = app.clock.now_ms() - app.settings.restorable_ms();
    let user = lifecycle::find_deleted(&transaction, organisation_id, user_id, after)
        .await?
        .ok_or(Refused::UserNotFound)?;
    let gets = people::permissions(&transaction, organisation_id, user_id).await?;
    covered(&held, &gets)?;
    let status = match user.deleted_from.as_deref() {
        Some("disabled") => "disabled",
        Some(_) | None => lifecycle::enabled(&user),
    };
    lifecycle::restore(&transaction, user_id, status).await?;
    let event = app.event(&who.origin, USER_RESTORED, user_id);
    head.append(&transaction, vec![event]).await?;
    owe_projection(app, &transaction, user_id).await?;
    let invited_again = status == "invited";
    if invited_again {
        owe_another_invitation(app, &transaction, user_id).await?;
    }
    let user = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    commit(transaction).await?;
    app.projections_owed.notify_one();
    if invited_again {
        app.invitations_owed.notify_one();
    }
    users::view(app, user).await
}
