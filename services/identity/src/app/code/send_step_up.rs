//! Sending a code that makes the second factor fresh.

use sallyport_chassis::Caller;

use super::open::open;
use super::refusal::CodeRefusal;
use super::{LiveChallenge, ready_number};
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::challenges::Purpose;

/// Sends a code to the confirmed number, so that a protected action may follow.
#[tracing::instrument(skip_all)]
pub async fn send_step_up_code(
    app: &App,
    caller: &Caller,
    idempotency_key: &str,
) -> Result<LiveChallenge, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let number = ready_number(app, caller, &context.user).await?;
    open(
        app,
        caller,
        &context,
        Purpose::StepUp,
        &number,
        idempotency_key,
    )
    .await
}
