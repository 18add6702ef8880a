//! DomainService.

use sallyport_proto::admin::v1 as pb;
use tonic::{Request, Response, Status};

use super::stamp;
use super::status::{caller, status};
use crate::app::{App, Origin, domain, domains};
use crate::domain::permission::rpc;

pub struct Domains(pub App);

#[tonic::async_trait]
impl pb::domain_service_server::DomainService for Domains {
    #[tracing::instrument(skip_all)]
    async fn list_domains(
        &self,
        request: Request<pb::ListDomainsRequest>,
    ) -> Result<Response<pb::ListDomainsResponse>, Status> {
        let who = self
            .0
            .enter(rpc::LIST_DOMAINS, &caller(&request)?)
            .await
            .map_err(status)?;
        let domains = domains::list(&self.0, &who).await.map_err(status)?;
        let domains = domains.into_iter().map(encode).collect();
        Ok(Response::new(pb::ListDomainsResponse { domains }))
    }

    #[tracing::instrument(skip_all)]
    async fn approve_domain(
        &self,
        request: Request<pb::ApproveDomainRequest>,
    ) -> Result<Response<pb::ApproveDomainResponse>, Status> {
        let origin = Origin::operator(&caller(&request)?);
        let asked = request.into_inner();
        let domain = domains::approve(
            &self.0,
            &origin,
            &asked.organisation_id,
            &asked.domain,
            &asked.note,
        )
        .await
        .map_err(status)?;
        Ok(Response::new(pb::ApproveDomainResponse {
            domain: Some(encode(domain)),
        }))
    }
}

fn encode(row: domain::Model) -> pb::Domain {
    let state = match row.state.as_str() {
        "pending" => pb::DomainState::Pending,
        "verified" => pb::DomainState::Verified,
        "refused" => pb::DomainState::Refused,
        "expired" => pb::DomainState::Expired,
        _ => pb::DomainState::Unspecified,
    };
    pb::Domain {
        domain: row.domain,
        state: state.into(),
        verified_at: row.verified_at.map(stamp),
    }
}
