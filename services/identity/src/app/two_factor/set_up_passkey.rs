//! Registering a passkey, in two steps: an authenticator is asked to make one, and what it made is
//! bound. A user may have several, so that a lost device is not the last one.

use sallyport_chassis::{Caller, Secret, clock};
use sallyport_sql::StoreError;

use super::{TwoFactorRefusal, bind, require_both_fresh, require_settled_number};
use crate::app::App;
use crate::app::code::ceremony::{self, Begun, METHOD};
use crate::app::code::refusal::CodeRefusal;
use crate::app::events::{self, EventDraft};
use crate::app::notices;
use crate::app::relying_party::{Attestation, Unfit};
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::mail_text::Notice;
use crate::domain::passkey_name::PasskeyName;
use crate::store::passkey_ceremonies::Kind;
use crate::store::{browsers, factors, passkeys, second_steps, users};

/// Asks for a passkey. It asks for what binding a factor asks for: the password, and where there is a
/// factor, that.
#[tracing::instrument(skip_all)]
pub async fn begin(app: &App, caller: &Caller) -> Result<Begun, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let relying_party = ceremony::relying_party(app)?;
    let (db, user) = (app.database.connection(), &context.user);
    let step = second_steps::find(db, user.id).await?;
    match step.filter(|step| step.active) {
        Some(step) => {
            require_both_fresh(app, &context)?;
            require_settled_number(app, caller, &context, &step).await?;
        }
        None => context.require_password_fresh(app.clock.now())?,
    }
    let known = passkeys::live(db, user.id).await?;
    refuse_more(app, known.len() as u64)?;
    second_steps::ensure(db, user.id).await?;
    ceremony::reserve(app, caller, &context).await?;
    let prepared = relying_party.begin_registration(user, &known)?;
    Ok(ceremony::begin(app, &context, Kind::Registration, prepared).await?)
}

fn refuse_more(app: &App, count: u64) -> Result<(), TwoFactorRefusal> {
    let most = app.settings.passkeys.per_user;
    if count < most {
        Ok(())
    } else {
        Err(TwoFactorRefusal::TooManyPasskeys { most })
    }
}

/// What a passkey gave.
#[derive(Debug)]
pub struct Confirmed {
    /// Replaces the token that the call came with.
    pub session_token: Secret,
    /// Ten codes, where this switched two-factor authentication on.
    pub recovery_codes: Vec<Secret>,
}

/// Binds the passkey that the authenticator made, beside those that were bound before.
#[tracing::instrument(skip_all)]
pub async fn confirm(
    app: &App,
    caller: &Caller,
    ceremony_id: &str,
    credential: &str,
    name: &str,
) -> Result<Confirmed, TwoFactorRefusal> {
    let context = authenticate(app, caller).await?;
    context.require_signed_in()?;
    let name = PasskeyName::parse(name).map_err(|_| TwoFactorRefusal::PasskeyName)?;
    let attestation = Attestation::parse(credential).ok_or(CodeRefusal::PasskeyFormat)?;
    let relying_party = ceremony::relying_party(app)?;
    let state = ceremony::take(app, &context, ceremony_id, Kind::Registration).await?;
    let registered = match relying_party.register(&state, &attestation) {
        Ok(registered) => registered,
        Err(Unfit::Store(error)) => return Err(error.into()),
        Err(Unfit::Wrong | Unfit::CounterBack) => return Err(CodeRefusal::PasskeyWrong.into()),
    };
    let user = &context.user;
    let now_ms = app.clock.now_ms();
    let tx = app.database.begin().await?;
    users::lock(&tx, user.id).await?;
    second_steps::ensure(&tx, user.id).await?;
    let step = second_steps::lock(&tx, user.id)
        .await?
        .ok_or(CodeRefusal::NotActive)?;
    refuse_more(app, passkeys::count(&tx, user.id).await?)?;
    let number = factors::confirmed(&tx, user.id).await?;
    let id = clock::new_id(&*app.clock);
    let row = passkeys::Model {
        id,
        user_id: user.id,
        credential_id: registered.credential_id,
        credential: registered.credential,
        name: name.as_str().to_owned(),
        sign_count: registered.first.sign_count,
        backup_eligible: registered.first.backup_eligible,
        backed_up: registered.first.backed_up,
        created_at: now_ms,
        last_used_at: None,
        ended_at: None,
        end_reason: None,
    };
    if !passkeys::insert(&tx, row).await? {
        return Err(TwoFactorRefusal::PasskeyKnown);
    }
    second_steps::clear_ceremonies(&tx, user.id).await?;
    let mut recovery_codes = Vec::new();
    let works = step.active && step.disabled_at.is_none();
    if !works {
        recovery_codes = bind::activate_without_number(&tx, app, caller, user, METHOD).await?;
    }
    browsers::drop_all(&tx, user.id).await?;
    session::end_others(&tx, app, caller, &context).await?;
    let event = EventDraft::of(caller, user, "passkey_added")
        .with("passkey_id", id)
        .with("backup_eligible", registered.first.backup_eligible);
    events::record(&tx, app, event).await?;
    let notice = if works {
        Notice::PasskeyAdded
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
    tx.commit().await.map_err(StoreError::from)?;
    app.outbox_wake.notify_one();
    Ok(Confirmed {
        session_token,
        recovery_codes,
    })
}
