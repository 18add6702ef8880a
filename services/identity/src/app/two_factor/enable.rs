//! Ticking the box.

use sallyport_chassis::{Caller, Secret};
use sallyport_phone::PhoneNumber;
use sallyport_sql::commit;

use super::{TwoFactorRefusal, bind, require_both_fresh};
use crate::app::App;
use crate::app::code::open::{open, send_key};
use crate::app::code::{LiveChallenge, require_open};
use crate::app::session::{self, Renewal, SessionContext, SessionRefusal, authenticate};
use crate::store::challenges::Purpose;
use crate::store::{factors, pending_enrolments, second_steps, users};

/// What ticking the box led to.
#[derive(Debug)]
pub enum Enabled {
    /// A code went to the number; it is pending until that is given.
    Pending(Box<LiveChallenge>),
    /// The number was confirmed and unchanged: active now.
    Active {
        /// Ten codes, shown once.
        recovery_codes: Vec<Secret>,
        /// Replaces the token that the call came with.
        session_token: Secret,
    },
}

/// Switches two-factor authentication on: at once where the number is confirmed and unchanged
/// (rule 7), else after a code (rule 6). A disabled factor is enrolled anew this way, which needs
/// the recovery code that got the user in, or a mailed link (`UseEnrolmentLink`).
#[tracing::instrument(skip_all)]
pub async fn enable_two_factor(
    app: &App,
    caller: &Caller,
    number: &str,
    idempotency_key: &str,
) -> Result<Enabled, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_may_enrol()?;
    send_key(&context, idempotency_key)?;
    let number = sallyport_phone::parse(number, None)?;
    let db = app.database.connection();
    let now = app.clock.now();
    let user_id = context.user.id;
    match second_steps::find(db, user_id).await? {
        Some(step) if step.active && step.disabled_at.is_none() => {
            if factors::confirmed(db, user_id).await?.is_some() {
                return Err(TwoFactorRefusal::AlreadyActive);
            }
            // A number beside the authenticator app or a passkey.
            context.require_signed_in()?;
            require_both_fresh(app, &context)?;
            require_open(app, caller, &context.user, &step, true).await?;
        }
        Some(step) if step.active => {
            // The link stood for the factor that a signed-in session has to give.
            if context.enrols_anew() {
                context.require_password_fresh(now)?;
            } else {
                require_both_fresh(app, &context)?;
            }
            require_open(app, caller, &context.user, &step, true).await?;
        }
        _ if context.enrols_anew() => return Err(SessionRefusal::SecondFactorRequired.into()),
        found => {
            context.require_password_fresh(now)?;
            if factors::confirmed(db, user_id).await?.as_ref() == Some(&number) {
                return activate_at_once(app, caller, &context, &number).await;
            }
            if let Some(step) = found {
                require_open(app, caller, &context.user, &step, true).await?;
            }
        }
    }
    second_steps::ensure(db, user_id).await?;
    let live = open(
        app,
        caller,
        &context,
        Purpose::Enrolment,
        &number,
        idempotency_key,
    )
    .await?;
    Ok(Enabled::Pending(Box::new(live)))
}

async fn activate_at_once(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    number: &PhoneNumber,
) -> Result<Enabled, TwoFactorRefusal> {
    let tx = app.database.begin().await?;
    users::lock(&tx, context.user.id).await?;
    let step = second_steps::lock(&tx, context.user.id).await?;
    if step.is_none_or(|step| step.active) {
        return Err(TwoFactorRefusal::AlreadyActive);
    }
    pending_enrolments::drop_of_user(&tx, context.user.id).await?;
    // What was guessed at other numbers while nothing was active does not count for this one.
    second_steps::clear(&tx, context.user.id).await?;
    let recovery_codes = bind::activate(&tx, app, caller, context, number).await?;
    let session_token = session::renew(&tx, app, context, Renewal::default()).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(Enabled::Active {
        recovery_codes,
        session_token,
    })
}
