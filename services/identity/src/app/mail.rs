//! Mail by way of the outbox: what is to be said lies there, and the words, and the token of a link,
//! are made when it is sent. So no token lies in the outbox, and asking for a reset does the same
//! work whether or not the address is known.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use sallyport_chassis::keyring::{new_token, token_hash};
use sallyport_chassis::{Secret, clock};
use sallyport_proto::admin::v1::EventResult;
use sallyport_sql::outbox::{self, Relay, Row};
use sallyport_sql::{Connection, StoreError, Transaction, commit};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use super::events::{self, EventDraft};
use crate::domain::mail_text::{self, Language, Message, Notice};
use crate::domain::token;
use crate::ports::{Mail, MailError, MailRoute};
use crate::store::links::{self, Purpose};
use crate::store::users;

/// The outbox topic of mails.
pub const TOPIC: &str = "mail";
/// Mails that are handed over at a time.
const AT_ONCE: usize = 8;
/// No mail of a batch is begun later than this. Together with `ONE_WITHIN` the batch ends within
/// the relay's lease of half a minute, after which another relay would send it, too.
const BEGUN_WITHIN: Duration = Duration::from_secs(12);
/// A mail that takes longer to hand over is tried again later.
const ONE_WITHIN: Duration = Duration::from_secs(15);
/// The span that `resets_per_hour` counts over.
const HOUR: Duration = Duration::from_secs(3600);

/// What is to be mailed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum MailJob {
    /// Somebody asked to reset the password of this address, which may be nobody's.
    Reset {
        /// As it is compared.
        email: String,
        /// When, unix milliseconds.
        at: i64,
        /// From where.
        client_ip: String,
        /// With what.
        user_agent: String,
        /// In which request.
        request_id: String,
    },
    /// Sign-in was closed for this address, which may be nobody's.
    SignInClosed {
        /// As it is compared.
        email: String,
    },
    /// A link that was made: an invitation, or one to enrol a second factor anew.
    #[serde(rename = "invitation")]
    Link {
        /// Its row.
        link_id: Uuid,
    },
    /// Something that the user is told of.
    Notice {
        /// Who.
        user_id: Uuid,
        /// What.
        notice: Notice,
        /// When, unix milliseconds.
        at: i64,
    },
}

impl MailJob {
    /// A reset that an administrator started.
    pub(super) fn reset_for(app: &App, email: String) -> Self {
        Self::Reset {
            email,
            at: app.clock.now_ms(),
            client_ip: String::new(),
            user_agent: String::new(),
            request_id: String::new(),
        }
    }
}

/// Puts a mail into the outbox. Call `app.outbox_wake.notify_one()` after the commit.
pub(super) async fn put(txn: &impl Connection, app: &App, job: &MailJob) -> Result<(), StoreError> {
    let payload = serde_json::to_vec(job).map_err(|_| StoreError::Corrupt("a mail job"))?;
    let id = clock::new_id(&*app.clock);
    outbox::put(txn, id, TOPIC, payload, app.clock.now_ms()).await
}

/// Tells a user by mail of a change, in the transaction that makes it. Call
/// `app.outbox_wake.notify_one()` after the commit.
pub async fn put_notice(
    txn: &Transaction,
    app: &App,
    user_id: Uuid,
    notice: Notice,
) -> Result<(), StoreError> {
    let at = app.clock.now_ms();
    put(
        txn,
        app,
        &MailJob::Notice {
            user_id,
            notice,
            at,
        },
    )
    .await
}

/// Why a row stays in the outbox.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Route(#[from] MailError),
    #[error("the mails before it took too long")]
    NotBegun,
    #[error("handing it over takes too long")]
    Stuck,
}

