//! What identity is owed: every user's newest projection, and invitations.
//!
//! Outbox rows name the user only. What is delivered is what he is *then*, so a row that waited
//! never brings back an old state; identity's version gate settles deliveries that cross.

use std::collections::HashSet;

use sallyport_chassis::Secret;
use sallyport_chassis::clock::new_id;
use sallyport_sql::StoreError;
use sallyport_sql::outbox::{self, Row};
use uuid::Uuid;

use super::{App, Error};
use crate::store::{Transaction, people};

/// Topic of users whose projection is owed.
pub const PROJECTION: &str = "projection";
/// Topic of users whose invitation is owed.
pub const INVITATION: &str = "invitation";
/// Topic of users who are owed a link that sets another password.
pub const PASSWORD_RESET: &str = "password_reset";

/// Owes identity the user's projection, in the transaction that changes him.
pub async fn owe_projection(
    app: &App,
    transaction: &Transaction,
    user_id: Uuid,
) -> Result<(), StoreError> {
    let (id, now) = (new_id(&*app.clock), app.clock.now_ms());
    outbox::put(
        transaction,
        id,
        PROJECTION,
        user_id.as_bytes().to_vec(),
        now,
    )
    .await
}

/// Owes the user an invitation, in the transaction that makes him. It is due only after a while:
/// the request itself asks identity at once, and its link must not be replaced by another.
pub async fn owe_invitation(
    app: &App,
    transaction: &Transaction,
    user_id: Uuid,
) -> Result<(), StoreError> {
    let id = new_id(&*app.clock);
    let due = app.clock.now_ms() + app.settings.invitation_retry_seconds * 1_000;
    outbox::put(
        transaction,
        id,
        INVITATION,
        user_id.as_bytes().to_vec(),
        due,
    )
    .await
}

/// Owes the user another invitation than the first, whose link has ended with his being kept out. Its
/// own id is the key, so that it is mailed once.
pub async fn owe_another_invitation(
    app: &App,
    transaction: &Transaction,
    user_id: Uuid,
) -> Result<(), StoreError> {
    let (id, now) = (new_id(&*app.clock), app.clock.now_ms());
    let payload = [user_id.as_bytes().as_slice(), id.as_bytes()].concat();
    outbox::put(transaction, id, INVITATION, payload, now).await
}

/// Owes the user a link that sets another password, in the transaction that logs it.
pub async fn owe_password_reset(
    app: &App,
    transaction: &Transaction,
    user_id: Uuid,
) -> Result<(), StoreError> {
    let (id, now) = (new_id(&*app.clock), app.clock.now_ms());
    let payload = user_id.as_bytes().to_vec();
    outbox::put(transaction, id, PASSWORD_RESET, payload, now).await
}

/// Tells identity what the user is now.
async fn tell(app: &App, user_id: Uuid) -> Result<(), Error> {
    match people::projection(app.database.connection(), user_id).await? {
        Some(projection) => app
            .identity
            .put_user(projection)
            .await
            .map_err(Error::Identity),
        None => Ok(()),
    }
}

/// Has identity know and invite a user once. The link is given once: empty where the invitation was
/// made before, or the user has set a password.
pub async fn invite(app: &App, user_id: Uuid) -> Result<Secret, Error> {
    invite_under(app, user_id, format!("invite:{user_id}")).await
}

/// Has identity invite the user anew: another mail and another link, and earlier links end.
pub async fn invite_again(app: &App, user_id: Uuid) -> Result<Secret, Error> {
    invite_under(app, user_id, format!("invite:{}", new_id(&*app.clock))).await
}

async fn invite_under(app: &App, user_id: Uuid, key: String) -> Result<Secret, Error> {
    let user = people::find_any(app.database.connection(), user_id).await?;
    if user.is_none_or(|user| user.status != "invited") {
        return Ok(Secret::default());
    }
    tell(app, user_id).await?;
    let link = app
        .identity
        .invite(user_id, key)
        .await
        .map_err(Error::Identity)?;
    people::mark_invited(app.database.connection(), user_id, app.clock.now_ms()).await?;
    Ok(link)
}

/// Delivers projections: each user of the rows once, as he is now.
pub async fn deliver_projections(app: App, rows: Vec<Row>) -> Result<(), Error> {
    for user_id in users(&rows)? {
        tell(&app, user_id).await?;
    }
    Ok(())
}

/// Delivers invitations that the requests themselves did not get through, and those that follow.
pub async fn deliver_invitations(app: App, rows: Vec<Row>) -> Result<(), Error> {
    for row in &rows {
        let (user_id, another) = invitation(row)?;
        if let Some(id) = another {
            invite_under(&app, user_id, format!("invite:{id}")).await?;
            continue;
        }
        let user = people::find_any(app.database.connection(), user_id).await?;
        if user.is_some_and(|user| user.invited_at.is_none()) {
            invite(&app, user_id).await?;
        }
    }
    Ok(())
}

/// Whom a row invites, and the id of an invitation that is not the first.
fn invitation(row: &Row) -> Result<(Uuid, Option<Uuid>), StoreError> {
    let unknown = StoreError::Corrupt("an outbox row that names no user");
    match row.payload.split_at_checked(16) {
        Some((user, [])) => Uuid::from_slice(user)
            .map(|user| (user, None))
            .map_err(|_| unknown),
        Some((user, id)) => match (Uuid::from_slice(user), Uuid::from_slice(id)) {
            (Ok(user), Ok(id)) => Ok((user, Some(id))),
            _ => Err(unknown),
        },
        None => Err(unknown),
    }
}

/// Delivers resets that administrators started; one a user, however often it was asked for. What is
/// refused for good is dropped.
pub async fn deliver_password_resets(app: App, rows: Vec<Row>) -> Result<(), Error> {
    for user_id in users(&rows)? {
        let started = app.identity.start_password_reset(user_id).await;
        if !started.map_err(Error::Identity)? {
            tracing::warn!(%user_id, "a password reset was dropped: identity refuses it for good");
            metrics::counter!("password_resets_dropped_total").increment(1);
        }
    }
    Ok(())
}

fn users(rows: &[Row]) -> Result<HashSet<Uuid>, StoreError> {
    rows.iter()
        .map(|row| {
            Uuid::from_slice(&row.payload)
                .map_err(|_| StoreError::Corrupt("an outbox row that names no user"))
        })
        .collect()
}
