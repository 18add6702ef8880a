//! "My phone is lost" (rule 38a): said after the password and without a second factor, so it takes
//! access away and gives none. What gets in afterwards is what got in before, but for the phone.

use sallyport_chassis::Caller;
use sallyport_sql::commit;

use super::otp;
use super::refusal::CodeRefusal;
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::factors::EndReason;
use crate::store::sessions::Stage;
use crate::store::{
    authenticators, browsers, challenges, factors, passkeys, pending_enrolments, second_steps,
    users,
};

/// Disables codes by SMS, ends the user's other sessions and forgets his remembered browsers. An
/// authenticator app and passkeys, which need not be on that phone, work on, and no link goes around
/// them. Where nothing of it is left, nothing is done and nobody is told.
#[tracing::instrument(skip_all)]
pub async fn report(app: &App, caller: &Caller) -> Result<(), CodeRefusal> {
    let context = authenticate(app, caller).await?;
    if context.session.stage != Stage::AwaitingSecondFactor {
        return Err(CodeRefusal::AlreadySignedIn);
    }
    let user = &context.user;
    let challenge = challenges::of(&context.session)?;
    let now_ms = app.clock.now_ms();
    let tx = app.database.begin().await?;
    // A sign-in under way has either opened its session, which ends here, or meets what is left.
    users::lock(&tx, user.id).await?;
    second_steps::lock(&tx, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let number = factors::confirmed(&tx, user.id).await?;
    factors::end_all(&tx, user.id, EndReason::ReportedLost, now_ms).await?;
    if authenticators::live(&tx, user.id).await?.is_none()
        && passkeys::count(&tx, user.id).await? == 0
    {
        second_steps::disable(&tx, user.id, now_ms).await?;
    }
    pending_enrolments::drop_of_user(&tx, user.id).await?;
    session::hold(&tx, &context).await?;
    if let Some(challenge) = &challenge {
        challenges::clear(&tx, challenge).await?;
    }
    let browsers = browsers::drop_all(&tx, user.id).await?;
    let sessions = session::end_others(&tx, app, caller, &context).await?;
    if number.is_none() && browsers == 0 && sessions == 0 {
        return Ok(());
    }
    let mut event =
        EventDraft::of(caller, user, "two_factor_phone_lost").with("browsers", browsers);
    if let Some(number) = &number {
        event = event.with("number_ending", number.last_two());
    }
    events::record(&tx, app, event).await?;
    // Also to the phone: whoever has it in his hand has not lost it.
    notices::tell(&tx, app, user, Notice::PhoneLost, &number).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    if let Some(challenge) = challenge {
        otp::cancel(app, caller, &challenge).await;
    }
    Ok(())
}
