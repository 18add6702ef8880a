//! Moving the factor to another number.

use sallyport_chassis::Caller;

use super::{TwoFactorRefusal, require_both_fresh};
use crate::app::App;
use crate::app::code::open::{open, send_key};
use crate::app::code::{LiveChallenge, ready_number};
use crate::app::session::authenticate;
use crate::store::challenges::Purpose;

/// Sends a code to the new number; the old one works until it is given (rule 9).
#[tracing::instrument(skip_all)]
pub async fn change_number(
    app: &App,
    caller: &Caller,
    number: &str,
    idempotency_key: &str,
) -> Result<LiveChallenge, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    send_key(&context, idempotency_key)?;
    let number = sallyport_phone::parse(number, None)?;
    let confirmed = ready_number(app, caller, &context.user).await?;
    if confirmed == number {
        return Err(TwoFactorRefusal::AlreadyActive);
    }
    require_both_fresh(app, &context)?;
    let live = open(
        app,
        caller,
        &context,
        Purpose::NumberChange,
        &number,
        idempotency_key,
    )
    .await?;
    Ok(live)
}
