//! Ceremonies of passkeys: begun with options for the browser, ended with its answer within five
//! minutes, by the session that began it and once.
//!
//! No answer can be guessed, so a wrong one is not counted with wrong codes, and no lock keeps a right
//! one out. How many a user begins within an hour is limited all the same: each is a row, and each
//! wrong answer an entry in his log, and whoever has his password could make both without end.

use jiff::Timestamp;
use sallyport_chassis::{Caller, clock};
use uuid::Uuid;

use super::refusal::CodeRefusal;
use super::{note_closed, remaining};
use crate::app::App;
use crate::app::relying_party::{Prepared, RelyingParty};
use crate::app::session::SessionContext;
use crate::store::passkey_ceremonies::{self, Bound, Kind};
use crate::store::second_steps;

/// The word for passkeys in events.
pub(crate) const METHOD: &str = "passkey";

/// How long there is for the answer.
const LIFE_MS: i64 = 300_000;

/// A ceremony that has begun.
#[derive(Debug)]
pub struct Begun {
    /// To be named with the answer.
    pub ceremony_id: Uuid,
    /// What the browser is given, JSON.
    pub options: String,
    /// The end of the time for the answer.
    pub expires_at: Timestamp,
}

/// What passkeys are bound to here.
pub(crate) fn relying_party(app: &App) -> Result<&RelyingParty, CodeRefusal> {
    app.relying_party
        .as_deref()
        .ok_or(CodeRefusal::PasskeysUnavailable)
}

/// Counts one ceremony of the hour, or refuses. The user has a row of the second step.
pub(crate) async fn reserve(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
) -> Result<(), CodeRefusal> {
    let (db, now) = (app.database.connection(), app.clock.now());
    let user = &context.user;
    let per_hour = app.settings.passkeys.ceremonies_per_hour;
    if second_steps::reserve_ceremony(db, user.id, per_hour, now.as_millisecond()).await? {
        return Ok(());
    }
    let step = second_steps::find(db, user.id)
        .await?
        .ok_or(CodeRefusal::NotActive)?;
    let reopens = step.ceremonies_window_at + second_steps::HOUR_MS;
    let refusal = CodeRefusal::PasskeyLimit(remaining(reopens, now));
    note_closed(app, caller, user, METHOD, &refusal).await;
    Err(refusal)
}

/// Keeps what was prepared until its answer.
pub(crate) async fn begin(
    app: &App,
    context: &SessionContext,
    kind: Kind,
    prepared: Prepared,
) -> Result<Begun, CodeRefusal> {
    let bound = bound(context, clock::new_id(&*app.clock), kind);
    let expires_at = app.clock.now_ms() + LIFE_MS;
    let db = app.database.connection();
    passkey_ceremonies::insert(db, bound, prepared.state, expires_at).await?;
    Ok(Begun {
        ceremony_id: bound.id,
        options: prepared.options,
        expires_at: clock::from_ms(expires_at),
    })
}

/// Ends a ceremony of this session, whatever comes of its answer; what was kept of it.
pub(crate) async fn take(
    app: &App,
    context: &SessionContext,
    ceremony_id: &str,
    kind: Kind,
) -> Result<String, CodeRefusal> {
    let id = Uuid::try_parse(ceremony_id).map_err(|_| CodeRefusal::CeremonyEnded)?;
    let (db, now_ms) = (app.database.connection(), app.clock.now_ms());
    passkey_ceremonies::take(db, bound(context, id, kind), now_ms)
        .await?
        .ok_or(CodeRefusal::CeremonyEnded)
}

fn bound(context: &SessionContext, id: Uuid, kind: Kind) -> Bound {
    Bound {
        id,
        user_id: context.user.id,
        session_id: context.session.id,
        kind,
    }
}
