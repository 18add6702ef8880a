//! LicenceService.

use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::stamp;
use super::status::{caller, status};
use crate::app::{App, licences};
use crate::domain::permission::rpc;

pub struct Licences(pub App);

#[tonic::async_trait]
impl pb::licence_service_server::LicenceService for Licences {
    #[tracing::instrument(skip_all)]
    async fn list_plans(
        &self,
        request: Request<pb::ListPlansRequest>,
    ) -> Result<Response<pb::ListPlansResponse>, Status> {
        let who = self
            .0
            .enter(rpc::LIST_PLANS, &caller(&request)?)
            .await
            .map_err(status)?;
        let plans = licences::list(&self.0, &who).await.map_err(status)?;
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        let plans = plans
            .into_iter()
            .map(|plan| pb::Plan {
                plan_id: plan.id.to_string(),
                name: plan.name,
                purchased: count(plan.purchased),
                assigned: count(plan.assigned),
                expires_at: plan.expires_at.map(stamp),
            })
            .collect();
        Ok(Response::new(pb::ListPlansResponse { plans }))
    }

    #[tracing::instrument(skip_all)]
    async fn assign_licence(
        &self,
        request: Request<pb::AssignLicenceRequest>,
    ) -> Result<Response<pb::AssignLicenceResponse>, Status> {
        let who = self
            .0
            .enter(rpc::ASSIGN_LICENCE, &caller(&request)?)
            .await
            .map_err(status)?;
        let asked = request.into_inner();
        let done = licences::assign(&self.0, &who, &asked.user_id, &asked.plan_id).await;
        self.0
            .audit(&who, &asked.user_id, done)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::AssignLicenceResponse {}))
    }
}
