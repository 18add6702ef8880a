//! Taking a passkey away, where another factor remains. Of a user whose only factor it is, two-factor
//! authentication is switched off instead, with what that asks.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::{TwoFactorRefusal, count_factors, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::factors::EndReason;
use crate::store::{browsers, factors, passkeys, second_steps, users};

/// Takes the passkey of this id away; other sessions and remembered browsers end.
#[tracing::instrument(skip_all)]
pub async fn remove(
    app: &App,
    caller: &Caller,
    passkey_id: Uuid,
) -> Result<Secret, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let user = &context.user;
    let db = app.database.connection();
    let step = second_steps::find(db, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    // Refused from a read already, before a step-up is asked for nothing; what counts are the locked
    // rows below.
    let known = passkeys::live(db, user.id).await?;
    if !known.iter().any(|passkey| passkey.id == passkey_id) {
        return Err(TwoFactorRefusal::PasskeyNotFound);
    }
    if count_factors(db, user.id).await? < 2 {
        return Err(TwoFactorRefusal::LastPasskey);
    }
    require_both_fresh(app, &context)?;
    require_settled_number(app, caller, &context, &step).await?;

    let tx = app.database.begin().await?;
    users::lock(&tx, user.id).await?;
    second_steps::lock(&tx, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    if count_factors(&tx, user.id).await? < 2 {
        return Err(TwoFactorRefusal::LastPasskey);
    }
    let (reason, now_ms) = (EndReason::Removed, app.clock.now_ms());
    if passkeys::end(&tx, user.id, Some(passkey_id), reason, now_ms).await? == 0 {
        return Err(TwoFactorRefusal::PasskeyNotFound);
    }
    let number = factors::confirmed(&tx, user.id).await?;
    browsers::drop_all(&tx, user.id).await?;
    session::end_others(&tx, app, caller, &context).await?;
    let event = EventDraft::of(caller, user, "passkey_removed").with("passkey_id", passkey_id);
    events::record(&tx, app, event).await?;
    notices::tell(&tx, app, user, Notice::PasskeyRemoved, &number).await?;
    let session_token = session::renew(&tx, app, &context, Renewal::default()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    app.outbox_wake.notify_one();
    Ok(session_token)
}
