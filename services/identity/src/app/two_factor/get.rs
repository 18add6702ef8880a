//! What the user's own page shows of two-factor authentication.

use sallyport_chassis::Caller;
use sallyport_phone::PhoneNumber;

use super::TwoFactorRefusal;
use crate::app::App;
use crate::app::session::authenticate;
use crate::store::challenges::Purpose;
pub use crate::store::passkeys::Model as Passkey;
use crate::store::{
    authenticators, factors, passkeys, pending_enrolments, recovery_codes, second_steps,
};

/// How two-factor authentication stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Sign-in does not ask.
    Off,
    /// Sign-in does not ask, and this session is about to change that.
    Pending,
    /// Sign-in asks.
    Active,
    /// Sign-in asks, and a recovery code gets in, or a mailed link after which a number is enrolled anew.
    Disabled,
}

/// What the user's own page shows.
#[derive(Debug)]
pub struct TwoFactor {
    /// How it stands.
    pub state: State,
    /// The confirmed number.
    pub confirmed_number: Option<PhoneNumber>,
    /// Unused codes of the set.
    pub recovery_codes_left: u32,
    /// Whether it may be switched off.
    pub required_by_policy: bool,
    /// No code is taken before, unix milliseconds.
    pub locked_until: Option<i64>,
    /// When the authenticator app was set up, unix milliseconds.
    pub authenticator_since: Option<i64>,
    /// Passkeys, oldest first.
    pub passkeys: Vec<passkeys::Model>,
}

/// How the caller's two-factor authentication stands.
#[tracing::instrument(skip_all)]
pub async fn get_two_factor(app: &App, caller: &Caller) -> Result<TwoFactor, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let db = app.database.connection();
    let user_id = context.user.id;
    let now_ms = app.clock.now_ms();
    let step = second_steps::find(db, user_id).await?;
    let state = match &step {
        Some(step) if step.active && step.disabled_at.is_some() => State::Disabled,
        Some(step) if step.active => State::Active,
        Some(_) => {
            let pending = pending_enrolments::live(db, user_id, now_ms).await?;
            let ours = pending.is_some_and(|pending| {
                pending.session_id == context.session.id
                    && pending.purpose == Purpose::Enrolment.word()
            });
            if ours { State::Pending } else { State::Off }
        }
        None => State::Off,
    };
    Ok(TwoFactor {
        state,
        confirmed_number: factors::confirmed(db, user_id).await?,
        recovery_codes_left: recovery_codes::left(db, user_id).await?,
        required_by_policy: context.user.two_factor_required,
        locked_until: step
            .and_then(|step| step.locked_until_at)
            .filter(|until| *until > now_ms),
        authenticator_since: authenticators::live(db, user_id)
            .await?
            .map(|app| app.confirmed_at),
        passkeys: passkeys::live(db, user_id).await?,
    })
}
