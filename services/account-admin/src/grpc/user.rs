//! UserService.

use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::profile::{present, profile_fields, typed};
use super::status::{caller, status};
use super::{held_licence, stamp};
use crate::app::session::SignedIn;
use crate::app::users::UserView;
use crate::app::{
    App, Error, Sort, add_user, delete_user, edit_user, role_group, start_password_reset, users,
};
use crate::domain::permission::{PermissionSet, rpc};
use crate::domain::refused::Refused;

pub struct Users(pub App);

#[tonic::async_trait]
impl pb::user_service_server::UserService for Users {
    #[tracing::instrument(skip_all)]
    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let who = self
            .0
            .enter(rpc::LIST_USERS, &caller(&request)?)
            .await
            .map_err(status)?;
        let asked = request.into_inner();
        let listed = users::Asked {
            search: &asked.search,
            status: match asked.state() {
                pb::UserState::Unspecified => None,
                pb::UserState::Invited => Some("invited"),
                pb::UserState::Active => Some("active"),
                pb::UserState::Disabled => Some("disabled"),
                pb::UserState::Deleted => Some("deleted"),
            },
            plan_id: &asked.plan_id,
            role_group_id: &asked.role_group_id,
            two_factor: asked.two_factor_active,
            sort: match asked.sort() {
                pb::UserSort::Unspecified => Sort::Email,
                pb::UserSort::LastName => Sort::LastName,
                pb::UserSort::LastSignIn => Sort::LastSignIn,
            },
            page_size: asked.page_size,
            page_token: &asked.page_token,
        };
        let (users, next_page_token) = users::list(&self.0, &who, &listed).await.map_err(status)?;
        let users = users.into_iter().map(encode).collect();
        Ok(Response::new(pb::ListUsersResponse {
            users,
            next_page_token,
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        let who = self
            .0
            .enter(rpc::GET_USER, &caller(&request)?)
            .await
            .map_err(status)?;
        let user_id = request.into_inner().user_id;
        let found = users::get(&self.0, &who, &user_id).await;
        let user = self.0.audit(&who, &user_id, found).await.map_err(status)?;
        Ok(Response::new(pb::GetUserResponse {
            fields: Some(fields(&user)),
            version: version(&user),
            user: Some(encode(user)),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn add_user(
        &self,
        request: Request<pb::AddUserRequest>,
    ) -> Result<Response<pb::AddUserResponse>, Status> {
        let who = self
            .0
            .enter(rpc::ADD_USER, &caller(&request)?)
            .await
            .map_err(status)?;
        let request = request.into_inner();
        let typed = add_user::Typed {
            email: request.email,
            first_name: request.first_name,
            last_name: request.last_name,
            locale: request.locale,
            time_zone: request.time_zone,
            plan_id: request.plan_id,
            idempotency_key: request.idempotency_key,
        };
        let (user, link) = add_user::add_user(&self.0, &who, &typed)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::AddUserResponse {
            user: Some(encode(user)),
            link_token: link.expose().to_owned(),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn start_password_reset(
        &self,
        request: Request<pb::StartPasswordResetRequest>,
    ) -> Result<Response<pb::StartPasswordResetResponse>, Status> {
        let who = self
            .0
            .enter(rpc::START_PASSWORD_RESET, &caller(&request)?)
            .await
            .map_err(status)?;
        let user_id = request.into_inner().user_id;
        let started = start_password_reset::start(&self.0, &who, &user_id).await;
        self.0
            .audit(&who, &user_id, started)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::StartPasswordResetResponse {}))
    }

    #[tracing::instrument(skip_all)]
    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let who = self
            .0
            .enter(rpc::UPDATE_USER, &caller(&request)?)
            .await
            .map_err(status)?;
        let request = request.into_inner();
        let updated = update(&self.0, &who, &request).await;
        let user = self
            .0
            .audit(&who, &request.user_id, updated)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::UpdateUserResponse {
            fields: Some(fields(&user)),
            version: version(&user),
            user: Some(encode(user)),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let who = self
            .0
            .enter(rpc::DELETE_USER, &caller(&request)?)
            .await
            .map_err(status)?;
        let request = request.into_inner();
        let deleted = delete_user::delete(&self.0, &who, &request.user_id, &request.email).await;
        let until = self
            .0
            .audit(&who, &request.user_id, deleted)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::DeleteUserResponse {
            restorable_until: Some(stamp(until)),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn restore_user(
        &self,
        request: Request<pb::RestoreUserRequest>,
    ) -> Result<Response<pb::RestoreUserResponse>, Status> {
        let who = self
            .0
            .enter(rpc::RESTORE_USER, &caller(&request)?)
            .await
            .map_err(status)?;
        let user_id = request.into_inner().user_id;
        let restored = delete_user::restore(&self.0, &who, &user_id).await;
        let user = self
            .0
            .audit(&who, &user_id, restored)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::RestoreUserResponse {
            user: Some(encode(user)),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn list_role_groups(
        &self,
        request: Request<pb::ListRoleGroupsRequest>,
    ) -> Result<Response<pb::ListRoleGroupsResponse>, Status> {
        let who = self
            .0
            .enter(rpc::LIST_ROLE_GROUPS, &caller(&request)?)
            .await
            .map_err(status)?;
        let groups = users::role_groups(&self.0, &who).await.map_err(status)?;
        Ok(Response::new(pb::ListRoleGroupsResponse {
            role_groups: groups.into_iter().map(encode_group).collect(),
        }))
    }
}

async fn update(
    app: &App,
    who: &SignedIn,
    request: &pb::UpdateUserRequest,
) -> Result<UserView, Error> {
    let fields = request
        .fields
        .as_ref()
        .ok_or_else(|| Refused::field("fields", "field.required"))?;
    let profile = present(fields.profile.clone())?;
    let typed = edit_user::Typed {
        profile: typed(&profile),
        role_group_ids: &fields.role_group_ids,
        disabled: fields.disabled,
        two_factor_required: fields.two_factor_required,
    };
    edit_user::update(app, who, &request.user_id, &typed, request.version).await
}

fn version(view: &UserView) -> u64 {
    u64::try_from(view.user.version).unwrap_or(0)
}

fn fields(view: &UserView) -> pb::UserFields {
    pb::UserFields {
        profile: Some(profile_fields(&view.user)),
        role_group_ids: view.groups.iter().map(|g| g.id.to_string()).collect(),
        disabled: view.user.status == "disabled",
        two_factor_required: view.user.two_factor_required,
    }
}

fn encode_group(group: role_group::Model) -> pb::RoleGroup {
    let permissions = PermissionSet::parse(&group.permissions);
    pb::RoleGroup {
        role_group_id: group.id.to_string(),
        name: group.name,
        permissions: permissions.names().into_iter().map(str::to_owned).collect(),
        built_in: group.built_in,
    }
}

fn encode(view: UserView) -> pb::UserRow {
    let state = match view.user.status.as_str() {
        "invited" => pb::UserState::Invited,
        "active" => pb::UserState::Active,
        "disabled" => pb::UserState::Disabled,
        "deleted" => pb::UserState::Deleted,
        _ => pb::UserState::Unspecified,
    };
    pb::UserRow {
        user_id: view.user.id.to_string(),
        email: view.user.email,
        first_name: view.user.first_name,
        last_name: view.user.last_name,
        state: state.into(),
        licence: view.plan.map(held_licence),
        two_factor_active: view.user.two_factor_active,
        last_sign_in_at: view.user.last_sign_in_at.map(stamp),
        role_groups: view.groups.into_iter().map(|group| group.name).collect(),
        restorable_until: view.restorable_until.map(stamp),
    }
}
