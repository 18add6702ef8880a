//! What a signed-in user does with sessions.

use sallyport_chassis::Caller;
use sallyport_sql::{StoreError, commit};
use uuid::Uuid;

use super::session::{self, SessionContext, SessionRefusal};
use super::{App, code};
use crate::store::{challenges, sessions};

/// Ends the caller's session. One that has ended already is no error.
#[tracing::instrument(skip_all)]
pub async fn sign_out(app: &App, caller: &Caller) -> Result<(), SessionRefusal> {
    let context = match session::authenticate(app, caller).await {
        Ok(context) => context,
        Err(SessionRefusal::Expired) => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    end(app, caller, &context, Some(context.session.id)).await?;
    // A code that waits to be sent is worth nothing now (rule 34).
    if let Some(challenge) = challenges::of(&context.session)? {
        code::otp::cancel(app, caller, &challenge).await;
    }
    Ok(())
}

/// A live session, and whether it is the one that asks.
#[derive(Debug)]
pub struct Open {
    /// The session.
    pub session: sessions::Model,
    /// Whether it is the caller's.
    pub current: bool,
}

/// The user's live sessions, newest use first.
#[tracing::instrument(skip_all)]
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Open>, SessionRefusal> {
    let context = session::authenticate(app, caller).await?;
    context.require_signed_in()?;
    let (db, now_ms) = (app.database.connection(), app.clock.now_ms());
    let idle = app.settings.sessions.idle;
    let live = sessions::live_of(db, context.user.id, now_ms, idle).await?;
    let open = live.into_iter().map(|session| Open {
        current: session.id == context.session.id,
        session,
    });
    Ok(open.collect())
}

/// Ends one session of the user, or all but the caller's; how many there were. Whoever found an open
/// session cannot throw its user out elsewhere: for that the password is typed again. Signing oneself
/// out asks for nothing.
#[tracing::instrument(skip_all)]
pub async fn revoke(
    app: &App,
    caller: &Caller,
    session_id: Option<Uuid>,
) -> Result<u64, SessionRefusal> {
    let context = session::authenticate(app, caller).await?;
    context.require_signed_in()?;
    if session_id != Some(context.session.id) {
        context.require_password_fresh(app.clock.now())?;
    }
    Ok(end(app, caller, &context, session_id).await?)
}

async fn end(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    session_id: Option<Uuid>,
) -> Result<u64, StoreError> {
    let txn = app.database.begin().await?;
    let ended = match session_id {
        Some(id) => u64::from(session::end_one(&txn, app, caller, &context.user, id).await?),
        None => session::end_others(&txn, app, caller, context).await?,
    };
    commit(txn).await?;
    app.outbox_wake.notify_one();
    Ok(ended)
}
