//! One user of User Management: read, edited, deleted and brought back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use sallyport_proto::admin::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Code;
use utoipa::ToSchema;

use super::error::Errors;
use super::profile::Fields;
use super::users::{User, user_of};
use super::{Answer, Body, instant};
use crate::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// What is edited of a user.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFields {
    profile: Fields,
    role_group_ids: Vec<String>,
    /// Kept from signing in.
    disabled: bool,
    /// 2FA cannot be switched off.
    two_factor_required: bool,
}

impl From<wire::UserFields> for UserFields {
    fn from(fields: wire::UserFields) -> Self {
        Self {
            profile: fields.profile.unwrap_or_default().into(),
            role_group_ids: fields.role_group_ids,
            disabled: fields.disabled,
            two_factor_required: fields.two_factor_required,
        }
    }
}

impl From<UserFields> for wire::UserFields {
    fn from(fields: UserFields) -> Self {
        Self {
            profile: Some(fields.profile.into()),
            role_group_ids: fields.role_group_ids,
            disabled: fields.disabled,
            two_factor_required: fields.two_factor_required,
        }
    }
}

/// A user with what is edited of him.
#[derive(Serialize, ToSchema)]
pub(crate) struct EditedUser {
    #[serde(flatten)]
    user: User,
    fields: UserFields,
    /// To be sent back with a change.
    version: u64,
}

fn edited(
    user: Option<wire::UserRow>,
    fields: Option<wire::UserFields>,
    version: u64,
) -> Answer<EditedUser> {
    Ok(Json(EditedUser {
        user: user_of(user.ok_or(Problem::Failed(Code::Internal))?)?,
        fields: fields.unwrap_or_default().into(),
        version,
    }))
}

/// One user
#[utoipa::path(get, path = "/users/{user_id}", operation_id = "getUser", tag = "administration",
    security(("session" = [])), params(("user_id" = String, Path)),
    responses((status = 200, body = EditedUser), Errors))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
) -> Answer<EditedUser> {
    let ask = visitor.ask(wire::GetUserRequest { user_id });
    let answer = app.clients.user().get_user(ask).await?.into_inner();
    edited(answer.user, answer.fields, answer.version)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUser {
    /// The version that was read; a newer one refuses the change (`edit.conflict`).
    version: u64,
    fields: UserFields,
}

/// Edits a user, his role groups and whether he may sign in
#[utoipa::path(put, path = "/users/{user_id}", operation_id = "updateUser", tag = "administration",
    security(("session" = [])), params(("user_id" = String, Path)),
    request_body = UpdateUser, responses((status = 200, body = EditedUser), Errors))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    Body(body): Body<UpdateUser>,
) -> Answer<EditedUser> {
    let ask = visitor.ask(wire::UpdateUserRequest {
        user_id,
        fields: Some(body.fields.into()),
        version: body.version,
    });
    let answer = app.clients.user().update_user(ask).await?.into_inner();
    edited(answer.user, answer.fields, answer.version)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteUser {
    /// The user's address, typed again.
    email: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedUser {
    /// Until when it can be undone.
    restorable_until: Option<Timestamp>,
}

/// Deletes a user; his seat is free and his sessions end
#[utoipa::path(post, path = "/users/{user_id}/delete", operation_id = "deleteUser",
    tag = "administration", security(("session" = [])), params(("user_id" = String, Path)),
    request_body = DeleteUser, responses((status = 200, body = DeletedUser), Errors))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    Body(body): Body<DeleteUser>,
) -> Answer<DeletedUser> {
    let ask = visitor.ask(wire::DeleteUserRequest {
        user_id,
        email: body.email,
    });
    let answer = app.clients.user().delete_user(ask).await?.into_inner();
    Ok(Json(DeletedUser {
        restorable_until: instant(&answer.restorable_until),
    }))
}

/// Brings a deleted user back, without a seat
#[utoipa::path(post, path = "/users/{user_id}/restore", operation_id = "restoreUser",
    tag = "administration", security(("session" = [])), params(("user_id" = String, Path)),
    responses((status = 200, body = User), Errors))]
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
) -> Answer<User> {
    let ask = visitor.ask(wire::RestoreUserRequest { user_id });
    let answer = app.clients.user().restore_user(ask).await?.into_inner();
    Ok(Json(user_of(
        answer.user.ok_or(Problem::Failed(Code::Internal))?,
    )?))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RoleGroups {
    role_groups: Vec<RoleGroup>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RoleGroup {
    role_group_id: String,
    name: String,
    permissions: Vec<String>,
    /// Made with the organisation.
    built_in: bool,
}

/// Role groups and what they grant
#[utoipa::path(get, path = "/role-groups", operation_id = "listRoleGroups", tag = "administration",
    security(("session" = [])), responses((status = 200, body = RoleGroups), Errors))]
pub(crate) async fn role_groups(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Answer<RoleGroups> {
    let ask = visitor.ask(wire::ListRoleGroupsRequest {});
    let answer = app.clients.user().list_role_groups(ask).await?.into_inner();
    let groups = answer.role_groups.into_iter().map(|group| RoleGroup {
        role_group_id: group.role_group_id,
        name: group.name,
        permissions: group.permissions,
        built_in: group.built_in,
    });
    Ok(Json(RoleGroups {
        role_groups: groups.collect(),
    }))
}
