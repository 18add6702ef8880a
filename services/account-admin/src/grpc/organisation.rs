//! OrganisationService.

use sallyport_chassis::clock::from_proto;
use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::stamp;
use super::status::{caller, status};
use crate::app::{App, Error, Origin, organisations};
use crate::domain::refused::Refused;

pub struct Organisations(pub App);

#[tonic::async_trait]
impl pb::organisation_service_server::OrganisationService for Organisations {
    #[tracing::instrument(skip_all)]
    async fn create_organisation(
        &self,
        request: Request<pb::CreateOrganisationRequest>,
    ) -> Result<Response<pb::CreateOrganisationResponse>, Status> {
        let origin = Origin::operator(&caller(&request)?);
        let request = request.into_inner();
        let plan_expires_at = match &request.plan_expires_at {
            None => None,
            Some(stamp) => match from_proto(stamp) {
                Some(at) => Some(at.as_millisecond()),
                None => {
                    let refused = Refused::field("plan_expires_at", "field.invalid");
                    return Err(status(Error::Refused(refused)));
                }
            },
        };
        let typed = organisations::Typed {
            name: request.name,
            administrator_email: request.administrator_email,
            first_name: request.first_name,
            last_name: request.last_name,
            locale: request.locale,
            time_zone: request.time_zone,
            plan: request.plan,
            seats: request.seats,
            plan_expires_at,
            idempotency_key: request.idempotency_key,
        };
        let created = organisations::create(&self.0, &origin, &typed)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::CreateOrganisationResponse {
            organisation_id: created.organisation_id.to_string(),
            user_id: created.user_id.to_string(),
            link_token: created.link.expose().to_owned(),
        }))
    }

    #[tracing::instrument(skip_all)]
    async fn list_organisations(
        &self,
        _: Request<pb::ListOrganisationsRequest>,
    ) -> Result<Response<pb::ListOrganisationsResponse>, Status> {
        let listed = organisations::list(&self.0).await.map_err(status)?;
        let organisations = listed
            .into_iter()
            .map(|row| pb::Organisation {
                organisation_id: row.organisation.id.to_string(),
                name: row.organisation.name,
                created_at: Some(stamp(row.organisation.created_at)),
                users: u32::try_from(row.users).unwrap_or(u32::MAX),
            })
            .collect();
        Ok(Response::new(pb::ListOrganisationsResponse {
            organisations,
        }))
    }
}