/// Delivers mails until `stop`.
pub async fn relay(app: App, route: Arc<dyn MailRoute>, stop: CancellationToken) {
    let relay = Relay::new(
        app.database.clone(),
        TOPIC,
        app.clock.clone(),
        app.outbox_wake.mail.clone(),
    );
    // Rows are acknowledged together. Those that left before another one of the batch failed are
    // remembered here, so that they do not leave twice.
    let left: Mutex<HashSet<Uuid>> = Mutex::default();
    let (app, route, left) = (&app, &route, &left);
    relay
        .run(stop, |rows: Vec<Row>| {
            hand_over(rows, left, move |row| async move {
                deliver(app, &**route, &row).await
            })
        })
        .await;
}

/// Hands a batch over, within the relay's lease.
async fn hand_over<One, Handing>(
    rows: Vec<Row>,
    left: &Mutex<HashSet<Uuid>>,
    one: One,
) -> Result<(), Undelivered>
where
    One: Fn(Row) -> Handing,
    Handing: Future<Output = Result<(), Undelivered>>,
{
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let (begun, one) = (Instant::now(), &one);
    let outcomes: Vec<Result<(), Undelivered>> = futures::stream::iter(rows)
        .map(|row| async move {
            let id = row.id;
            if lock(left).contains(&id) {
                return Ok(());
            }
            if begun.elapsed() >= BEGUN_WITHIN {
                return Err(Undelivered::NotBegun);
            }
            timeout(ONE_WITHIN, one(row))
                .await
                .map_err(|_| Undelivered::Stuck)??;
            lock(left).insert(id);
            Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let mut left = lock(left);
    for id in ids {
        left.remove(&id);
    }
    Ok(())
}

fn lock(left: &Mutex<HashSet<Uuid>>) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn deliver(app: &App, route: &dyn MailRoute, row: &Row) -> Result<(), Undelivered> {
    let Ok(job) = serde_json::from_slice::<MailJob>(&row.payload) else {
        // A row of a release that is gone; keeping it would help nobody.
        tracing::error!(row = %row.id, "a mail job cannot be read and is dropped");
        return Ok(());
    };
    let Some(mail) = write(app, row.id, job).await? else {
        return Ok(());
    };
    match route.send(&mail).await {
        Ok(()) => {
            metrics::counter!("mails_sent_total").increment(1);
            Ok(())
        }
        Err(MailError::Refused(source)) => {
            // Addresses and server texts may be personal: the log has the row's id only.
            tracing::warn!(row = %row.id, "a mail is refused for good and is dropped");
            metrics::counter!("mails_refused_total").increment(1);
            drop(source);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Words the mail of a job; `None` where there is nobody to tell any more.
async fn write(app: &App, row_id: Uuid, job: MailJob) -> Result<Option<Mail>, StoreError> {
    match job {
        MailJob::Reset { .. } => write_reset(app, row_id, job).await,
        MailJob::SignInClosed { email } => {
            let user = users::active_by_email(app.database.connection(), &email).await?;
            let at = app.clock.now();
            Ok(user.map(|user| notice_mail(app, &user, Notice::SignInClosed, at)))
        }
        MailJob::Link { link_id } => write_link(app, link_id).await,
        MailJob::Notice {
            user_id,
            notice,
            at,
        } => {
            let user = users::find(app.database.connection(), user_id).await?;
            Ok(user.map(|user| notice_mail(app, &user, notice, clock::from_ms(at))))
        }
    }
}

async fn write_reset(app: &App, row_id: Uuid, job: MailJob) -> Result<Option<Mail>, StoreError> {
    let MailJob::Reset {
        email,
        at,
        client_ip,
        user_agent,
        request_id,
    } = job
    else {
        return Ok(None);
    };
    let settings = &app.settings.links;
    let expires_at = at + settings.reset.as_millis() as i64;
    if app.clock.now_ms() >= expires_at {
        return Ok(None);
    }
    let txn = app.database.begin().await?;
    let Some(user) = users::active_by_email(&txn, &email).await? else {
        return Ok(None);
    };
    // Resets of one user are counted one after the other.
    users::lock(&txn, user.id).await?;
    let token = new_token(token::LINK);
    let hash = token_hash(token.expose());
    if links::exists(&txn, row_id).await? {
        // A mail that is tried again: the request was counted and logged with the first try.
        let now = app.clock.now_ms();
        let open = links::set_mailed(&txn, row_id, hash, now).await?;
        commit(txn).await?;
        return Ok(open.map(|_| link_mail(app, &user, Purpose::Reset, &token, expires_at)));
    }
    let before = at - HOUR.as_millis() as i64;
    let full = links::full_since(
        &txn,
        user.id,
        Purpose::Reset,
        settings.resets_per_hour,
        before,
    );
    if full.await?.is_some() {
        metrics::counter!("password_resets_limited_total").increment(1);
        return Ok(None);
    }
    links::insert(
        &txn,
        links::Model {
            id: row_id,
            user_id: user.id,
            purpose: Purpose::Reset,
            handed_hash: None,
            mailed_hash: Some(hash),
            idempotency_key: None,
            created_at: at,
            expires_at,
            used_at: None,
        },
    )
    .await?;
    let draft = EventDraft {
        organisation_id: user.organisation_id,
        kind: "authn_password_reset_request",
        result: EventResult::Success,
        // Whoever asks need not be the user.
        actor: String::new(),
        target: user.id.to_string(),
        reason: "",
        client_ip,
        user_agent,
        request_id,
        details: Vec::new(),
    };
    events::record(&txn, app, draft).await?;
    commit(txn).await?;
    app.outbox_wake.events.notify_one();
    Ok(Some(link_mail(
        app,
        &user,
        Purpose::Reset,
        &token,
        expires_at,
    )))
}

async fn write_link(app: &App, link_id: Uuid) -> Result<Option<Mail>, StoreError> {
    let token = new_token(token::LINK);
    let txn = app.database.begin().await?;
    let hash = token_hash(token.expose());
    let Some(link) = links::set_mailed(&txn, link_id, hash, app.clock.now_ms()).await? else {
        return Ok(None);
    };
    let user = users::find(&txn, link.user_id).await?;
    commit(txn).await?;
    Ok(user.map(|user| link_mail(app, &user, link.purpose, &token, link.expires_at)))
}

fn link_mail(
    app: &App,
    user: &users::Model,
    purpose: Purpose,
    token: &Secret,
    expires_at: i64,
) -> Mail {
    let link = &app.settings.portal_url.link(token.expose());
    let until = clock::from_ms(expires_at);
    let message = match purpose {
        Purpose::Invitation => Message::Invitation { link, until },
        Purpose::Reset => Message::Reset { link, until },
        Purpose::Enrolment => Message::Enrolment { link, until },
    };
    worded(user, message)
}

fn notice_mail(app: &App, user: &users::Model, notice: Notice, at: Timestamp) -> Mail {
    let portal = app.settings.portal_url.as_str();
    worded(user, Message::Notice { notice, at, portal })
}

fn worded(user: &users::Model, message: Message<'_>) -> Mail {
    let text = mail_text::word(Language::of(&user.locale), message);
    Mail {
        to: user.email.clone(),
        subject: text.subject,
        text: text.body,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn batch() -> Vec<Row> {
        let row = |_| Row {
            id: Uuid::now_v7(),
            payload: Vec::new(),
        };
        (0..100).map(row).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_batch_ends_within_the_lease_and_what_left_does_not_leave_again() {
        let (rows, left, sent) = (batch(), Mutex::default(), AtomicUsize::new(0));
        let slow = |_| async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            sent.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let mut rounds = 0;
        loop {
            let begun = Instant::now();
            let outcome = hand_over(rows.clone(), &left, slow).await;
            assert!(begun.elapsed() < LEASE);
            rounds += 1;
            if outcome.is_ok() {
                break;
            }
        }
        assert!(rounds > 1);
        assert_eq!(sent.into_inner(), 100);
        assert!(lock(&left).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_never_answers_is_left_within_the_lease() {
        let begun = Instant::now();
        let outcome = hand_over(batch(), &Mutex::default(), |_| std::future::pending()).await;
        assert!(outcome.is_err());
        assert!(begun.elapsed() < LEASE);
    }
}
