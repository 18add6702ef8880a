//! What the first step asks of the second.

use sallyport_chassis::Secret;
use sallyport_sql::StoreError;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use crate::store::users;

/// Whether sign-in asks this user for a second factor: one that is active, locked or disabled.
pub async fn asked_of(_txn: &impl ConnectionTrait, _user_id: Uuid) -> Result<bool, StoreError> {
    Ok(false)
}

/// Whether the token names a browser that this user had remembered. Such a browser is let in where
/// others wait; whether it also skips the code is for `skips_code`.
pub async fn is_remembered(
    _txn: &impl ConnectionTrait,
    _app: &App,
    _user_id: Uuid,
    _browser_token: &Secret,
) -> Result<bool, StoreError> {
    Ok(false)
}

/// Whether a remembered browser (see `is_remembered`) skips the code, given the length of the
/// password in code points after NFC. Notes the browser's use.
pub async fn skips_code(
    _txn: &impl ConnectionTrait,
    _app: &App,
    _user: &users::Model,
    _browser_token: &Secret,
    _password_code_points: usize,
) -> Result<bool, StoreError> {
    Ok(false)
}

/// Forgets every remembered browser of the user.
pub async fn forget_browsers(
    _txn: &impl ConnectionTrait,
    _user_id: Uuid,
) -> Result<(), StoreError> {
    Ok(())
}
