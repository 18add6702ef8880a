//! Who a bearer token is, and how sessions are renewed and ended.

use jiff::Timestamp;
use sallyport_chassis::keyring::{new_token, token_hash};
use sallyport_chassis::{Caller, Secret};
use sallyport_sql::{StoreError, Transaction};
use uuid::Uuid;

use super::App;
use super::events::{self, EventDraft};
use crate::domain::token;
use crate::store::sessions::{self, Stage};
use crate::store::users::{self, Status};

/// Why a call that needs a session is refused.
#[derive(Debug, thiserror::Error)]
pub enum SessionRefusal {
    /// No token came.
    #[error("no session token")]
    Required,
    /// The token is unknown, or its session has ended.
    #[error("the session has ended")]
    Expired,
    /// The session awaits its second factor.
    #[error("the second factor is asked first")]
    SecondFactorRequired,
    /// The password must be typed again.
    #[error("the password is asked again")]
    PasswordConfirmationRequired,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A live session and whose it is.
#[derive(Debug, Clone)]
pub struct SessionContext {
    /// The session.
    pub session: sessions::Model,
    /// Its user, active.
    pub user: users::Model,
    /// Whether the user has a second factor: active, locked or disabled.
    pub second_factor_active: bool,
    /// Whether that factor is disabled: no code can be sent.
    pub second_factor_disabled: bool,
    fresh: std::time::Duration,
}

impl SessionContext {
    /// Refuses a session that awaits its second factor.
    pub fn require_signed_in(&self) -> Result<(), SessionRefusal> {
        match self.session.stage {
            Stage::SignedIn => Ok(()),
            Stage::AwaitingSecondFactor => Err(SessionRefusal::SecondFactorRequired),
        }
    }

    /// Refuses a session that may not bind a number: it awaits its second factor, and no link was used
    /// in it that lets it enrol anew.
    pub fn require_may_enrol(&self) -> Result<(), SessionRefusal> {
        if self.enrols_anew() {
            Ok(())
        } else {
            self.require_signed_in()
        }
    }

    /// Whether a mailed link lets this session, which awaits its second factor, enrol one anew.
    pub fn enrols_anew(&self) -> bool {
        self.session.stage == Stage::AwaitingSecondFactor && self.session.enrols_anew
    }

    /// Refuses where the password was typed too long ago.
    pub fn require_password_fresh(&self, now: Timestamp) -> Result<(), SessionRefusal> {
        if self.is_fresh(self.session.password_at, now) {
            Ok(())
        } else {
            Err(SessionRefusal::PasswordConfirmationRequired)
        }
    }

    /// Whether a second factor was given in this session lately.
    pub fn second_factor_fresh(&self, now: Timestamp) -> bool {
        self.session
            .second_factor_at
            .is_some_and(|at| self.is_fresh(at, now))
    }

    /// Whether a code of the authenticator app, or a passkey, was given in this session lately.
    pub fn authenticator_fresh(&self, now: Timestamp) -> bool {
        self.session
            .authenticator_at
            .is_some_and(|at| self.is_fresh(at, now))
    }

