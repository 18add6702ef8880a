//! Opening a challenge for a session.

use sallyport_chassis::{Caller, IdempotencyKey, clock};
use sallyport_phone::PhoneNumber;
use sallyport_sql::{commit, roll_back};

use super::refusal::CodeRefusal;
use super::{LiveChallenge, note_unsent, otp};
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::session::{SessionContext, SessionRefusal};
use crate::app::two_factor::bind;
use crate::store::challenges::{self, Challenge, Purpose, Stored};
use crate::store::pending_enrolments;

/// A pending number is dropped after this long, whatever otp-api says: the ceiling of NIST SP
/// 800-63B-4, 3.1.3.2.
const LONGEST_PENDING_MS: i64 = 600_000;

/// The key under which otp-api finds a repeated send: callers' keys are their sessions' own.
pub(crate) fn send_key(context: &SessionContext, key: &str) -> Result<String, CodeRefusal> {
    let key = IdempotencyKey::parse(key)?;
    Ok(key.owned_by(context.session.id).into_string())
}

/// Sends a code and makes its challenge the session's only one; for a purpose that binds a number,
/// also the user's only pending one. What was there before ends.
pub(crate) async fn open(
    app: &App,
    caller: &Caller,
    context: &SessionContext,
    purpose: Purpose,
    number: &PhoneNumber,
    idempotency_key: &str,
) -> Result<LiveChallenge, CodeRefusal> {
    let key = send_key(context, idempotency_key)?;
    let user = &context.user;
    let mut challenge = Challenge {
        id: String::new(),
        purpose,
        user_id: user.id,
        session_id: context.session.id,
        number: number.clone(),
    };
    if purpose.binds() {
        bind::refuse_shared(app.database.connection(), app, user.id, number).await?;
    }
    let trusted = !purpose.binds() || is_trusted_enrolment(app, context, &challenge).await?;
    let live = match otp::create(app, caller, user, &challenge, key, trusted).await {
        Ok(live) => live,
        Err(refusal) => {
            note_unsent(app, caller, user, &refusal).await;
            return Err(refusal);
        }
    };
    challenge.id.clone_from(&live.state.challenge_id);

    // The order in which rows are locked is the same everywhere: user, second step, pending,
    // session.
    let now = app.clock.now_ms();
    let expires_at = live
        .state
        .expires_at
        .as_ref()
        .and_then(clock::from_proto)
        .map_or(now, |at| at.as_millisecond())
        .min(now + LONGEST_PENDING_MS);
    let tx = app.database.begin().await?;
    let mut ended = Vec::new();
    if purpose.binds() {
        let row = pending_enrolments::Model {
            user_id: user.id,
            session_id: context.session.id,
            challenge_id: challenge.id.clone(),
            purpose: purpose.word().into(),
            number: number.e164().into(),
            trusted,
            expires_at,
        };
        if let Some(before) = pending_enrolments::put(&tx, row).await? {
            ended.push(before);
        }
    } else {
        pending_enrolments::drop_of_session(&tx, user.id, context.session.id).await?;
    }
    let Stored::Displaced(before) = challenges::put(&tx, &challenge, expires_at).await? else {
        roll_back(tx).await?;
        otp::cancel(app, caller, &challenge).await;
        return Err(SessionRefusal::Expired.into());
    };
    ended.extend(before);
    let repeated = ended.iter().any(|before| before.id == challenge.id);
    if !repeated {
        let event = EventDraft::of(caller, user, "code_sent")
            .with("purpose", purpose.word())
            .with("number_ending", number.last_two());
        events::record(&tx, app, event).await?;
        if purpose == Purpose::Enrolment {
            let event = EventDraft::of(caller, user, "two_factor_pending")
                .with("number_ending", number.last_two());
            events::record(&tx, app, event).await?;
        }
    }
    commit(tx).await?;
    app.outbox_wake.notify_one();

    ended.retain(|before| before.id != challenge.id);
    ended.dedup();
    for before in ended {
        otp::cancel(app, caller, &before).await;
    }
    Ok(live)
}

/// A licensed user's one live enrolment counts by number and user only. A repeated send of it keeps
/// what was decided, since the same key wants the same body.
async fn is_trusted_enrolment(
    app: &App,
    context: &SessionContext,
    wanted: &Challenge,
) -> Result<bool, CodeRefusal> {
    let db = app.database.connection();
    let live = pending_enrolments::live(db, context.user.id, app.clock.now_ms()).await?;
    Ok(match live {
        None => context.user.licensed,
        Some(row) => {
            row.trusted
                && row.session_id == wanted.session_id
                && row.purpose == wanted.purpose.word()
                && row.number == wanted.number.e164()
        }
    })
}
