//! Taking the authenticator app away, where another factor remains. Of a user whose only factor it is,
//! two-factor authentication is switched off instead, with what that asks.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::commit;

use super::{TwoFactorRefusal, count_factors, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::factors::EndReason;
use crate::store::{authenticators, browsers, factors, second_steps, users};

/// Takes the app away; other sessions and remembered browsers end.
#[tracing::instrument(skip_all)]
pub async fn remove(app: &App, caller: &Caller) -> Result<Secret, TwoFactorRefusal> {
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
    if authenticators::live(db, user.id).await?.is_none() {
        return Err(CodeRefusal::NoAuthenticator.into());
    }
    if count_factors(db, user.id).await? < 2 {
        return Err(TwoFactorRefusal::LastFactor);
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
        return Err(TwoFactorRefusal::LastFactor);
    }
    let now_ms = app.clock.now_ms();
    if !authenticators::end(&tx, user.id, EndReason::Removed, now_ms).await? {
        return Err(CodeRefusal::NoAuthenticator.into());
    }
    let number = factors::confirmed(&tx, user.id).await?;
    browsers::drop_all(&tx, user.id).await?;
    session::end_others(&tx, app, caller, &context).await?;
    let event = EventDraft::of(caller, user, "authenticator_removed");
    events::record(&tx, app, event).await?;
    notices::tell(&tx, app, user, Notice::AuthenticatorRemoved, &number).await?;
    let session_token = session::renew(&tx, app, &context, Renewal::default()).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(session_token)
}
