//! Sending the same code again.

use sallyport_chassis::{Caller, clock};

use super::open::send_key;
use super::refusal::CodeRefusal;
use super::{LiveChallenge, note_unsent, otp, require_open};
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::session::authenticate;
use crate::store::challenges::{self, Purpose};
use crate::store::{pending_enrolments, second_steps};

/// Sends the code of the live challenge again. What has been counted against the user stays.
#[tracing::instrument(skip_all)]
pub async fn resend_code(
    app: &App,
    caller: &Caller,
    idempotency_key: &str,
) -> Result<LiveChallenge, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    let key = send_key(&context, idempotency_key)?;
    let user = &context.user;
    let challenge = challenges::of(&context.session)?.ok_or(CodeRefusal::NoChallenge)?;
    let db = app.database.connection();
    if let Some(row) = second_steps::find(db, user.id).await? {
        let enrolling = challenge.purpose == Purpose::Enrolment;
        require_open(app, caller, user, &row, enrolling).await?;
    }
    let trusted = if challenge.purpose.binds() {
        pending_enrolments::live(db, user.id, app.clock.now_ms())
            .await?
            .filter(|pending| pending.challenge_id == challenge.id)
            .ok_or(CodeRefusal::NoChallenge)?
            .trusted
    } else {
        true
    };
    let live = match otp::resend(app, caller, user, &challenge, key, trusted).await {
        Ok(live) => live,
        Err(refusal) => {
            note_unsent(app, caller, user, &refusal).await;
            return Err(refusal);
        }
    };
    let event = EventDraft::of(caller, user, "code_resent")
        .with("purpose", challenge.purpose.word())
        .with("number_ending", challenge.number.last_two());
    // A repeated call made no other message. Each message moves the instant at which the next one may
    // be asked for, so that names it.
    let resend_at = live.state.resend_at.as_ref().and_then(clock::from_proto);
    let at_ms = resend_at.map_or_else(|| app.clock.now_ms(), |at| at.as_millisecond());
    let id = clock::id_of(at_ms, &[&challenge.id, "code_resent"]);
    events::record_once(db, app, id, event).await?;
    app.outbox_wake.notify_one();
    Ok(live)
}
