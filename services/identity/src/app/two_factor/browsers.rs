//! The browsers that a user had remembered: which they are, and forgetting them.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::commit;
use uuid::Uuid;

use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::session::{SessionRefusal, authenticate};
use crate::domain::token;
use crate::store::browsers;

/// A remembered browser, and whether it is the one that asks.
#[derive(Debug)]
pub struct Remembered {
    /// Its row.
    pub browser: browsers::Model,
    /// Whether the caller holds its token.
    pub current: bool,
}

/// The user's remembered browsers, newest use first; `browser_token` is the caller's own, if any.
#[tracing::instrument(skip_all)]
pub async fn list(
    app: &App,
    caller: &Caller,
    browser_token: &Secret,
) -> Result<Vec<Remembered>, SessionRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let own = token::hash_of(token::BROWSER, browser_token.expose());
    let (db, now_ms) = (app.database.connection(), app.clock.now_ms());
    let live = browsers::live(db, context.user.id, now_ms).await?;
    let remembered = live.into_iter().map(|browser| Remembered {
        current: own.as_ref() == Some(&browser.token_hash),
        browser,
    });
    Ok(remembered.collect())
}

/// Forgets one remembered browser of the user, or all; how many there were. Sessions that are open
/// stay: they are ended as sessions.
#[tracing::instrument(skip_all)]
pub async fn revoke(
    app: &App,
    caller: &Caller,
    browser_id: Option<Uuid>,
) -> Result<u64, SessionRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let user = &context.user;
    let tx = app.database.begin().await?;
    let forgotten = match browser_id {
        Some(id) => browsers::drop_one(&tx, user.id, id).await?,
        None => browsers::drop_all(&tx, user.id).await?,
    };
    if forgotten > 0 {
        let event = EventDraft::of(caller, user, "browser_forgotten").with("browsers", forgotten);
        events::record(&tx, app, event).await?;
    }
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(forgotten)
}
