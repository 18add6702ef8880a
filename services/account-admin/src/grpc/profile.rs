//! ProfileService.

use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::status::{caller, status};
use super::{held_licence, stamp};
use crate::app::{App, Error, profile, user};
use crate::domain::permission::rpc;
use crate::domain::profile::Typed;
use crate::domain::refused::Refused;

pub struct Profiles(pub App);

#[tonic::async_trait]
impl pb::profile_service_server::ProfileService for Profiles {
    #[tracing::instrument(skip_all)]
    async fn get_profile(
        &self,
        request: Request<pb::GetProfileRequest>,
    ) -> Result<Response<pb::GetProfileResponse>, Status> {
        let who = self
            .0
            .enter(rpc::GET_PROFILE, &caller(&request)?)
            .await
            .map_err(status)?;
        let profile = profile::get(&self.0, who).await.map_err(status)?;
        Ok(Response::new(pb::GetProfileResponse {
            profile: Some(encode(profile)),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn validate_profile(
        &self,
        request: Request<pb::ValidateProfileRequest>,
    ) -> Result<Response<pb::ValidateProfileResponse>, Status> {
        let who = self
            .0
            .enter(rpc::VALIDATE_PROFILE, &caller(&request)?)
            .await
            .map_err(status)?;
        let fields = present(request.into_inner().fields).map_err(status)?;
        profile::validate(&who, &typed(&fields))
            .map_err(Error::from)
            .map_err(status)?;
        Ok(Response::new(pb::ValidateProfileResponse {}))
    }

    #[tracing::instrument(skip_all)]
    async fn update_profile(
        &self,
        request: Request<pb::UpdateProfileRequest>,
    ) -> Result<Response<pb::UpdateProfileResponse>, Status> {
        let who = self
            .0
            .enter(rpc::UPDATE_PROFILE, &caller(&request)?)
            .await
            .map_err(status)?;
        let request = request.into_inner();
        let fields = present(request.fields).map_err(status)?;
        let profile = profile::update(&self.0, who, &typed(&fields), request.version)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::UpdateProfileResponse {
            profile: Some(encode(profile)),
        }))
    }
}

pub(super) fn present(fields: Option<pb::ProfileFields>) -> Result<pb::ProfileFields, Error> {
    fields.ok_or_else(|| Refused::field("fields", "field.required").into())
}

pub(crate) fn typed(fields: &pb::ProfileFields) -> Typed<'_> {
    Typed {
        first_name: &fields.first_name,
        last_name: &fields.last_name,
        mobile_number: &fields.mobile_number,
        default_sms_country: &fields.default_sms_country,
        time_zone: &fields.time_zone,
        date_format: &fields.date_format,
        locale: &fields.locale,
    }
}

fn encode(profile: profile::Profile) -> pb::Profile {
    let user = profile.user;
    pb::Profile {
        user_id: user.id.to_string(),
        fields: Some(profile_fields(&user)),
        version: u64::try_from(user.version).unwrap_or(0),
        email: user.email,
        licence: profile.plan.map(held_licence),
        organisation_id: user.organisation_id.to_string(),
        organisation_name: profile.organisation_name,
        permissions: profile
            .permissions
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        two_factor_active: user.two_factor_active,
        last_sign_in_at: user.last_sign_in_at.map(stamp),
    }
}

pub(super) fn profile_fields(user: &user::Model) -> pb::ProfileFields {
    pb::ProfileFields {
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        mobile_number: user.mobile_number.clone(),
        default_sms_country: user.default_sms_country.clone(),
        time_zone: user.time_zone.clone(),
        date_format: user.date_format.clone(),
        locale: user.locale.clone(),
    }
}
