//! Making organisations; for operators.

use sallyport_chassis::clock::new_id;
use sallyport_chassis::{IdempotencyKey, Secret};
use sallyport_email::EmailAddress;
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::add_user::take_seat;
use super::domains::approval;
use super::tell_identity::{invite, invite_again, owe_invitation, owe_projection};
use super::{App, Error, Origin, contended};
use crate::domain::digest::digest;
use crate::domain::event_kind::{
    DOMAIN_APPROVED, LICENCE_ASSIGNED, ORGANISATION_CREATED, USER_CREATED,
};
use crate::domain::profile::{line, locale, name, take, time_zone};
use crate::domain::providers::is_public;
use crate::domain::refused::Refused;
use crate::store::entity::{organisation, plan, seat};
use crate::store::organisations::NewOrganisation;
use crate::store::people::NewUser;
use crate::store::{Head, Insert, commit, domains, organisations, people, seats};

/// Longest name of an organisation, in characters.
const LONGEST_NAME: usize = 200;
/// Longest name of a plan, in characters.
const LONGEST_PLAN: usize = 100;
/// Seats of one plan at most.
const MOST_SEATS: u32 = 10_000_000;

/// The request as typed.
#[derive(Debug)]
pub struct Typed {
    /// Name of the organisation.
    pub name: String,
    /// E-mail of its first administrator; its domain becomes the first approved one.
    pub administrator_email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Language.
    pub locale: String,
    /// Time zone.
    pub time_zone: String,
    /// Name of the plan.
    pub plan: String,
    /// Its seats; the administrator takes the first.
    pub seats: u32,
    /// When it ends (unix milliseconds); `None`: never.
    pub plan_expires_at: Option<i64>,
    /// Makes repeating harmless.
    pub idempotency_key: String,
}

/// What was made.
#[derive(Debug)]
pub struct Created {
    /// The organisation.
    pub organisation_id: Uuid,
    /// Its administrator.
    pub user_id: Uuid,
    /// His invitation; empty once he has set a password.
    pub link: Secret,
}

/// An organisation in the operator's list.
#[derive(Debug)]
pub struct Listed {
    /// The row.
    pub organisation: organisation::Model,
    /// Its users, less the deleted.
    pub users: i64,
}

/// Makes an organisation with its first administrator.
///
/// A repeated call with the same key and body finds the same organisation. Its administrator, if he
/// has set no password yet, is then invited anew, and the new link ends the first: the way back
/// where the first answer was lost. Another body under the key is refused.
pub async fn create(app: &App, origin: &Origin, typed: &Typed) -> Result<Created, Error> {
    let new = check(app, typed)?;
    let mut made = None;
    for _ in 0..3 {
        made = store(app, origin, &new).await?;
        if made.is_some() {
            break;
        }
    }
    let (organisation_id, user_id) = made.ok_or_else(contended)?;
    app.projections_owed.notify_one();
    let mut link = invite(app, user_id).await?;
    if link.is_empty() {
        link = invite_again(app, user_id).await?;
    }
    Ok(Created {
        organisation_id,
        user_id,
        link,
    })
}

struct Checked {
    name: String,
    email: EmailAddress,
    first_name: String,
    last_name: String,
    locale: String,
    time_zone: String,
    plan: String,
    purchased: i32,
    plan_expires_at: Option<i64>,
    key: String,
    digest: String,
}

fn check(app: &App, typed: &Typed) -> Result<Checked, Refused> {
    let key = IdempotencyKey::parse(typed.idempotency_key.as_str())?;
    let mut faults = Vec::new();
    let email = match EmailAddress::parse(&typed.administrator_email) {
        Err(_) => Err("email.invalid"),
        Ok(email) if is_public(email.domain(), &app.settings.more_public_providers) => {
            Err("domain.public_provider")
        }
        Ok(email) => Ok(Some(email)),
    };
    let purchased = match typed.seats {
        0 => Err("field.required"),
        1..=MOST_SEATS => i32::try_from(typed.seats).map_err(|_| "field.invalid"),
        _ => Err("field.invalid"),
    };
    let expiry = match typed.plan_expires_at {
        Some(at) if at <= app.clock.now_ms() => Err("field.invalid"),
        at => Ok(at),
    };
    let email = take("administrator_email", email, &mut faults);
    let organisation = take("name", line(&typed.name, LONGEST_NAME), &mut faults);
    let first_name = take("first_name", name(&typed.first_name), &mut faults);
    let last_name = take("last_name", name(&typed.last_name), &mut faults);
    let locale = take("locale", locale(&typed.locale), &mut faults);
    let time_zone = take("time_zone", time_zone(&typed.time_zone), &mut faults);
    let plan = take("plan", line(&typed.plan, LONGEST_PLAN), &mut faults);
    let purchased = take("seats", purchased, &mut faults);
    let plan_expires_at = take("plan_expires_at", expiry, &mut faults);
    let (Some(email), true) = (email, faults.is_empty()) else {
        return Err(Refused::Fields(faults));
    };
    let (seats, expires) = (purchased.to_string(), format!("{plan_expires_at:?}"));
    let parts = [
        "create_organisation",
        &organisation,
        email.as_str(),
        &first_name,
        &last_name,
        &locale,
        &time_zone,
        &plan,
        &seats,
        &expires,
    ];
    Ok(Checked {
        digest: hex::encode(digest(&parts)),
        name: organisation,
        email,
        first_name,
        last_name,
        locale,
        time_zone,
        plan,
        purchased,
        plan_expires_at,
        key: key.into_string(),
    })
}

