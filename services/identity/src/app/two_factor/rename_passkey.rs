//! Another name for a passkey. It changes nothing that sign-in asks, so it needs nothing fresh.

use sallyport_chassis::Caller;
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::TwoFactorRefusal;
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::session::authenticate;
use crate::domain::passkey_name::PasskeyName;
use crate::store::passkeys;

/// Names the passkey of this id.
#[tracing::instrument(skip_all)]
pub async fn rename(
    app: &App,
    caller: &Caller,
    passkey_id: Uuid,
    name: &str,
) -> Result<(), TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let name = PasskeyName::parse(name).map_err(|_| TwoFactorRefusal::PasskeyName)?;
    let user = &context.user;
    let tx = app.database.begin().await?;
    if !passkeys::rename(&tx, user.id, passkey_id, name.as_str()).await? {
        return Err(TwoFactorRefusal::PasskeyNotFound);
    }
    let event = EventDraft::of(caller, user, "passkey_renamed").with("passkey_id", passkey_id);
    events::record(&tx, app, event).await?;
    tx.commit().await.map_err(StoreError::from)?;
    app.outbox_wake.notify_one();
    Ok(())
}
