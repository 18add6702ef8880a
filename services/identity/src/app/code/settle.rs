//! What follows a decided attempt, in one transaction each.

use sallyport_chassis::keyring::{new_token, token_hash};
use sallyport_chassis::{Caller, Secret, clock};
use sallyport_sql::{StoreError, Transaction, commit};

use super::refusal::CodeRefusal;
use super::verify::Verified;
use super::{open_to_attempts, otp, superseded};
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, SessionContext};
use crate::app::two_factor::bind;
use crate::domain::mail_text::Notice;
use crate::domain::second_step::{Consequence, DISABLED_AT, LONGEST_LOCK};
use crate::domain::token;
use crate::store::challenges::{self, Challenge, Purpose};
use crate::store::factors::EndReason;
use crate::store::sessions::Stage;
use crate::store::{
    authenticators, browsers, factors, passkeys, pending_enrolments, second_steps, used_challenges,
    users,
};

/// What a right answer gave that was for no number.
#[derive(Debug)]
pub struct Passed {
    /// Replaces the token that the call came with.
    pub session_token: Secret,
    /// Where the browser is to be remembered.
    pub browser_token: Option<Secret>,
}

/// An attempt that has been counted.
pub(super) struct Settlement<'a> {
    pub app: &'a App,
    pub caller: &'a Caller,
    pub context: &'a SessionContext,
    /// The word for the factor.
    pub method: &'static str,
    pub purpose: Purpose,
    /// Its place in the row of failures.
    pub count: u32,
}

/// A right answer: the challenge is used up here too, the count is cleared, and the session gets
/// what the challenge was for; all or nothing.
pub(super) async fn settle_right(
    settlement: &Settlement<'_>,
    challenge: &Challenge,
    remember_browser: bool,
) -> Result<Verified, CodeRefusal> {
    let Settlement {
        app,
        caller,
        context,
        purpose,
        ..
    } = *settlement;
    let user = &context.user;
    let now_ms = app.clock.now_ms();
    let tx = app.database.begin().await?;
    if purpose.binds() {
        // It changes what sign-in asks.
        users::lock(&tx, user.id).await?;
    }
    let step = second_steps::lock(&tx, user.id)
        .await?
        .ok_or(CodeRefusal::NotActive)?;
    if !used_challenges::insert(&tx, &challenge.id, user.id, purpose.word(), now_ms).await? {
        return Err(CodeRefusal::Used);
    }
    if purpose.binds() && !pending_enrolments::take(&tx, challenge, now_ms).await? {
        return Err(CodeRefusal::NoChallenge);
    }
    if purpose.binds() {
        factors::hold_number(&tx, &challenge.number).await?;
        bind::refuse_shared(&tx, app, user.id, &challenge.number).await?;
    }
    succeed(&tx, settlement).await?;
    challenges::clear(&tx, challenge).await?;

    let mut recovery_codes = Vec::new();
    let mut browser_token = None;
    match purpose {
        Purpose::SignIn => {
            if remember_browser {
                browser_token = Some(remember(&tx, settlement).await?);
            }
        }
        Purpose::StepUp => {}
        Purpose::Enrolment => {
            let works = step.active && step.disabled_at.is_none();
            if works && factors::confirmed(&tx, user.id).await?.is_some() {
                return Err(CodeRefusal::NoChallenge);
            }
            if step.is_disabled() {
                bind::enrol_anew(&tx, app, user, challenge).await?;
            }
            bind::replace_number(&tx, app, challenge, EndReason::EnrolledAnew).await?;
            let number = &challenge.number;
            if works {
                // Beside an authenticator app or a passkey, whose recovery codes stay.
                bind::number_added(&tx, app, caller, context, number).await?;
            } else {
                recovery_codes = bind::activate(&tx, app, caller, context, number).await?;
            }
        }
        Purpose::NumberChange => {
            if !step.active || step.disabled_at.is_some() {
                return Err(CodeRefusal::NoChallenge);
            }
            bind::change_number(&tx, app, caller, context, challenge).await?;
        }
    }
    let renewal = Renewal {
        stage: Some(Stage::SignedIn),
        second_factor_at: Some(now_ms),
        assurance: Some(2),
        ..Renewal::default()
    };
    let session_token = session::renew(&tx, app, context, renewal).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(Verified {
        purpose,
        session_token,
        recovery_codes,
        browser_token,
    })
}

/// Ends a right answer of a factor that no SMS was sent for, whose use the transaction has noted: the
/// count is cleared, and the session is through. An SMS that was under way is waited for no more.
pub(super) async fn pass(
    tx: Transaction,
    settlement: &Settlement<'_>,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let Settlement {
        app,
        caller,
        context,
        ..
    } = *settlement;
    let now_ms = app.clock.now_ms();
    succeed(&tx, settlement).await?;
    let challenge = superseded(context)?;
    if let Some(challenge) = &challenge {
        challenges::clear(&tx, challenge).await?;
    }
    let browser_token = if remember_browser && settlement.purpose == Purpose::SignIn {
        Some(remember(&tx, settlement).await?)
    } else {
        None
    };
    let renewal = Renewal {
        stage: Some(Stage::SignedIn),
        second_factor_at: Some(now_ms),
        authenticator_at: Some(now_ms),
        assurance: Some(2),
        ..Renewal::default()
    };
    let session_token = session::renew(&tx, app, context, renewal).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    if let Some(challenge) = challenge {
        otp::cancel(app, caller, &challenge).await;
    }
    Ok(Passed {
        session_token,
        browser_token,
    })
}