/// Organisation and administrator that the key stands for, made now or before; `None` where a
/// unique value was taken in between and the checks must be made again.
async fn store(app: &App, origin: &Origin, new: &Checked) -> Result<Option<(Uuid, Uuid)>, Error> {
    let transaction = app.database.begin().await?;
    if let Some(known) = organisations::made_by(&transaction, &new.key).await? {
        if known.creation_digest != new.digest {
            return Err(Refused::IdempotencyConflict.into());
        }
        let user_id = organisations::first_administrator(&transaction, known.id).await?;
        return Ok(Some((known.id, user_id)));
    }
    if people::email_exists(&transaction, new.email.as_str()).await? {
        return Err(Refused::EmailExists.into());
    }
    if domains::holder(&transaction, new.email.domain().as_str())
        .await?
        .is_some()
    {
        return Err(Refused::DomainTaken {
            field: "administrator_email",
        }
        .into());
    }
    let (organisation_id, user_id, plan_id) = (
        new_id(&*app.clock),
        new_id(&*app.clock),
        new_id(&*app.clock),
    );
    let now = app.clock.now_ms();
    let row = NewOrganisation {
        id: organisation_id,
        name: &new.name,
        key: &new.key,
        digest: &new.digest,
        now,
    };
    if organisations::insert(&transaction, row).await? == Insert::Taken {
        return Ok(None);
    }
    let mut head = Head::lock(&transaction, organisation_id)
        .await?
        .ok_or(StoreError::Corrupt(
            "an organisation that was just made is gone",
        ))?;
    let domain = approval(
        app,
        organisation_id,
        new.email.domain(),
        "first administrator".into(),
    );
    let Some(domain) = domains::approve(&transaction, domain).await? else {
        return Ok(None);
    };
    let user = NewUser {
        id: user_id,
        organisation_id,
        email: new.email.as_str().to_owned(),
        first_name: new.first_name.clone(),
        last_name: new.last_name.clone(),
        locale: new.locale.clone(),
        time_zone: new.time_zone.clone(),
        now,
    };
    if people::insert(&transaction, user).await? == Insert::Taken {
        return Ok(None);
    }
    people::insert_administrators(&transaction, new_id(&*app.clock), organisation_id, user_id)
        .await?;
    let plan = plan::Model {
        id: plan_id,
        organisation_id,
        name: new.plan.clone(),
        purchased: new.purchased,
        assigned: 0,
        expires_at: new.plan_expires_at,
    };
    seats::insert_plan(&transaction, plan).await?;
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
    let events = vec![
        app.event(origin, ORGANISATION_CREATED, organisation_id),
        app.event(origin, DOMAIN_APPROVED, domain.id)
            .with("domain", &domain.domain),
        app.event(origin, USER_CREATED, user_id)
            .with("role_group", people::ADMINISTRATORS),
        app.event(origin, LICENCE_ASSIGNED, user_id)
            .with("plan_id", plan_id),
    ];
    head.append(&transaction, events).await?;
    owe_projection(app, &transaction, user_id).await?;
    owe_invitation(app, &transaction, user_id).await?;
    commit(transaction).await?;
    Ok(Some((organisation_id, user_id)))
}

/// Every organisation, oldest first.
pub async fn list(app: &App) -> Result<Vec<Listed>, Error> {
    Ok(organisations::all(app.database.connection())
        .await?
        .into_iter()
        .map(|(organisation, users)| Listed {
            organisation,
            users,
        })
        .collect())
}
