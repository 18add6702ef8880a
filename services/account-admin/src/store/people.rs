//! Users, their groups, and what identity is told of them.

use std::collections::HashMap;

use sallyport_proto::identity::v1::{UserProjection, UserStatus};
use sallyport_sql::{StoreError, is_unique_violation};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue::Set, ConnectionTrait};

use super::Insert;
use super::entity::{organisation, role_group, seat, user, user_role_group};
use crate::domain::permission::PermissionSet;
use crate::domain::profile::ProfileFields;

/// Name of the built-in group that holds every permission.
pub const ADMINISTRATORS: &str = "Administrators";

/// A user of an organisation; nobody else's is ever found. Deleted ones are not.
pub async fn find(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
) -> Result<Option<user::Model>, StoreError> {
    Ok(user::Entity::find_by_id(user_id)
        .filter(user::Column::OrganisationId.eq(organisation_id))
        .filter(user::Column::Status.ne("deleted"))
        .one(connection)
        .await?)
}

/// A user by id alone, for what the service does on its own.
pub async fn find_any(
    connection: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Option<user::Model>, StoreError> {
    Ok(user::Entity::find_by_id(user_id).one(connection).await?)
}

/// Users of an organisation by their ids, less the deleted.
pub async fn find_all(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_ids: Vec<Uuid>,
) -> Result<Vec<user::Model>, StoreError> {
    Ok(user::Entity::find()
        .filter(user::Column::OrganisationId.eq(organisation_id))
        .filter(user::Column::Id.is_in(user_ids))
        .filter(user::Column::Status.ne("deleted"))
        .all(connection)
        .await?)
}

/// Whether the address is taken anywhere in the deployment.
pub async fn email_exists(
    connection: &impl ConnectionTrait,
    email: &str,
) -> Result<bool, StoreError> {
    Ok(user::Entity::find()
        .filter(user::Column::Email.eq(email))
        .one(connection)
        .await?
        .is_some())
}

/// A user to be made.
#[derive(Debug)]
pub struct NewUser {
    /// Id.
    pub id: Uuid,
    /// Organisation.
    pub organisation_id: Uuid,
    /// Stored form of the address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Language.
    pub locale: String,
    /// Time zone.
    pub time_zone: String,
    /// Unix milliseconds.
    pub now: i64,
}

/// Makes an invited user, unless the address is taken.
pub async fn insert(
    transaction: &impl ConnectionTrait,
    new: NewUser,
) -> Result<Insert, StoreError> {
    let row = user::ActiveModel {
        id: Set(new.id),
        organisation_id: Set(new.organisation_id),
        email: Set(new.email),
        first_name_key: Set(new.first_name.to_lowercase()),
        last_name_key: Set(new.last_name.to_lowercase()),
        first_name: Set(new.first_name),
        last_name: Set(new.last_name),
        mobile_number: Set(String::new()),
        default_sms_country: Set(String::new()),
        locale: Set(new.locale),
        time_zone: Set(new.time_zone),
        date_format: Set("iso".to_owned()),
        status: Set("invited".to_owned()),
        two_factor_required: Set(false),
        two_factor_active: Set(false),
        two_factor_changed_at: Set(0),
        last_sign_in_at: Set(None),
        activated_at: Set(None),
        deleted_at: Set(None),
        deleted_from: Set(None),
        invited_at: Set(None),
        created_at: Set(new.now),
        version: Set(1),
        projection_version: Set(1),
    };
    match user::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
    {
        Err(error) if is_unique_violation(&error) => Ok(Insert::Taken),
        done => done.map(|_| Insert::Done).map_err(StoreError::from),
    }
}

/// Stores a profile where the version is still the expected one; whether it was.
pub async fn store_profile(
    transaction: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
    expected: i64,
    fields: &ProfileFields,
) -> Result<bool, StoreError> {
    use user::Column;
    let number = fields
        .mobile_number
        .as_ref()
        .map_or("", |number| number.e164());
    let text = |text: &str| Expr::value(text.to_owned());
    let stored = user::Entity::update_many()
        .col_expr(Column::FirstName, text(&fields.first_name))
        .col_expr(Column::LastName, text(&fields.last_name))
        .col_expr(
            Column::FirstNameKey,
            text(&fields.first_name.to_lowercase()),
        )
        .col_expr(Column::LastNameKey, text(&fields.last_name.to_lowercase()))
        .col_expr(Column::MobileNumber, text(number))
        .col_expr(Column::DefaultSmsCountry, text(&fields.default_sms_country))
        .col_expr(Column::TimeZone, text(&fields.time_zone))
        .col_expr(Column::DateFormat, text(&fields.date_format))
        .col_expr(Column::Locale, text(&fields.locale))
        .col_expr(Column::Version, Expr::value(expected + 1))
        .col_expr(
            Column::ProjectionVersion,
            Expr::col(Column::ProjectionVersion).add(1),
        )
        .filter(Column::Id.eq(user_id))
        .filter(Column::OrganisationId.eq(organisation_id))
        .filter(Column::Version.eq(expected))
        .exec(transaction)
        .await?;
    Ok(stored.rows_affected == 1)
}

/// Counts a change that identity is told of and that is no edit of the profile.
pub async fn bump_projection(
    transaction: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<(), StoreError> {
    use user::Column;
    user::Entity::update_many()
        .col_expr(
            Column::ProjectionVersion,
            Expr::col(Column::ProjectionVersion).add(1),
        )
        .filter(Column::Id.eq(user_id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Notes that identity made the invitation.
pub async fn mark_invited(
    connection: &impl ConnectionTrait,
    user_id: Uuid,
    now: i64,
) -> Result<(), StoreError> {
    user::Entity::update_many()
        .col_expr(user::Column::InvitedAt, Expr::value(now))
        .filter(user::Column::Id.eq(user_id))
        .filter(user::Column::InvitedAt.is_null())
        .exec(connection)
        .await?;
    Ok(())
}

/// Makes the built-in group with every permission and puts the user into it.
pub async fn insert_administrators(
    transaction: &impl ConnectionTrait,
    id: Uuid,
    organisation_id: Uuid,
    user_id: Uuid,
) -> Result<(), StoreError> {
    role_group::Entity::insert(role_group::ActiveModel {
        id: Set(id),
        organisation_id: Set(organisation_id),
        name: Set(ADMINISTRATORS.to_owned()),
        built_in: Set(true),
        permissions: Set(PermissionSet::all().stored()),
    })
    .exec_without_returning(transaction)
    .await?;
    user_role_group::Entity::insert(user_role_group::ActiveModel {
        user_id: Set(user_id),
        role_group_id: Set(id),
        organisation_id: Set(organisation_id),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(())
}

/// The groups of users of an organisation.
pub async fn groups(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<role_group::Model>>, StoreError> {
    let members = user_role_group::Entity::find()
        .filter(user_role_group::Column::OrganisationId.eq(organisation_id))
        .filter(user_role_group::Column::UserId.is_in(user_ids))
        .all(connection)
        .await?;
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let groups: HashMap<Uuid, role_group::Model> = role_group::Entity::find()
        .filter(role_group::Column::OrganisationId.eq(organisation_id))
        .filter(role_group::Column::Id.is_in(members.iter().map(|m| m.role_group_id)))
        .all(connection)
        .await?
        .into_iter()
        .map(|group| (group.id, group))
        .collect();
    let mut by_user: HashMap<Uuid, Vec<role_group::Model>> = HashMap::new();
    for member in members {
        if let Some(group) = groups.get(&member.role_group_id) {
            by_user
                .entry(member.user_id)
                .or_default()
                .push(group.clone());
        }
    }
    for groups in by_user.values_mut() {
        groups.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(by_user)
}

/// What a user may do.
pub async fn permissions(
    connection: &impl ConnectionTrait,
    organisation_id: Uuid,
    user_id: Uuid,
) -> Result<PermissionSet, StoreError> {
    let mut set = PermissionSet::default();
    for group in groups(connection, organisation_id, vec![user_id])
        .await?
        .remove(&user_id)
        .unwrap_or_default()
    {
        set.join(PermissionSet::parse(&group.permissions));
    }
    Ok(set)
}

/// What identity is told of a user, as it is now; `None` where he is not known.
pub async fn projection(
    connection: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Option<UserProjection>, StoreError> {
    // The version is read first: what is read behind it is as new or newer, and if newer, a later
    // version with at least the same content follows.
    let Some(user) = user::Entity::find_by_id(user_id).one(connection).await? else {
        return Ok(None);
    };
    let organisation = organisation::Entity::find_by_id(user.organisation_id)
        .one(connection)
        .await?
        .ok_or(StoreError::Corrupt("a user without an organisation"))?;
    let permissions = permissions(connection, user.organisation_id, user_id).await?;
    let licensed = seat::Entity::find_by_id(user_id)
        .one(connection)
        .await?
        .is_some();
    let status = match user.status.as_str() {
        "invited" | "active" => UserStatus::Active,
        "disabled" => UserStatus::Disabled,
        "deleted" => UserStatus::Deleted,
        _ => return Err(StoreError::Corrupt("the status of a user")),
    };
    Ok(Some(UserProjection {
        user_id: user.id.to_string(),
        organisation_id: user.organisation_id.to_string(),
        version: u64::try_from(user.projection_version).unwrap_or(0),
        email: user.email,
        status: status.into(),
        permissions: permissions.names().into_iter().map(str::to_owned).collect(),
        two_factor_required: user.two_factor_required || organisation.require_two_factor,
        locale: user.locale,
        licensed,
        context_words: vec![user.first_name, user.last_name, organisation.name],
    }))
}
