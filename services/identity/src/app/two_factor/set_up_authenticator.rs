//! Setting an authenticator app up, in two steps: the seed is made and shown, and a code proves that
//! the app has it. Between them nothing is stored: the session holds the seed, sealed.

use jiff::Timestamp;
use sallyport_chassis::{Caller, Secret, clock};
use sallyport_sql::commit;

use super::{TwoFactorRefusal, authenticator, bind, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::code_input::CodeInput;
use crate::domain::mail_text::Notice;
use crate::domain::totp::Seed;
use crate::store::factors::EndReason;
use crate::store::{authenticators, browsers, factors, second_steps, users};

/// How long there is between the two steps.
const LONGEST_MS: i64 = 600_000;

/// What the app is set up with.
#[derive(Debug)]
pub struct Begun {
    /// The seed, in base 32.
    pub secret: Secret,
    /// The same, sealed for this session.
    pub enrolment: Secret,
    /// The end of the time to prove it.
    pub expires_at: Timestamp,
}

/// Makes a seed. It asks for what binding a factor asks for: the password, and where there is a
/// factor, that.
#[tracing::instrument(skip_all)]
pub async fn begin(app: &App, caller: &Caller) -> Result<Begun, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let now = app.clock.now();
    let step = second_steps::find(app.database.connection(), context.user.id).await?;
    match step.filter(|step| step.active) {
        Some(step) => {
            require_both_fresh(app, &context)?;
            require_settled_number(app, caller, &context, &step).await?;
        }
        None => context.require_password_fresh(now)?,
    }
    let mut random = [0; _];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let seed = Seed::from_random(random);
    let until_ms = now.as_millisecond() + LONGEST_MS;
    Ok(Begun {
        secret: seed.base32(),
        enrolment: authenticator::begin(app, &context, &seed, until_ms),
        expires_at: clock::from_ms(until_ms),
    })
}

/// What a right code gave.
#[derive(Debug)]
pub struct Confirmed {
    /// Replaces the token that the call came with.
    pub session_token: Secret,
    /// Ten codes, where this switched two-factor authentication on.
    pub recovery_codes: Vec<Secret>,
}

/// Binds the app. A wrong code is not counted: whoever gives it was told the seed, so there is
/// nothing to guess.
#[tracing::instrument(skip_all)]
pub async fn confirm(
    app: &App,
    caller: &Caller,
    enrolment: &Secret,
    typed: &str,
) -> Result<Confirmed, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let code = CodeInput::parse(typed).map_err(|_| CodeRefusal::Format)?;
    let now = app.clock.now();
    let now_ms = now.as_millisecond();
    let seed = authenticator::begun(app, &context, enrolment, now)
        .ok_or(TwoFactorRefusal::EnrolmentEnded)?;
    let last_step = seed
        .matching_step(&code, now.as_second())
        .ok_or(CodeRefusal::AuthenticatorWrong)?;
    let user = &context.user;
    let tx = app.database.begin().await?;
    users::lock(&tx, user.id).await?;
    second_steps::ensure(&tx, user.id).await?;
    let step = second_steps::lock(&tx, user.id)
        .await?
        .ok_or(CodeRefusal::NotActive)?;
    let number = factors::confirmed(&tx, user.id).await?;
    let replaced = authenticators::end(&tx, user.id, EndReason::Replaced, now_ms).await?;
    let id = clock::new_id(&*app.clock);
    let (sealed, seed_key) = authenticator::seal(app, user.id, id, &seed);
    let row = authenticators::Model {
        id,
        user_id: user.id,
        seed: sealed,
        seed_key,
        last_step,
        confirmed_at: now_ms,
        ended_at: None,
        end_reason: None,
    };
    authenticators::insert(&tx, row).await?;
    let mut recovery_codes = Vec::new();
    let works = step.active && step.disabled_at.is_none();
    if !works {
        recovery_codes =
            bind::activate_without_number(&tx, app, caller, user, "authenticator").await?;
    }
    browsers::drop_all(&tx, user.id).await?;
    session::end_others(&tx, app, caller, &context).await?;
    let event = EventDraft::of(caller, user, "authenticator_added").with("replaced", replaced);
    events::record(&tx, app, event).await?;
    let notice = if works {
        Notice::AuthenticatorAdded
    } else {
        Notice::TwoFactorEnabled
    };
    notices::tell(&tx, app, user, notice, &number).await?;
    let renewal = Renewal {
        second_factor_at: Some(now_ms),
        authenticator_at: Some(now_ms),
        assurance: Some(2),
        ..Renewal::default()
    };
    let session_token = session::renew(&tx, app, &context, renewal).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(Confirmed {
        session_token,
        recovery_codes,
    })
}