    fn is_fresh(&self, at: i64, now: Timestamp) -> bool {
        now.as_millisecond() - at <= self.fresh.as_millis() as i64
    }
}

/// The hash by which the session of the caller's token is found.
pub fn token_hash_of(caller: &Caller) -> Result<String, SessionRefusal> {
    let token = caller.bearer.as_ref().ok_or(SessionRefusal::Required)?;
    token::hash_of(token::SESSION, token.expose()).ok_or(SessionRefusal::Expired)
}

/// Finds the session of the caller's token, at any stage, by one SELECT; notes its use at most once
/// a minute.
pub async fn authenticate(app: &App, caller: &Caller) -> Result<SessionContext, SessionRefusal> {
    let hash = token_hash_of(caller)?;
    let now = app.clock.now_ms();
    let settings = &app.settings.sessions;
    let db = app.database.connection();
    let (session, user, second_step) = sessions::find(db, &hash)
        .await?
        .ok_or(SessionRefusal::Expired)?;
    if session.has_ended(now, settings.idle) || user.status != Status::Active {
        return Err(SessionRefusal::Expired);
    }
    if now - session.last_used_at >= settings.touch.as_millis() as i64 {
        sessions::touch(db, session.id, now).await?;
    }
    Ok(SessionContext {
        session,
        user,
        second_factor_active: second_step.as_ref().is_some_and(|step| step.active),
        second_factor_disabled: second_step.is_some_and(|step| step.is_disabled()),
        fresh: app.settings.password.fresh,
    })
}

/// What a (re)authentication changes in a session; `None` leaves a value as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Renewal {
    /// How far it has come.
    pub stage: Option<Stage>,
    /// When the password was typed, unix milliseconds.
    pub password_at: Option<i64>,
    /// When the second factor was given, unix milliseconds.
    pub second_factor_at: Option<i64>,
    /// When a code of the authenticator app, or a passkey, was given, unix milliseconds.
    pub authenticator_at: Option<i64>,
    /// 1 or 2.
    pub assurance: Option<i32>,
    /// Whether it may enrol a disabled factor anew before its second step.
    pub enrols_anew: bool,
}

/// Gives the session a new token. The old one is dead when the transaction commits; of two calls
/// with the same old token one is refused with `Expired`.
pub async fn renew(
    txn: &Transaction,
    app: &App,
    context: &SessionContext,
    renewal: Renewal,
) -> Result<Secret, SessionRefusal> {
    let token = new_token(token::SESSION);
    let old = &context.session;
    let new = sessions::Model {
        token_hash: token_hash(token.expose()),
        stage: renewal.stage.unwrap_or(old.stage),
        password_at: renewal.password_at.unwrap_or(old.password_at),
        second_factor_at: renewal.second_factor_at.or(old.second_factor_at),
        authenticator_at: renewal.authenticator_at.or(old.authenticator_at),
        assurance: renewal.assurance.unwrap_or(old.assurance),
        enrols_anew: renewal.enrols_anew || old.enrols_anew,
        last_used_at: app.clock.now_ms(),
        ..old.clone()
    };
    if !sessions::renew(txn, &old.token_hash, new).await? {
        return Err(SessionRefusal::Expired);
    }
    Ok(token)
}

/// Holds the session until the transaction ends, or refuses where it has ended meanwhile.
pub async fn hold(txn: &Transaction, context: &SessionContext) -> Result<(), SessionRefusal> {
    let session = &context.session;
    match sessions::lock(txn, session.id, &session.token_hash).await? {
        true => Ok(()),
        false => Err(SessionRefusal::Expired),
    }
}

/// Ends the user's sessions but this one; how many there were.
pub async fn end_others(
    txn: &Transaction,
    app: &App,
    caller: &Caller,
    context: &SessionContext,
) -> Result<u64, StoreError> {
    let ended = sessions::drop_others(txn, context.user.id, context.session.id).await?;
    note_ended(txn, app, caller, &context.user, ended).await?;
    Ok(ended)
}

/// Ends all sessions of a user; how many there were.
pub async fn end_all(
    txn: &Transaction,
    app: &App,
    caller: &Caller,
    user: &users::Model,
) -> Result<u64, StoreError> {
    let ended = sessions::drop_all(txn, user.id).await?;
    note_ended(txn, app, caller, user, ended).await?;
    Ok(ended)
}

/// Ends one session of the user; whether there was one.
pub async fn end_one(
    txn: &Transaction,
    app: &App,
    caller: &Caller,
    user: &users::Model,
    session_id: Uuid,
) -> Result<bool, StoreError> {
    let ended = sessions::drop_one(txn, user.id, session_id).await?;
    note_ended(txn, app, caller, user, ended).await?;
    Ok(ended > 0)
}

async fn note_ended(
    txn: &Transaction,
    app: &App,
    caller: &Caller,
    user: &users::Model,
    ended: u64,
) -> Result<(), StoreError> {
    if ended == 0 {
        return Ok(());
    }
    let event = EventDraft::of(caller, user, "session_ended").with("sessions", ended);
    events::record(txn, app, event).await
}
