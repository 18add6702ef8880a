//! A new set of recovery codes.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::commit;

use super::{TwoFactorRefusal, recovery_set, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::{factors, second_steps};

/// Replaces the recovery codes by ten new ones.
#[tracing::instrument(skip_all)]
pub async fn remake_recovery_codes(
    app: &App,
    caller: &Caller,
) -> Result<Vec<Secret>, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let user = &context.user;
    let step = second_steps::find(app.database.connection(), user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    require_both_fresh(app, &context)?;
    require_settled_number(app, caller, &context, &step).await?;

    let tx = app.database.begin().await?;
    second_steps::lock(&tx, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    session::hold(&tx, &context).await?;
    let codes = recovery_set::remake(&tx, app, user.id).await?;
    let event = EventDraft::of(caller, user, "recovery_codes_remade");
    events::record(&tx, app, event).await?;
    let number = factors::confirmed(&tx, user.id).await?;
    notices::tell(&tx, app, user, Notice::RecoveryCodesRemade, &number).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(codes)
}
