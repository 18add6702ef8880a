//! Unticking the box.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::commit;

use super::{TwoFactorRefusal, note_forbidden, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::factors::EndReason;
use crate::store::{
    authenticators, browsers, factors, passkeys, passwords, pending_enrolments, recovery_codes,
    second_steps, users,
};

/// Switches two-factor authentication off (rule 10). The number stays confirmed, so that switching
/// it on again needs no code; that of a disabled factor does not, nor do an authenticator app and
/// passkeys.
#[tracing::instrument(skip_all)]
pub async fn disable_two_factor(app: &App, caller: &Caller) -> Result<Secret, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let user = &context.user;
    let step = second_steps::find(app.database.connection(), user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    // Refused from a read already, before a step-up is asked for nothing; what counts is the locked
    // row below.
    if user.two_factor_required {
        note_forbidden(app, caller, user, "two_factor.required_by_policy").await;
        return Err(TwoFactorRefusal::RequiredByPolicy);
    }
    require_both_fresh(app, &context)?;
    require_settled_number(app, caller, &context, &step).await?;

    let tx = app.database.begin().await?;
    let now_required = users::lock(&tx, user.id)
        .await?
        .is_none_or(|user| user.two_factor_required);
    if now_required {
        return Err(TwoFactorRefusal::RequiredByPolicy);
    }
    let step = second_steps::lock(&tx, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let password = passwords::find(&tx, user.id).await?;
    if password.is_none_or(|password| !password.stands_alone) {
        let minimum = app.settings.password.minimum_alone;
        return Err(TwoFactorRefusal::PasswordTooShort { minimum });
    }
    let number = factors::confirmed(&tx, user.id).await?;
    let now_ms = app.clock.now_ms();
    let reason = EndReason::SwitchedOff;
    authenticators::end(&tx, user.id, reason, now_ms).await?;
    passkeys::end(&tx, user.id, None, reason, now_ms).await?;
    if step.disabled_at.is_some() {
        factors::end_all(&tx, user.id, EndReason::TooManyFailures, now_ms).await?;
    }
    second_steps::set_active(&tx, user.id, false).await?;
    recovery_codes::drop_unused(&tx, user.id).await?;
    browsers::drop_all(&tx, user.id).await?;
    pending_enrolments::drop_of_user(&tx, user.id).await?;
    session::end_others(&tx, app, caller, &context).await?;
    events::record(
        &tx,
        app,
        EventDraft::of(caller, user, "two_factor_disabled"),
    )
    .await?;
    notices::tell(&tx, app, user, Notice::TwoFactorDisabled, &number).await?;
    let session_token = session::renew(&tx, app, &context, Renewal::default()).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(session_token)
}
