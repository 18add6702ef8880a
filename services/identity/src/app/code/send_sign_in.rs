//! Sending the code of the sign-in.

use sallyport_chassis::Caller;

use super::open::open;
use super::refusal::CodeRefusal;
use super::{LiveChallenge, ready_number};
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::challenges::Purpose;
use crate::store::sessions::Stage;

/// Sends the code of the sign-in to the confirmed number.
#[tracing::instrument(skip_all)]
pub async fn send_sign_in_code(
    app: &App,
    caller: &Caller,
    idempotency_key: &str,
) -> Result<LiveChallenge, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    if context.session.stage != Stage::AwaitingSecondFactor {
        return Err(CodeRefusal::AlreadySignedIn);
    }
    let number = ready_number(app, caller, &context.user).await?;
    open(
        app,
        caller,
        &context,
        Purpose::SignIn,
        &number,
        idempotency_key,
    )
    .await
}
