//! A passkey instead of the SMS code. It cannot be guessed, relayed or read out: it takes no attempt,
//! and neither a lock nor a hundred wrong codes keep it out.

use sallyport_chassis::Caller;
use sallyport_sql::StoreError;

use super::ceremony::{self, Begun, METHOD};
use super::detached;
use super::refusal::CodeRefusal;
use super::settle::{Passed, Settlement, pass, reason};
use super::verify::count;
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::relying_party::{Assertion, Unfit};
use crate::app::session::{SessionContext, authenticate};
use crate::domain::mail_text::Notice;
use crate::store::challenges::Purpose;
use crate::store::passkey_ceremonies::Kind;
use crate::store::passkeys::{self, Use};
use crate::store::sessions::Stage;
use crate::store::{factors, second_steps};

/// Asks for one of the user's passkeys, at sign-in or as a step-up.
#[tracing::instrument(skip_all)]
pub async fn begin(app: &App, caller: &Caller) -> Result<Begun, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let relying_party = ceremony::relying_party(app)?;
    let known = of_active(app, &context).await?;
    ceremony::reserve(app, caller, &context).await?;
    let prepared = relying_party.begin_assertion(&known)?;
    ceremony::begin(app, &context, Kind::Assertion, prepared).await
}

/// The user's passkeys, where sign-in asks for a second factor and there are any.
async fn of_active(
    app: &App,
    context: &SessionContext,
) -> Result<Vec<passkeys::Model>, CodeRefusal> {
    let (db, user_id) = (app.database.connection(), context.user.id);
    second_steps::find(db, user_id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let known = passkeys::live(db, user_id).await?;
    if known.is_empty() {
        return Err(CodeRefusal::NoPasskey);
    }
    Ok(known)
}

/// Gives what the browser answered.
#[tracing::instrument(skip_all)]
pub async fn use_passkey(
    app: &App,
    caller: &Caller,
    ceremony_id: &str,
    credential: &str,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let assertion = Assertion::parse(credential).ok_or(CodeRefusal::PasskeyFormat)?;
    ceremony::relying_party(app)?;
    of_active(app, &context).await?;
    let state = ceremony::take(app, &context, ceremony_id, Kind::Assertion).await?;
    let (app, caller) = (app.clone(), caller.clone());
    detached(async move {
        let settlement = Settlement {
            app: &app,
            caller: &caller,
            context: &context,
            method: METHOD,
            purpose: match context.session.stage {
                Stage::AwaitingSecondFactor => Purpose::SignIn,
                Stage::SignedIn => Purpose::StepUp,
            },
            count: 0,
        };
        let answer = attempt(&settlement, &state, &assertion, remember_browser).await;
        count(&answer);
        answer
    })
    .await
}

async fn attempt(
    settlement: &Settlement<'_>,
    state: &str,
    assertion: &Assertion,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let Settlement { app, context, .. } = *settlement;
    let user_id = context.user.id;
    let known = passkeys::live(app.database.connection(), user_id).await?;
    let named = assertion.credential_id();
    // One that was taken away since it was asked for is not the user's any more.
    let found = known.iter().find(|known| known.credential_id == named);
    let relying_party = ceremony::relying_party(app)?;
    let refusal = match (found, relying_party.check(state, user_id, assertion)) {
        (Some(passkey), Ok(used)) => {
            match settle_right(settlement, passkey, used, remember_browser).await {
                Err(refusal @ CodeRefusal::PasskeyCounter) => refusal,
                settled => return settled,
            }
        }
        (Some(_), Err(Unfit::CounterBack)) => CodeRefusal::PasskeyCounter,
        (_, Err(Unfit::Store(error))) => return Err(error.into()),
        (None, _) | (_, Err(Unfit::Wrong)) => CodeRefusal::PasskeyWrong,
    };
    settle_wrong(settlement, found, &refusal).await?;
    Err(refusal)
}

/// A right answer: the counter goes on, the count of wrong codes is cleared, and the session is
/// through; all or nothing.
async fn settle_right(
    settlement: &Settlement<'_>,
    passkey: &passkeys::Model,
    used: Use,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let Settlement { app, context, .. } = *settlement;
    let user_id = context.user.id;
    let tx = app.database.begin().await?;
    second_steps::lock(&tx, user_id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    if !passkeys::note_use(&tx, passkey.id, used, app.clock.now_ms()).await? {
        // Taken away just now, or the counter stood still between two answers at once.
        let live = passkeys::live(&tx, user_id).await?;
        return Err(if live.iter().any(|live| live.id == passkey.id) {
            CodeRefusal::PasskeyCounter
        } else {
            CodeRefusal::NoPasskey
        });
    }
    second_steps::clear_ceremonies(&tx, user_id).await?;
    pass(tx, settlement, remember_browser).await
}

/// A wrong answer is an entry in the user's log. One whose counter went back was signed by his passkey
/// or by a copy of it, so he is told, too.
async fn settle_wrong(
    settlement: &Settlement<'_>,
    passkey: Option<&passkeys::Model>,
    refusal: &CodeRefusal,
) -> Result<(), StoreError> {
    let Settlement {
        app,
        caller,
        context,
        method,
        purpose,
        ..
    } = *settlement;
    let user = &context.user;
    let tx = app.database.begin().await?;
    let mut failed = EventDraft::of(caller, user, "authn_second_factor_fail")
        .refused(reason(refusal))
        .with("method", method)
        .with("purpose", purpose.word());
    if let Some(passkey) = passkey {
        failed = failed.with("passkey_id", passkey.id);
    }
    events::record(&tx, app, failed).await?;
    if matches!(refusal, CodeRefusal::PasskeyCounter) {
        let number = factors::confirmed(&tx, user.id).await?;
        notices::tell(&tx, app, user, Notice::PasskeyCopied, &number).await?;
    }
    tx.commit().await?;
    app.outbox_wake.notify_one();
    Ok(())
}
