//! `sallyport.identity.v1.PasswordService`.

use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_chassis::{Caller, Secret};
use sallyport_proto::identity::v1::password_service_server::PasswordService;
use sallyport_proto::identity::v1::{
    ChangePasswordRequest, ChangePasswordResponse, ConfirmPasswordRequest, ConfirmPasswordResponse,
    InspectLinkRequest, InspectLinkResponse, LinkPurpose, RequestPasswordResetRequest,
    RequestPasswordResetResponse, SetPasswordByLinkRequest, SetPasswordByLinkResponse,
};
use tonic::{Request, Response, Status};

use super::status;
use crate::app::{App, link, password};
use crate::domain::link::Purpose;

/// The service.
pub struct Passwords {
    app: App,
}

impl Passwords {
    /// Over the use cases.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl PasswordService for Passwords {
    async fn confirm_password(
        &self,
        request: Request<ConfirmPasswordRequest>,
    ) -> Result<Response<ConfirmPasswordResponse>, Status> {
        let caller = Caller::of(&request)?;
        let typed = Secret::new(request.into_inner().password);
        let token = password::confirm(&self.app, &caller, &typed)
            .await
            .map_err(|refusal| status::password(refusal, "password", "password"))?;
        Ok(Response::new(ConfirmPasswordResponse {
            session_token: token.expose().to_owned(),
        }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let typed = Secret::new(request.current_password);
        let chosen = Secret::new(request.new_password);
        let token = password::change(&self.app, &caller, &typed, &chosen)
            .await
            .map_err(|refusal| status::password(refusal, "current_password", "new_password"))?;
        Ok(Response::new(ChangePasswordResponse {
            session_token: token.expose().to_owned(),
        }))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let caller = Caller::of(&request)?;
        link::request_reset(&self.app, &caller, &request.get_ref().email)
            .await
            .map_err(status::store)?;
        Ok(Response::new(RequestPasswordResetResponse {}))
    }

    async fn inspect_link(
        &self,
        request: Request<InspectLinkRequest>,
    ) -> Result<Response<InspectLinkResponse>, Status> {
        let token = Secret::new(request.into_inner().link_token);
        let found = link::inspect(&self.app, &token).await?;
        let purpose = match found.link.purpose {
            Purpose::Invitation => LinkPurpose::Invitation,
            Purpose::Reset => LinkPurpose::PasswordReset,
            Purpose::Enrolment => LinkPurpose::Enrolment,
        };
        Ok(Response::new(InspectLinkResponse {
            purpose: purpose.into(),
            email: found.user.email,
            expires_at: Some(to_proto(from_ms(found.link.expires_at))),
            locale: found.user.locale,
        }))
    }

    async fn set_password_by_link(
        &self,
        request: Request<SetPasswordByLinkRequest>,
    ) -> Result<Response<SetPasswordByLinkResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let token = Secret::new(request.link_token);
        let chosen = Secret::new(request.password);
        let email = link::set_password(&self.app, &caller, &token, &chosen).await?;
        Ok(Response::new(SetPasswordByLinkResponse { email }))
    }
}
