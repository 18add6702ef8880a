//! A code of the authenticator app instead of the SMS code. An attempt as any other: the user's count,
//! which both share, is taken first; what otp-api does for a code by SMS is done here.

use sallyport_chassis::Caller;
use uuid::Uuid;

use super::refusal::CodeRefusal;
use super::settle::{Passed, Settlement, pass, settle_wrong};
use super::verify::{count, reserve};
use super::{detached, note_closed};
use crate::app::App;
use crate::app::session::{SessionContext, authenticate};
use crate::app::two_factor::authenticator;
use crate::domain::code_input::CodeInput;
use crate::domain::totp::Seed;
use crate::store::challenges::Purpose;
use crate::store::sessions::Stage;
use crate::store::{authenticators, second_steps};

/// The word for these codes in events.
const METHOD: &str = "authenticator";

/// Gives a code of the user's app, at sign-in or as a step-up.
#[tracing::instrument(skip_all)]
pub async fn use_authenticator(
    app: &App,
    caller: &Caller,
    typed: &str,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let code = CodeInput::parse(typed).map_err(|_| CodeRefusal::Format)?;
    let (db, user_id) = (app.database.connection(), context.user.id);
    let step = second_steps::find(db, user_id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    if authenticators::live(db, user_id).await?.is_none() {
        // Where there is nothing to guess, no attempt is taken.
        return Err(if step.is_disabled() {
            CodeRefusal::Disabled
        } else {
            CodeRefusal::NoAuthenticator
        });
    }
    let (app, caller) = (app.clone(), caller.clone());
    detached(async move {
        let answer = attempt(&app, &caller, &context, &code, remember_browser).await;
        count(&answer);
        answer
    })
    .await
}

async fn attempt(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    code: &CodeInput,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let user = &context.user;
    let count = match reserve(app, user.id, false).await {
        Ok(count) => count,
        Err(refusal) => {
            note_closed(app, caller, user, METHOD, &refusal).await;
            return Err(refusal);
        }
    };
    let settlement = Settlement {
        app,
        caller,
        context,
        method: METHOD,
        purpose: match context.session.stage {
            Stage::AwaitingSecondFactor => Purpose::SignIn,
            Stage::SignedIn => Purpose::StepUp,
        },
        count,
    };
    let refusal = match decide(app, user.id, code).await {
        Ok(Some(right)) => match settle_right(&settlement, &right, remember_browser).await {
            Err(refusal @ CodeRefusal::AuthenticatorUsed) => refusal,
            settled => return settled,
        },
        Ok(None) => CodeRefusal::AuthenticatorWrong,
        Err(refusal) => refusal,
    };
    settle_wrong(&settlement, &refusal).await?;
    Err(refusal)
}

/// A code that is right now.
struct Right {
    row_id: Uuid,
    seed: Seed,
    step: i64,
}

/// Whether the code is one that the user's app may show now. Whether it was given before is decided
/// where it has its effect.
async fn decide(app: &App, user_id: Uuid, code: &CodeInput) -> Result<Option<Right>, CodeRefusal> {
    let row = authenticators::live(app.database.connection(), user_id)
        .await?
        .ok_or(CodeRefusal::NoAuthenticator)?;
    let seed = authenticator::open(app, &row)?;
    let step = seed.matching_step(code, app.clock.now().as_second());
    Ok(step.map(|step| Right {
        row_id: row.id,
        seed,
        step,
    }))
}

/// A right code: its step is used up, the count is cleared, and the session is through; all or
/// nothing.
async fn settle_right(
    settlement: &Settlement<'_>,
    right: &Right,
    remember_browser: bool,
) -> Result<Passed, CodeRefusal> {
    let Settlement { app, context, .. } = *settlement;
    let user_id = context.user.id;
    let tx = app.database.begin().await?;
    second_steps::lock(&tx, user_id)
        .await?
        .filter(|step| step.active)
        .ok_or(CodeRefusal::NotActive)?;
    let (sealed, key) = authenticator::seal(app, user_id, right.row_id, &right.seed);
    if !authenticators::take_step(&tx, right.row_id, right.step, sealed, &key).await? {
        return Err(CodeRefusal::AuthenticatorUsed);
    }
    pass(tx, settlement, remember_browser).await
}
