//! A recovery code instead of the SMS code. It stands outside the lock, with an hourly limit of its
//! own, so that whoever guesses SMS codes cannot shut the user out.

use sallyport_chassis::{Caller, Secret};
use sallyport_sql::commit;

use super::refusal::CodeRefusal;
use super::{detached, note_closed, otp, remaining, superseded};
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, SessionContext, authenticate};
use crate::app::two_factor::recovery_set::lookups;
use crate::domain::mail_text::Notice;
use crate::domain::recovery::RecoveryCode;
use crate::store::sessions::Stage;
use crate::store::{challenges, factors, recovery_codes, second_steps};

/// What a recovery code gave.
#[derive(Debug)]
pub struct Recovered {
    /// Replaces the token that the call came with.
    pub session_token: Secret,
    /// Unused codes of the set.
    pub left: u32,
}

/// Uses a recovery code, at sign-in or as a step-up.
#[tracing::instrument(skip_all)]
pub async fn use_recovery_code(
    app: &App,
    caller: &Caller,
    typed: &str,
) -> Result<Recovered, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let user_id = context.user.id;
    let code = RecoveryCode::parse(typed).map_err(|_| CodeRefusal::RecoveryWrong)?;
    let db = app.database.connection();
    second_steps::find(db, user_id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let (app, caller) = (app.clone(), caller.clone());
    detached(async move { attempt(&app, &caller, &context, &code).await }).await
}

async fn attempt(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    code: &RecoveryCode,
) -> Result<Recovered, CodeRefusal> {
    let user = &context.user;
    let now = app.clock.now();
    let now_ms = now.as_millisecond();
    let per_hour = app.settings.second_step.recovery_tries_per_hour;
    let db = app.database.connection();
    if !second_steps::reserve_recovery(db, user.id, per_hour, now_ms).await? {
        let step = second_steps::find(db, user.id)
            .await?
            .ok_or(CodeRefusal::NotActive)?;
        let reopens = step.recovery_window_at + second_steps::HOUR_MS;
        let refusal = CodeRefusal::RecoveryLimit(remaining(reopens, now));
        note_closed(app, caller, user, "recovery_code", &refusal).await;
        return Err(refusal);
    }

    let tx = app.database.begin().await?;
    second_steps::lock(&tx, user.id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let hashes = lookups(app, user.id, code);
    if !recovery_codes::use_up(&tx, user.id, hashes, context.session.id, now_ms).await? {
        let event = EventDraft::of(caller, user, "authn_second_factor_fail")
            .refused("recovery_code.wrong")
            .with("method", "recovery_code");
        events::record(&tx, app, event).await?;
        commit(tx).await?;
        app.outbox_wake.notify_one();
        return Err(CodeRefusal::RecoveryWrong);
    }
    second_steps::clear_recovery(&tx, user.id).await?;
    // A success of the second step, which clears the count. It does not make a disabled factor
    // work again: that takes a new enrolment.
    second_steps::clear(&tx, user.id).await?;
    let left = recovery_codes::left(&tx, user.id).await?;
    let challenge = superseded(context)?;
    if let Some(challenge) = &challenge {
        challenges::clear(&tx, challenge).await?;
    }
    for event in [
        EventDraft::of(caller, user, "recovery_code_used").with("left", left),
        EventDraft::of(caller, user, "authn_second_factor_success").with("method", "recovery_code"),
    ] {
        events::record(&tx, app, event).await?;
    }
    let number = factors::confirmed(&tx, user.id).await?;
    notices::tell(&tx, app, user, Notice::RecoveryCodeUsed, &number).await?;
    let renewal = Renewal {
        stage: Some(Stage::SignedIn),
        second_factor_at: Some(now_ms),
        assurance: Some(2),
        ..Renewal::default()
    };
    let session_token = session::renew(&tx, app, context, renewal).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    if let Some(challenge) = challenge {
        otp::cancel(app, caller, &challenge).await;
    }
    Ok(Recovered {
        session_token,
        left,
    })
}
