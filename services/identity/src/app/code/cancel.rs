//! Dropping the session's challenge.

use sallyport_chassis::Caller;
use sallyport_sql::commit;

use super::otp;
use super::refusal::CodeRefusal;
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::{challenges, pending_enrolments};

/// Drops the live challenge, and with it a pending enrolment. Repeating is harmless.
#[tracing::instrument(skip_all)]
pub async fn cancel_challenge(app: &App, caller: &Caller) -> Result<(), CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let Some(challenge) = challenges::of(&context.session)? else {
        return Ok(());
    };
    let tx = app.database.begin().await?;
    pending_enrolments::drop_of_session(&tx, context.user.id, context.session.id).await?;
    challenges::clear(&tx, &challenge).await?;
    commit(tx).await?;
    otp::cancel(app, caller, &challenge).await;
    Ok(())
}