/// The count and what it led to are gone, and the success stands in the log.
async fn succeed(tx: &Transaction, settlement: &Settlement<'_>) -> Result<(), StoreError> {
    let user = &settlement.context.user;
    second_steps::clear(tx, user.id).await?;
    if settlement.count >= DISABLED_AT {
        second_steps::undo_disabled(tx, user.id).await?;
    }
    let success = EventDraft::of(settlement.caller, user, "authn_second_factor_success")
        .with("method", settlement.method)
        .with("purpose", settlement.purpose.word());
    events::record(tx, settlement.app, success).await
}

/// Remembers the caller's browser; its token.
async fn remember(tx: &Transaction, settlement: &Settlement<'_>) -> Result<Secret, StoreError> {
    let Settlement {
        app,
        caller,
        context,
        ..
    } = *settlement;
    let user = &context.user;
    let token = new_token(token::BROWSER);
    let now_ms = app.clock.now_ms();
    let life = app.settings.second_step.remember_browser;
    let row = browsers::Model {
        id: clock::new_id(&*app.clock),
        user_id: user.id,
        token_hash: token_hash(token.expose()),
        user_agent: caller.user_agent.clone(),
        client_ip: caller
            .client_ip
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        created_at: now_ms,
        last_used_at: now_ms,
        expires_at: now_ms + life.as_millis() as i64,
    };
    browsers::insert(tx, row).await?;
    let event = EventDraft::of(caller, user, "browser_remembered");
    events::record(tx, app, event).await?;
    let number = factors::confirmed(tx, user.id).await?;
    notices::tell(tx, app, user, Notice::BrowserRemembered, &number).await?;
    Ok(token)
}

/// Anything but a right answer: the attempt stays counted, and what that leads to is told once.
pub(super) async fn settle_wrong(
    settlement: &Settlement<'_>,
    refusal: &CodeRefusal,
) -> Result<(), StoreError> {
    let Settlement {
        app,
        caller,
        context,
        method,
        purpose,
        count,
    } = *settlement;
    let user = &context.user;
    let now = app.clock.now();
    let tx = app.database.begin().await?;
    let step = second_steps::lock(&tx, user.id).await?;
    let failed = EventDraft::of(caller, user, "authn_second_factor_fail")
        .refused(reason(refusal))
        .with("method", method)
        .with("purpose", purpose.word())
        .with("failures", count);
    events::record(&tx, app, failed).await?;
    // Only one attempt had this place in the row. A right answer that came in between has undone
    // what it led to, and then there is nothing to tell.
    let closed = step
        .as_ref()
        .is_some_and(|step| open_to_attempts(step, false, now).is_err());
    let consequence = match app.settings.second_step.lock_rules().consequence(count) {
        Consequence::Disabled if step.as_ref().is_some_and(|step| !step.active) => {
            Consequence::Locked(LONGEST_LOCK)
        }
        consequence => consequence,
    };
    match consequence {
        Consequence::Locked(length) if closed => {
            let event = EventDraft::of(caller, user, "authn_second_factor_lock")
                .with("failures", count)
                .with("seconds", length.as_secs());
            events::record(&tx, app, event).await?;
            tell_closed(&tx, settlement, Notice::SecondStepLocked).await?;
        }
        Consequence::Disabled if closed => {
            let event = EventDraft::of(caller, user, "authn_second_factor_disabled")
                .with("failures", count);
            events::record(&tx, app, event).await?;
            tell_closed(&tx, settlement, Notice::SecondStepDisabled).await?;
            let now_ms = now.as_millisecond();
            let reason = EndReason::TooManyFailures;
            factors::end_all(&tx, user.id, reason, now_ms).await?;
            authenticators::end(&tx, user.id, reason, now_ms).await?;
            // A passkey, which nobody guessed at, works on. One taken away meanwhile does not.
            if passkeys::count(&tx, user.id).await? == 0 {
                second_steps::disable(&tx, user.id, now_ms).await?;
            }
        }
        Consequence::Counted | Consequence::Locked(_) | Consequence::Disabled => {}
    }
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(())
}

async fn tell_closed(
    tx: &Transaction,
    settlement: &Settlement<'_>,
    notice: Notice,
) -> Result<(), StoreError> {
    let Settlement { app, context, .. } = *settlement;
    let number = factors::confirmed(tx, context.user.id).await?;
    notices::tell(tx, app, &context.user, notice, &number).await
}

/// The word for an attempt that was not right, in events and metrics.
pub(super) fn reason(refusal: &CodeRefusal) -> &'static str {
    match refusal {
        CodeRefusal::Locked(_) => "second_factor.locked",
        CodeRefusal::Disabled => "second_factor.disabled",
        CodeRefusal::Wrong { .. } => "code.wrong",
        CodeRefusal::Expired => "code.expired",
        CodeRefusal::Used => "code.used",
        CodeRefusal::Ended => "code.ended",
        CodeRefusal::NoChallenge => "code.none",
        CodeRefusal::AuthenticatorWrong => "authenticator.wrong",
        CodeRefusal::AuthenticatorUsed => "authenticator.used",
        CodeRefusal::PasskeyWrong => "passkey.wrong",
        CodeRefusal::PasskeyCounter => "passkey.counter",
        _ => "code.undecided",
    }
}
