//! A neighbour that takes identity's events and keeps nothing, so that its relay works as it does
//! when account-admin is there.

use std::path::Path;

use anyhow::Result;
use sallyport_proto::admin::v1::event_service_server::{EventService, EventServiceServer};
use sallyport_proto::admin::v1::{
    AppendEventsRequest, AppendEventsResponse, ListEventsRequest, ListEventsResponse,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

struct Taken;

#[tonic::async_trait]
impl EventService for Taken {
    async fn append_events(
        &self,
        _: Request<AppendEventsRequest>,
    ) -> Result<Response<AppendEventsResponse>, Status> {
        Ok(Response::new(AppendEventsResponse {}))
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(Status::unimplemented("only appending is measured"))
    }
}

/// Serves until it is killed.
pub async fn serve(socket: &Path) -> Result<()> {
    super::serve(socket, Routes::new(EventServiceServer::new(Taken))).await
}
