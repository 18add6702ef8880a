//! What the first step asks of the second.

use sallyport_chassis::Secret;
use sallyport_sql::{Connection, StoreError, Transaction};
use uuid::Uuid;

use super::App;
use crate::domain::token;
use crate::store::{
    browsers, passkey_ceremonies, pending_enrolments, second_steps, used_challenges, users,
};

/// Whether sign-in asks this user for a second factor: one that is active, locked or disabled.
pub async fn asked_of(txn: &impl Connection, user_id: Uuid) -> Result<bool, StoreError> {
    let row = second_steps::find(txn, user_id).await?;
    Ok(row.is_some_and(|row| row.active))
}

/// Whether the token names a browser that this user had remembered. Such a browser is let in where
/// others wait; whether it also skips the code is for `skips_code`.
pub async fn is_remembered(
    txn: &impl Connection,
    app: &App,
    user_id: Uuid,
    browser_token: &Secret,
) -> Result<bool, StoreError> {
    let Some(hash) = token::hash_of(token::BROWSER, browser_token.expose()) else {
        return Ok(false);
    };
    browsers::is_live(txn, user_id, &hash, app.clock.now_ms()).await
}

/// Whether a remembered browser (see `is_remembered`) skips the code, given the length of the
/// password in code points after NFC: only a password that may stand alone does without it. Notes
/// the browser's use.
pub async fn skips_code(
    txn: &Transaction,
    app: &App,
    user: &users::Model,
    browser_token: &Secret,
    password_code_points: usize,
) -> Result<bool, StoreError> {
    if password_code_points < app.settings.password.minimum_alone {
        return Ok(false);
    }
    let Some(hash) = token::hash_of(token::BROWSER, browser_token.expose()) else {
        return Ok(false);
    };
    browsers::touch(txn, user.id, &hash, app.clock.now_ms()).await
}

/// Forgets every remembered browser of the user.
pub async fn forget_browsers(txn: &Transaction, user_id: Uuid) -> Result<(), StoreError> {
    browsers::drop_all(txn, user_id).await?;
    Ok(())
}

/// A used challenge is kept so long; it could not be answered after ten minutes.
const USED_KEPT_MS: i64 = 86_400_000;

/// Deletes what has run out. Nothing depends on it being on time.
pub(super) async fn sweep(db: &impl Connection, now_ms: i64) -> Result<(), StoreError> {
    pending_enrolments::drop_ended(db, now_ms).await?;
    browsers::drop_ended(db, now_ms).await?;
    passkey_ceremonies::drop_ended(db, now_ms).await?;
    used_challenges::forget(db, now_ms - USED_KEPT_MS).await
}
