//! Which factors a session's second step can be made with.

use sallyport_chassis::Caller;

use crate::app::App;
use crate::app::session::{SessionRefusal, authenticate};
use crate::store::{authenticators, factors, passkeys, second_steps};

/// The ways of the second step besides recovery codes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// The last two digits of the number that codes go to, where one is confirmed.
    pub number_ending: Option<String>,
    /// Whether an authenticator app is set up.
    pub authenticator: bool,
    /// Whether there is a passkey.
    pub passkey: bool,
    /// No factor works, and one has to be enrolled anew.
    pub disabled: bool,
}

/// The factors of the caller, who is past the password at least.
#[tracing::instrument(skip_all)]
pub async fn list(app: &App, caller: &Caller) -> Result<Factors, SessionRefusal> {
    let context = authenticate(app, caller).await?;
    let (db, user_id) = (app.database.connection(), context.user.id);
    let Some(step) = second_steps::find(db, user_id)
        .await?
        .filter(|step| step.active)
    else {
        return Ok(Factors::default());
    };
    if step.disabled_at.is_some() {
        return Ok(Factors {
            disabled: true,
            ..Factors::default()
        });
    }
    let number = factors::confirmed(db, user_id).await?;
    Ok(Factors {
        number_ending: number.map(|number| number.last_two().to_owned()),
        authenticator: authenticators::live(db, user_id).await?.is_some(),
        passkey: app.relying_party.is_some() && passkeys::count(db, user_id).await? > 0,
        disabled: false,
    })
}
