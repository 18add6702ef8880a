//! A user's own profile.

use sallyport_sql::StoreError;

use super::session::SignedIn;
use super::tell_identity::owe_projection;
use super::{App, Error};
use crate::domain::event_kind::USER_UPDATED;
use crate::domain::permission::PermissionSet;
use crate::domain::profile::{ProfileFields, Typed, check};
use crate::domain::refused::Refused;
use crate::store::entity::{plan, user};
use crate::store::{commit, organisations, people, seats};

/// What My account shows.
#[derive(Debug)]
pub struct Profile {
    /// The row.
    pub user: user::Model,
    /// Name of the organisation.
    pub organisation_name: String,
    /// The plan of his seat.
    pub plan: Option<plan::Model>,
    /// What he may do.
    pub permissions: PermissionSet,
}

/// The profile as it is.
pub async fn get(app: &App, who: SignedIn) -> Result<Profile, Error> {
    let connection = app.database.connection();
    let organisation = organisations::find(connection, who.organisation_id())
        .await?
        .ok_or(StoreError::Corrupt("a user without an organisation"))?;
    let seat = seats::of_users(connection, who.organisation_id(), vec![who.user.id])
        .await?
        .remove(&who.user.id);
    Ok(Profile {
        user: who.user,
        organisation_name: organisation.name,
        plan: seat.map(|(_, plan)| plan),
        permissions: who.permissions,
    })
}

/// Every field error at once; changes nothing.
pub fn validate(who: &SignedIn, typed: &Typed<'_>) -> Result<ProfileFields, Refused> {
    check(typed, &who.user.mobile_number).map_err(Refused::Fields)
}

/// Stores the fields under the version that the user read. Saving what is stored already changes
/// nothing and succeeds, so that a double click on Save is one change and no conflict.
pub async fn update(
    app: &App,
    mut who: SignedIn,
    typed: &Typed<'_>,
    version: u64,
) -> Result<Profile, Error> {
    let fields = validate(&who, typed)?;
    let (organisation_id, user_id) = (who.organisation_id(), who.user.id);
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    let stored = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::SessionExpired)?;
    let differing = differing(&stored, &fields);
    if differing.is_empty() {
        who.user = stored;
        drop(transaction);
        return get(app, who).await;
    }
    let conflict = Refused::EditConflict {
        version: stored.version,
        differing: differing.clone(),
    };
    let expected = i64::try_from(version).map_err(|_| conflict.clone())?;
    if !people::store_profile(&transaction, organisation_id, user_id, expected, &fields).await? {
        return Err(conflict.into());
    }
    let event = app
        .event(&who.origin, USER_UPDATED, user_id)
        .with("fields", differing.join(","));
    head.append(&transaction, vec![event]).await?;
    owe_projection(app, &transaction, user_id).await?;
    who.user = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::SessionExpired)?;
    commit(transaction).await?;
    app.projections_owed.notify_one();
    get(app, who).await
}

/// Names of the fields whose stored value is another.
pub(super) fn differing(stored: &user::Model, fields: &ProfileFields) -> Vec<&'static str> {
    let number = fields
        .mobile_number
        .as_ref()
        .map_or("", |number| number.e164());
    [
        ("first_name", &stored.first_name, fields.first_name.as_str()),
        ("last_name", &stored.last_name, &fields.last_name),
        ("mobile_number", &stored.mobile_number, number),
        (
            "default_sms_country",
            &stored.default_sms_country,
            &fields.default_sms_country,
        ),
        ("time_zone", &stored.time_zone, &fields.time_zone),
        ("date_format", &stored.date_format, &fields.date_format),
        ("locale", &stored.locale, &fields.locale),
    ]
    .into_iter()
    .filter(|(_, stored, new)| stored.as_str() != *new)
    .map(|(field, _, _)| field)
    .collect()
}
