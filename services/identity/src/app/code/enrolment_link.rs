//! The mailed link with which a disabled factor is enrolled anew. With the password it stands where a
//! recovery code would: it opens enrolment in one session, and only the code to the new number ends
//! the sign-in. Where a mailed link has set that password, too, and no second factor was right since,
//! the mailbox would be all that is asked, and the link is refused.

use std::time::Duration;

use sallyport_chassis::{Caller, Secret, clock};
use sallyport_proto::otp::v1::Notice as SmsNotice;
use sallyport_sql::{Transaction, commit};
use uuid::Uuid;

use super::refusal::CodeRefusal;
use super::remaining;
use crate::app::App;
use crate::app::events::{self, EventDraft};
use crate::app::mail::{self, MailJob};
use crate::app::notices;
use crate::app::session::{self, Renewal, authenticate};
use crate::domain::token;
use crate::store::links::{self, Purpose};
use crate::store::sessions::Stage;
use crate::store::{factors, second_steps, users};

const HOUR: Duration = Duration::from_secs(3600);

/// Mails the link. Only where the factor is disabled: while codes work, the mailbox is no way around
/// them. An earlier link ends.
#[tracing::instrument(skip_all)]
pub async fn send(app: &App, caller: &Caller) -> Result<(), CodeRefusal> {
    let context = authenticate(app, caller).await?;
    if context.session.stage != Stage::AwaitingSecondFactor {
        return Err(CodeRefusal::AlreadySignedIn);
    }
    let user = &context.user;
    let settings = &app.settings.links;
    let now = app.clock.now();
    let now_ms = now.as_millisecond();
    let tx = app.database.begin().await?;
    hold_disabled(&tx, user.id).await?;
    let full = links::full_since(
        &tx,
        user.id,
        Purpose::Enrolment,
        settings.resets_per_hour,
        now_ms - HOUR.as_millis() as i64,
    )
    .await?;
    if let Some(oldest) = full {
        let reopens = oldest + HOUR.as_millis() as i64;
        return Err(CodeRefusal::LinkLimit(remaining(reopens, now)));
    }
    links::end_all(&tx, user.id, Some(Purpose::Enrolment), now_ms).await?;
    let link_id = clock::new_id(&*app.clock);
    links::insert(
        &tx,
        links::Model {
            id: link_id,
            user_id: user.id,
            purpose: Purpose::Enrolment,
            handed_hash: None,
            mailed_hash: None,
            idempotency_key: None,
            created_at: now_ms,
            expires_at: now_ms + settings.reset.as_millis() as i64,
            used_at: None,
        },
    )
    .await?;
    mail::put(&tx, app, &MailJob::Link { link_id }).await?;
    let number = factors::disabled(&tx, user.id).await?;
    notices::tell_by_sms(&tx, app, user, SmsNotice::EnrolmentLink, &number).await?;
    let event = EventDraft::of(caller, user, "two_factor_link_requested");
    events::record(&tx, app, event).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(())
}

/// Uses the link in the caller's session, which from then on may enrol; returns its new token. The
/// count of wrong codes starts anew, once a link: what it guarded is gone.
#[tracing::instrument(skip_all)]
pub async fn take(app: &App, caller: &Caller, link_token: &Secret) -> Result<Secret, CodeRefusal> {
    let context = authenticate(app, caller).await?;
    if context.session.stage != Stage::AwaitingSecondFactor {
        return Err(CodeRefusal::AlreadySignedIn);
    }
    let user = &context.user;
    let hash = token::hash_of(token::LINK, link_token.expose()).ok_or(CodeRefusal::LinkInvalid)?;
    let now_ms = app.clock.now_ms();
    let tx = app.database.begin().await?;
    hold_disabled(&tx, user.id).await?;
    let link = links::find_open(&tx, &hash, now_ms)
        .await?
        .filter(|link| link.user_id == user.id && link.purpose == Purpose::Enrolment)
        .ok_or(CodeRefusal::LinkInvalid)?;
    if !links::take(&tx, link.id, &hash, now_ms).await? {
        return Err(CodeRefusal::LinkInvalid);
    }
    second_steps::clear(&tx, user.id).await?;
    let event = EventDraft::of(caller, user, "two_factor_link_used");
    events::record(&tx, app, event).await?;
    let renewal = Renewal {
        enrols_anew: true,
        ..Renewal::default()
    };
    let session_token = session::renew(&tx, app, &context, renewal).await?;
    commit(tx).await?;
    app.outbox_wake.notify_one();
    Ok(session_token)
}

/// Holds the rows of the user and of his second step, in the order of everybody who holds both, and
/// refuses unless the link may stand in for the factor.
async fn hold_disabled(tx: &Transaction, user_id: Uuid) -> Result<(), CodeRefusal> {
    users::lock(tx, user_id).await?;
    let step = second_steps::lock(tx, user_id)
        .await?
        .filter(second_steps::Model::is_disabled)
        .ok_or(CodeRefusal::NotDisabled)?;
    match step.password_mailed_at {
        None => Ok(()),
        Some(_) => Err(CodeRefusal::PasswordByMail),
    }
}
