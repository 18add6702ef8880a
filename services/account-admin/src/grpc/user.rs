//! UserService.

use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::status::{caller, status};
use super::{held_licence, stamp};
use crate::app::users::UserView;
use crate::app::{App, add_user, start_password_reset, users};
use crate::domain::permission::rpc;

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
        let (users, next_page_token) = users::list(
            &self.0,
            &who,
            &asked.search,
            asked.page_size,
            &asked.page_token,
        )
        .await
        .map_err(status)?;
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
}

fn encode(view: UserView) -> pb::UserRow {
    let state = match view.user.status.as_str() {
        "invited" => pb::UserState::Invited,
        "active" => pb::UserState::Active,
        "disabled" => pb::UserState::Disabled,
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
        role_groups: view.groups,
    }
}
