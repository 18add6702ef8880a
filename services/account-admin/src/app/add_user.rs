//! Adding a user under an approved domain, and inviting him.

use sallyport_chassis::clock::new_id;
use sallyport_chassis::{IdempotencyKey, Secret};
use sallyport_email::EmailAddress;
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::session::SignedIn;
use super::tell_identity::{invite, owe_invitation, owe_projection};
use super::users::{self, UserView};
use super::{App, Error, contended};
use crate::domain::digest::digest;
use crate::domain::event_kind::{LICENCE_ASSIGNED, USER_CREATED};
use crate::domain::profile::{locale, name, take, time_zone};
use crate::domain::refused::Refused;
use crate::store::entity::{idempotency, seat};
use crate::store::people::NewUser;
use crate::store::{Head, Insert, Transaction, commit, domains, organisations, people, seats};

/// The request as typed.
#[derive(Debug)]
pub struct Typed {
    /// E-mail address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Language.
    pub locale: String,
    /// Time zone.
    pub time_zone: String,
    /// Plan of the seat, or empty.
    pub plan_id: String,
    /// Makes repeating harmless.
    pub idempotency_key: String,
}

struct Checked {
    email: EmailAddress,
    first_name: String,
    last_name: String,
    locale: String,
    time_zone: String,
    plan_id: Option<Uuid>,
    key: String,
    digest: String,
}

/// Adds the user, tells identity, and returns the invitation's link.
///
/// Where identity does not answer, the user is there and is told and invited through the outbox;
/// the caller sees `UNAVAILABLE` and repeats with the same key, which finds the same user. The link
/// is shown once, to the call that made the invitation: a repeated one gets none, so that a double
/// click neither mails twice nor ends the link that was shown. The mail has it too.
pub async fn add_user(
    app: &App,
    who: &SignedIn,
    typed: &Typed,
) -> Result<(UserView, Secret), Error> {
    let checked = check(typed)?;
    let mut made = None;
    for _ in 0..3 {
        made = store(app, who, &checked).await?;
        if made.is_some() {
            break;
        }
    }
    let user_id = made.ok_or_else(contended)?;
    app.projections_owed.notify_one();
    let link = invite(app, user_id).await?;
    let user = users::find(app, who, &user_id.to_string()).await?;
    Ok((users::view(app, user).await?, link))
}

fn check(typed: &Typed) -> Result<Checked, Refused> {
    let key = IdempotencyKey::parse(typed.idempotency_key.as_str())?;
    let mut faults = Vec::new();
    let email = EmailAddress::parse(&typed.email)
        .map(Some)
        .map_err(|_| "email.invalid");
    let email = take("email", email, &mut faults);
    let first_name = take("first_name", name(&typed.first_name), &mut faults);
    let last_name = take("last_name", name(&typed.last_name), &mut faults);
    let locale = take("locale", locale(&typed.locale), &mut faults);
    let time_zone = take("time_zone", time_zone(&typed.time_zone), &mut faults);
    let (Some(email), true) = (email, faults.is_empty()) else {
        return Err(Refused::Fields(faults));
    };
    let plan_id = match typed.plan_id.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Refused::PlanNotFound)?),
    };
    let parts = [
        "add_user",
        email.as_str(),
        &first_name,
        &last_name,
        &locale,
        &time_zone,
        &typed.plan_id,
    ];
    Ok(Checked {
        digest: hex::encode(digest(&parts)),
        email,
        first_name,
        last_name,
        locale,
        time_zone,
        plan_id,
        key: key.into_string(),
    })
}

/// The user that the key stands for, made now or before; `None` where a unique value was taken in
/// between and the checks must be made again.
async fn store(app: &App, who: &SignedIn, new: &Checked) -> Result<Option<Uuid>, Error> {
    let organisation_id = who.organisation_id();
    let transaction = app.database.begin().await?;
    let mut head = Head::lock(&transaction, organisation_id)
        .await?
        .ok_or(StoreError::Corrupt("a user without an organisation"))?;
    if let Some(known) = organisations::request(&transaction, organisation_id, &new.key).await? {
        if known.digest != new.digest {
            return Err(Refused::IdempotencyConflict.into());
        }
        return Ok(Some(known.user_id));
    }
    let holder = domains::holder(&transaction, new.email.domain().as_str()).await?;
    if holder != Some(organisation_id) {
        return Err(Refused::DomainNotApproved.into());
    }
    if people::email_exists(&transaction, new.email.as_str()).await? {
        return Err(Refused::EmailExists.into());
    }
    let user_id = new_id(&*app.clock);
    let now = app.clock.now_ms();
    let row = NewUser {
        id: user_id,
        organisation_id,
        email: new.email.as_str().to_owned(),
        first_name: new.first_name.clone(),
        last_name: new.last_name.clone(),
        locale: new.locale.clone(),
        time_zone: new.time_zone.clone(),
        now,
    };
    if people::insert(&transaction, row).await? == Insert::Taken {
        return Ok(None);
    }
    let mut events = vec![app.event(&who.origin, USER_CREATED, user_id)];
    if let Some(plan_id) = new.plan_id {
        take_seat(
            &transaction,
            seat::Model {
                user_id,
                organisation_id,
                plan_id,
                assigned_at: now,
            },
        )
        .await?;
        events.push(
            app.event(&who.origin, LICENCE_ASSIGNED, user_id)
                .with("plan_id", plan_id),
        );
    }
    head.append(&transaction, events).await?;
    let request = idempotency::Model {
        organisation_id,
        key: new.key.clone(),
        digest: new.digest.clone(),
        user_id,
        created_at: now,
    };
    organisations::note_request(&transaction, request).await?;
    owe_projection(app, &transaction, user_id).await?;
    owe_invitation(app, &transaction, user_id).await?;
    commit(transaction).await?;
    Ok(Some(user_id))
}

/// Takes a seat or says why not.
pub async fn take_seat(transaction: &Transaction, seat: seat::Model) -> Result<(), Error> {
    let (organisation_id, plan_id) = (seat.organisation_id, seat.plan_id);
    if seats::take(transaction, seat).await? {
        return Ok(());
    }
    Err(
        match seats::plan(transaction, organisation_id, plan_id).await? {
            Some(_) => Refused::NoLicence.into(),
            None => Refused::PlanNotFound.into(),
        },
    )
}
