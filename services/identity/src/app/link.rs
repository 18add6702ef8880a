//! One-time links: asking for one, looking at one, and setting a password with one.

use sallyport_chassis::{Caller, Secret};
use sallyport_email::EmailAddress;
use sallyport_sql::{StoreError, commit};

use super::hashing::HashError;
use super::mail::{self, MailJob};
use super::password::{self, PasswordRefusal};
use super::{App, guesses, session};
use crate::domain::password::{Password, Weakness};
use crate::domain::token;
use crate::store::links::{self, Purpose};
use crate::store::users::{self, Status};
use crate::store::{passwords, second_steps};

/// Why a link did nothing.
#[derive(Debug, thiserror::Error)]
pub enum LinkRefusal {
    /// Unknown, used, ended, or of a user who may not sign in.
    #[error("the link is not valid")]
    Invalid,
    /// The password may not be chosen; the link stays open.
    #[error("the password is too weak")]
    Weak(Weakness),
    /// Hashing has too much to do.
    #[error("hashing is busy")]
    Busy,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for LinkRefusal {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Store(error) => Self::Store(error),
        }
    }
}

/// What a link is for.
#[derive(Debug)]
pub struct Inspected {
    /// The link.
    pub link: links::Model,
    /// Whose it is.
    pub user: users::Model,
}

/// Notes that a reset was asked for. Whether the address is anybody's is looked up when the mail is
/// written, so this takes as long for every address. Too many from one client address are noted no
/// more, and answered alike.
#[tracing::instrument(skip_all)]
pub async fn request_reset(app: &App, caller: &Caller, email: &str) -> Result<(), StoreError> {
    if !guesses::reserve_reset(app, caller).await? {
        metrics::counter!("password_resets_limited_total").increment(1);
        return Ok(());
    }
    // A text that cannot be an address is nobody's.
    let email = EmailAddress::parse(email)
        .map_or_else(|_| String::new(), |email| email.as_str().to_owned());
    let job = MailJob::Reset {
        email,
        at: app.clock.now_ms(),
        client_ip: caller
            .client_ip
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        user_agent: caller.user_agent.clone(),
        request_id: caller.request_id.clone(),
    };
    mail::put(app.database.connection(), app, &job).await?;
    app.outbox_wake.notify_one();
    Ok(())
}

/// What an open link is for.
#[tracing::instrument(skip_all)]
pub async fn inspect(app: &App, link_token: &Secret) -> Result<Inspected, LinkRefusal> {
    let hash = token::hash_of(token::LINK, link_token.expose()).ok_or(LinkRefusal::Invalid)?;
    let connection = app.database.connection();
    let link = links::find_open(connection, &hash, app.clock.now_ms())
        .await?
        .ok_or(LinkRefusal::Invalid)?;
    let user = users::find(connection, link.user_id)
        .await?
        .filter(|user| user.status == Status::Active)
        .ok_or(LinkRefusal::Invalid)?;
    Ok(Inspected { link, user })
}

/// Sets the password of the link's user; returns the e-mail. Signs nobody in: the second factor is
/// asked as ever. Guesses for the e-mail start anew.
#[tracing::instrument(skip_all)]
pub async fn set_password(
    app: &App,
    caller: &Caller,
    link_token: &Secret,
    chosen: &Secret,
) -> Result<String, LinkRefusal> {
    let Inspected { link, user } = inspect(app, link_token).await?;
    let by = match link.purpose {
        Purpose::Invitation => "invitation",
        Purpose::Reset => "reset",
        Purpose::Enrolment => return Err(LinkRefusal::Invalid),
    };
    let chosen = Password::read(chosen.expose()).ok_or(LinkRefusal::Weak(Weakness::TooLong))?;
    let new = match password::make_new(app, &user, chosen).await? {
        Ok(new) => new,
        Err(PasswordRefusal::Weak(weakness)) => return Err(LinkRefusal::Weak(weakness)),
        Err(_) => return Err(LinkRefusal::Busy),
    };
    let hash = token::hash_of(token::LINK, link_token.expose()).ok_or(LinkRefusal::Invalid)?;
    let now = app.clock.now_ms();
    let txn = app.database.begin().await?;
    users::lock(&txn, user.id).await?;
    if !password::is_long_enough(&txn, &user, &new).await? {
        return Err(LinkRefusal::Weak(password::too_short_alone(app)));
    }
    if !links::take(&txn, link.id, &hash, now).await? {
        return Err(LinkRefusal::Invalid);
    }
    passwords::put(&txn, user.id, new, now).await?;
    second_steps::password_mailed(&txn, user.id, now).await?;
    session::end_all(&txn, app, caller, &user).await?;
    guesses::clear(&txn, app, &user).await?;
    password::changed(&txn, app, caller, &user, by).await?;
    commit(txn).await?;
    app.outbox_wake.notify_one();
    Ok(user.email)
}
