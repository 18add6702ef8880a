//! What account-admin tells of its users, and the invitations that it asks for.

use jiff::Timestamp;
use sallyport_chassis::keyring::{new_token, token_hash};
use sallyport_chassis::{Caller, Secret, clock};
use sallyport_sql::{StoreError, commit};
use uuid::Uuid;

use super::mail::{self, MailJob};
use super::{App, session};
use crate::domain::token;
use crate::store::links::{self, Purpose};
use crate::store::passwords;
use crate::store::users::{self, Put};
pub use crate::store::users::{Model as User, Status};

/// Why something was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionRefusal {
    /// Another user, not deleted, has the e-mail.
    #[error("the e-mail is another user's")]
    EmailTaken,
    /// The projection has not come yet.
    #[error("the user is not known")]
    UserNotFound,
    /// The user may not sign in.
    #[error("the user is not active")]
    NotActive,
    /// The user has a password: a reset is what helps.
    #[error("the user has a password")]
    HasPassword,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores a user unless a newer version is there; returns the version that is there now. A user
/// who may no longer sign in loses sessions and links in the same transaction.
#[tracing::instrument(skip_all)]
pub async fn put_user(app: &App, caller: &Caller, user: User) -> Result<i64, ProjectionRefusal> {
    match store(app, caller, user.clone()).await {
        // It may be his own, stored by another call at the same instant: PostgreSQL meets whichever
        // unique index is first. That call has committed, so the second look tells.
        Err(ProjectionRefusal::EmailTaken) => store(app, caller, user).await,
        stored => stored,
    }
}

async fn store(app: &App, caller: &Caller, user: User) -> Result<i64, ProjectionRefusal> {
    let txn = app.database.begin().await?;
    let before = users::lock(&txn, user.id).await?;
    match users::put(&txn, user.clone()).await? {
        Put::EmailTaken => Err(ProjectionRefusal::EmailTaken),
        Put::Known => {
            let stored = users::find(&txn, user.id)
                .await?
                .ok_or(StoreError::Corrupt("a user is there and is not"))?;
            Ok(stored.version)
        }
        Put::Stored => {
            let active = user.status == Status::Active;
            // A link that went to another mailbox must not open this user any more.
            if !active || before.is_some_and(|before| before.email != user.email) {
                links::end_all(&txn, user.id, None, app.clock.now_ms()).await?;
            }
            if !active {
                session::end_all(&txn, app, caller, &user).await?;
            }
            commit(txn).await?;
            app.outbox_wake.notify_one();
            Ok(user.version)
        }
    }
}

/// An invitation.
#[derive(Debug)]
pub struct Invited {
    /// The link's token; `None` where this request had been answered before.
    pub token: Option<Secret>,
    /// The link's end.
    pub expires_at: Timestamp,
}

/// Makes an invitation link, ends earlier ones, and mails it. A repeated request changes nothing.
#[tracing::instrument(skip_all)]
pub async fn invite(
    app: &App,
    user_id: Uuid,
    idempotency_key: &str,
) -> Result<Invited, ProjectionRefusal> {
    let now = app.clock.now_ms();
    let txn = app.database.begin().await?;
    if let Some(link) = links::find_by_key(&txn, user_id, idempotency_key).await? {
        return Ok(Invited {
            token: None,
            expires_at: clock::from_ms(link.expires_at),
        });
    }
    let user = users::find(&txn, user_id)
        .await?
        .ok_or(ProjectionRefusal::UserNotFound)?;
    if user.status != Status::Active {
        return Err(ProjectionRefusal::NotActive);
    }
    if passwords::find(&txn, user_id).await?.is_some() {
        return Err(ProjectionRefusal::HasPassword);
    }
    links::end_all(&txn, user_id, Some(Purpose::Invitation), now).await?;
    let link_token = new_token(token::LINK);
    let link_id = clock::new_id(&*app.clock);
    let expires_at = now + app.settings.links.invitation.as_millis() as i64;
    links::insert(
        &txn,
        links::Model {
            id: link_id,
            user_id,
            purpose: Purpose::Invitation,
            handed_hash: Some(token_hash(link_token.expose())),
            mailed_hash: None,
            idempotency_key: Some(idempotency_key.to_owned()),
            created_at: now,
            expires_at,
            used_at: None,
        },
    )
    .await?;
    mail::put(&txn, app, &MailJob::Link { link_id }).await?;
    commit(txn).await?;
    app.outbox_wake.notify_one();
    Ok(Invited {
        token: Some(link_token),
        expires_at: clock::from_ms(expires_at),
    })
}

/// Mails a user a link that sets another password; whoever has none is to be invited instead.
#[tracing::instrument(skip_all)]
pub async fn start_password_reset(app: &App, user_id: Uuid) -> Result<(), ProjectionRefusal> {
    let db = app.database.connection();
    let user = users::find(db, user_id)
        .await?
        .ok_or(ProjectionRefusal::UserNotFound)?;
    if user.status != Status::Active || passwords::find(db, user_id).await?.is_none() {
        return Err(ProjectionRefusal::NotActive);
    }
    mail::put(db, app, &MailJob::reset_for(app, user.email)).await?;
    app.outbox_wake.notify_one();
    Ok(())
}
