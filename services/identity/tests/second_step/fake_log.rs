//! The event log: takes events and lets tests wait for them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_chassis::Peer;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::listener::Listener;
use sallyport_proto::admin::v1 as proto;
use sallyport_proto::admin::v1::event_service_server::{EventService, EventServiceServer};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub struct FakeLog {
    events: Arc<Mutex<Vec<proto::Event>>>,
    ids: Arc<Mutex<HashSet<String>>>,
    repeated: Arc<AtomicUsize>,
    changed: Arc<watch::Sender<()>>,
}

impl FakeLog {
    pub fn serve(&self) -> Outgoing {
        let (dialler, listener) = Listener::memory();
        let server =
            tonic::transport::Server::builder().add_service(EventServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(listener));
        dialler.channel(Peer::service("identity"))
    }

    /// Events of a type, oldest first.
    pub fn of_type(&self, kind: &str) -> Vec<proto::Event> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter(|event| event.r#type == kind)
            .cloned()
            .collect()
    }

    /// How many came that had come before.
    pub fn repeated(&self) -> usize {
        self.repeated.load(Ordering::SeqCst)
    }

    /// Waits until there are so many of a type, and returns them.
    pub async fn wait_for(&self, kind: &str, count: usize) -> Vec<proto::Event> {
        let mut changed = self.changed.subscribe();
        let arrived = changed.wait_for(|()| self.of_type(kind).len() >= count);
        tokio::time::timeout(Duration::from_secs(20), arrived)
            .await
            .unwrap_or_else(|_| panic!("{count} events {kind} arrive"))
            .unwrap();
        self.of_type(kind)
    }
}

#[tonic::async_trait]
impl EventService for FakeLog {
    async fn append_events(
        &self,
        request: Request<proto::AppendEventsRequest>,
    ) -> Result<Response<proto::AppendEventsResponse>, Status> {
        for event in request.into_inner().events {
            if self.ids.lock().unwrap().insert(event.event_id.clone()) {
                self.events.lock().unwrap().push(event);
            } else {
                self.repeated.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.changed.send_replace(());
        Ok(Response::new(proto::AppendEventsResponse {}))
    }

    async fn list_events(
        &self,
        _: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        Err(Status::unimplemented("not asked by identity"))
    }
}
