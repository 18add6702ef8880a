//! The services of `sallyport.otp.v1`, one file each: decode, one call, encode.

pub(crate) mod binding;
mod callers;
mod challenge;
mod guard;
mod inbox;
mod notice;
mod number;
mod status;

use std::sync::Arc;

use sallyport_chassis::CallerTable;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_proto::otp::v1::challenge_service_server::ChallengeServiceServer;
use sallyport_proto::otp::v1::guard_service_server::GuardServiceServer;
use sallyport_proto::otp::v1::notice_service_server::NoticeServiceServer;
use sallyport_proto::otp::v1::number_service_server::NumberServiceServer;
use sallyport_proto::otp::v1::sms_inbox_service_server::SmsInboxServiceServer;
use tonic::service::Routes;

use crate::adapters::route_inbox::SmsInbox;
use crate::app::Otp;
use crate::config::Config;

/// The front door of otp-api. The inbox answers only where there is one, which is in development.
pub fn server(
    config: &Config,
    listener: Listener,
    otp: Arc<Otp>,
    inbox: Option<SmsInbox>,
) -> GrpcServer {
    let challenges = challenge::Challenges(Arc::clone(&otp));
    let numbers = number::Numbers(Arc::clone(&otp));
    let guards = guard::Guards(Arc::clone(&otp));
    let mut routes = Routes::default()
        .add_service(ChallengeServiceServer::new(challenges))
        .add_service(NumberServiceServer::new(numbers))
        .add_service(GuardServiceServer::new(guards))
        .add_service(NoticeServiceServer::new(notice::Notices(otp)));
    if let Some(inbox) = inbox {
        routes = routes.add_service(SmsInboxServiceServer::new(inbox::Inbox(inbox)));
    }
    GrpcServer {
        listener,
        table: CallerTable::new("gateway", callers::ROWS),
        routes,
        names: callers::SERVICES,
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: config.profile,
    }
}
