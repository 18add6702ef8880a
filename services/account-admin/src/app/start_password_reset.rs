//! An administrator has a user choose another password. He never chooses it himself, and the second
//! factor is asked as ever (rule 27).

use super::session::SignedIn;
use super::tell_identity::owe_password_reset;
use super::{App, Error, users};
use crate::domain::event_kind::PASSWORD_RESET_STARTED;
use crate::domain::refused::Refused;
use crate::store::commit;

/// Has a link mailed to the user.
pub async fn start(app: &App, who: &SignedIn, user_id: &str) -> Result<(), Error> {
    let user = users::find(app, who, user_id).await?;
    if user.status != "active" {
        return Err(Refused::UserNotActive.into());
    }
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    let event = app.event(&who.origin, PASSWORD_RESET_STARTED, user.id);
    head.append(&transaction, vec![event]).await?;
    owe_password_reset(app, &transaction, user.id).await?;
    commit(transaction).await?;
    app.resets_owed.notify_one();
    Ok(())
}
