//! The front door: decode, one call, encode.

pub mod callers;
mod domain;
pub(crate) mod event;
mod licence;
mod organisation;
pub(crate) mod profile;
mod status;
mod user;

use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_proto::admin::v1 as pb;
use tonic::service::Routes;

use crate::app::{App, plan};

/// Full names of the services, for health.
pub const NAMES: &[&str] = &[
    "sallyport.admin.v1.OrganisationService",
    "sallyport.admin.v1.ProfileService",
    "sallyport.admin.v1.UserService",
    "sallyport.admin.v1.LicenceService",
    "sallyport.admin.v1.DomainService",
    "sallyport.admin.v1.EventService",
];

/// Every service over the use cases.
pub fn routes(app: &App) -> Routes {
    use pb::domain_service_server::DomainServiceServer;
    use pb::event_service_server::EventServiceServer;
    use pb::licence_service_server::LicenceServiceServer;
    use pb::organisation_service_server::OrganisationServiceServer;
    use pb::profile_service_server::ProfileServiceServer;
    use pb::user_service_server::UserServiceServer;
    Routes::new(OrganisationServiceServer::new(organisation::Organisations(
        app.clone(),
    )))
    .add_service(ProfileServiceServer::new(profile::Profiles(app.clone())))
    .add_service(UserServiceServer::new(user::Users(app.clone())))
    .add_service(LicenceServiceServer::new(licence::Licences(app.clone())))
    .add_service(DomainServiceServer::new(domain::Domains(app.clone())))
    .add_service(EventServiceServer::new(event::Events(app.clone())))
}

fn stamp(ms: i64) -> prost_types::Timestamp {
    to_proto(from_ms(ms))
}

fn held_licence(plan: plan::Model) -> pb::Licence {
    pb::Licence {
        plan_id: plan.id.to_string(),
        plan_name: plan.name,
        expires_at: plan.expires_at.map(stamp),
    }
}
