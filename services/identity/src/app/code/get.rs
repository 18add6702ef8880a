//! How far the session's challenge is.

use sallyport_chassis::Caller;

use super::refusal::CodeRefusal;
use super::{LiveChallenge, otp};
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::challenges;

/// The live challenge of the session.
#[tracing::instrument(skip_all)]
pub async fn get_challenge(app: &App, caller: &Caller) -> Result<LiveChallenge, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let challenge = challenges::of(&context.session)?.ok_or(CodeRefusal::NoChallenge)?;
    otp::get(app, caller, &challenge).await
}
