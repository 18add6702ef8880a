//! Serving gRPC until stopped.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::caller::{CallerLayer, CallerTable};
use crate::config::Profile;
use crate::listener::Listener;

/// How long a handler may take before the caller gets `CANCELLED`.
const HANDLER_LIMIT: Duration = Duration::from_secs(35);
/// How many calls may be under way on one connection.
const STREAMS: u32 = 1024;

/// One gRPC server: its services behind the caller table, health, and in development reflection.
pub struct GrpcServer {
    /// Where it is reached.
    pub listener: Listener,
    /// Who may call what.
    pub table: CallerTable,
    /// The services.
    pub routes: Routes,
    /// Full names of the services, for health.
    pub names: &'static [&'static str],
    /// Encoded descriptors, for reflection.
    pub descriptors: &'static [u8],
    /// Reflection answers in development only.
    pub profile: Profile,
}

impl GrpcServer {
    /// Serves until `stop`, then answers NOT_SERVING, takes no more connections and finishes what is
    /// under way.
    pub async fn serve(self, stop: CancellationToken) -> Result<()> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for name in self.names.iter().chain(&[""]) {
            health
                .set_service_status(name, tonic_health::ServingStatus::Serving)
                .await;
        }
        let mut server = Server::builder()
            .timeout(HANDLER_LIMIT)
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_max_header_list_size(16 * 1024)
            .layer(CallerLayer::new(self.table));
        if let Some(tls) = self.listener.tls.clone() {
            server = server.tls_config(tls).context("TLS")?;
        }
        let reflection = (self.profile == Profile::Development)
            .then(|| {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(self.descriptors)
                    .build_v1()
            })
            .transpose()
            .context("reflection")?;
        let mut routes = self.routes.add_service(health_service);
        if let Some(reflection) = reflection {
            routes = routes.add_service(reflection);
        }
        let names = self.names;
        let stopped = async move {
            stop.cancelled().await;
            for name in names.iter().chain(&[""]) {
                health
                    .set_service_status(name, tonic_health::ServingStatus::NotServing)
                    .await;
            }
        };
        server
            .add_routes(routes)
            .serve_with_incoming_shutdown(self.listener, stopped)
            .await
            .context("gRPC server")
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use futures::future::join_all;
    use futures::stream;
    use hyper_util::rt::TokioIo;
    use sallyport_proto::otp::v1::sms_inbox_service_client::SmsInboxServiceClient;
    use sallyport_proto::otp::v1::sms_inbox_service_server::{
        SmsInboxService, SmsInboxServiceServer,
    };
    use sallyport_proto::otp::v1::{ListSmsRequest, ListSmsResponse};
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;
    use tokio::time::Instant;
    use tonic::body::Body;
    use tonic::transport::{Channel, Endpoint};
    use tonic::{Code, Request, Response, Status};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tower::{Service, ServiceExt};

    use super::*;
    use crate::channel::Dialler;
    use crate::listener::FIRST_REQUEST_LIMIT;
    use crate::{Access, Peer};

    const SERVICE: &str = "sallyport.otp.v1.SmsInboxService";
    const RPC: &str = "/sallyport.otp.v1.SmsInboxService/ListSms";

    /// An inbox that answers whoever does not wait, and nobody else. Tells when it was asked.
    struct Inbox(mpsc::UnboundedSender<Instant>);

    #[tonic::async_trait]
    impl SmsInboxService for Inbox {
        async fn list_sms(
            &self,
            request: Request<ListSmsRequest>,
        ) -> Result<Response<ListSmsResponse>, Status> {
            self.0.send(Instant::now()).unwrap();
            if request.get_ref().wait_seconds > 0 {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(ListSmsResponse::default()))
        }
    }

    /// What the inbox never answers.
    fn waiting() -> ListSmsRequest {
        ListSmsRequest {
            wait_seconds: 1,
            ..ListSmsRequest::default()
        }
    }

    /// Serves the inbox in memory, where time can be moved; serves until the dialler is dropped.
    fn served(profile: Profile) -> (Dialler, mpsc::UnboundedReceiver<Instant>) {
        let (told, asked) = mpsc::unbounded_channel();
        let (dialler, listener) = Listener::memory();
        let server = GrpcServer {
            listener,
            table: CallerTable::new("gateway", &[(RPC, Access::Public)]),
            routes: Routes::new(SmsInboxServiceServer::new(Inbox(told))),
            names: &[SERVICE],
            descriptors: sallyport_proto::DESCRIPTORS,
            profile,
        };
        tokio::spawn(server.serve(CancellationToken::new()));
        (dialler, asked)
    }

    /// A channel without a deadline of its own, over one connection: once lost, it stays lost.
    async fn connected(dialler: &Dialler) -> Channel {
        let mut wire = Some(dialler.dial(Peer::Anonymous).await.unwrap());
        let connector = tower::service_fn(move |_: http::Uri| {
            let wire = wire.take().map(TokioIo::new);
            async move { wire.ok_or_else(|| std::io::Error::other("the connection was lost")) }
        });
        Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector)
    }

    /// The code of a call whose request goes on without an end.
    async fn endless(channel: &mut Channel, path: &str) -> Code {
        let silence = stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let request = http::Request::post(format!("http://in-process{path}"))
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .body(Body::new(axum::body::Body::from_stream(silence)))
            .unwrap();
        let ready: &mut Channel = channel.ready().await.unwrap();
        let answer = ready.call(request).await.unwrap();
        Status::from_header_map(answer.headers()).unwrap().code()
    }

    /// Timers tick in milliseconds.
    fn about(limit: Duration) -> Range<Duration> {
        limit..limit + Duration::from_millis(100)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_the_limit_whatever_deadline_it_asks_for() {
        let (dialler, mut asked) = served(Profile::Production);
        let mut client = SmsInboxServiceClient::new(connected(&dialler).await);
        let started = Instant::now();
        let mut request = Request::new(waiting());
        request.set_timeout(Duration::from_secs(3600));
        let status = client.list_sms(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Cancelled, "{status:?}");
        assert!(about(HANDLER_LIMIT).contains(&started.elapsed()));
        assert!(asked.try_recv().is_ok(), "the handler was under way");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_end_is_given_up_at_the_limit() {
        let (dialler, mut asked) = served(Profile::Production);
        let mut channel = connected(&dialler).await;
        let started = Instant::now();
        assert_eq!(endless(&mut channel, RPC).await, Code::Cancelled);
        assert!(about(HANDLER_LIMIT).contains(&started.elapsed()));
        assert!(asked.try_recv().is_err(), "no handler had begun");
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_has_no_more_calls_under_way_than_it_may() {
        let (dialler, mut asked) = served(Profile::Production);
        let client = SmsInboxServiceClient::new(connected(&dialler).await);
        let started = Instant::now();
        let calls = (0..=STREAMS).map(|_| {
            let mut client = client.clone();
            async move { client.list_sms(waiting()).await }
        });
        for answer in join_all(calls).await {
            assert_eq!(answer.unwrap_err().code(), Code::Cancelled);
        }
        asked.close();
        let (mut at_once, mut later) = (0, 0);
        while let Some(at) = asked.recv().await {
            if at < started + HANDLER_LIMIT {
                at_once += 1;
            } else {
                later += 1;
            }
        }
        assert_eq!((at_once, later), (STREAMS, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_for_nothing_is_closed() {
        let (dialler, _asked) = served(Profile::Production);
        let mut silent = dialler.dial(Peer::Anonymous).await.unwrap();
        let started = Instant::now();
        silent.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(about(FIRST_REQUEST_LIMIT).contains(&started.elapsed()));

        let mut client = SmsInboxServiceClient::new(connected(&dialler).await);
        client.list_sms(ListSmsRequest::default()).await.unwrap();
        tokio::time::advance(10 * FIRST_REQUEST_LIMIT).await;
        let again = client.list_sms(ListSmsRequest::default()).await;
        again.expect("a connection that asked once stays");
    }

    /// The services that reflection lists.
    async fn listed(channel: Channel) -> Result<Vec<String>, Status> {
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = ServerReflectionClient::new(channel)
            .server_reflection_info(stream::iter([list]))
            .await?
            .into_inner();
        match answers.message().await?.unwrap().message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                Ok(list.service.into_iter().map(|one| one.name).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn reflection_answers_in_development_alone() {
        let (development, _asked) = served(Profile::Development);
        let services = listed(connected(&development).await).await.unwrap();
        assert!(services.iter().any(|name| name == SERVICE), "{services:?}");

        let (production, _asked) = served(Profile::Production);
        let refused = listed(connected(&production).await).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
        // The older form, that some tools ask by.
        let older = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
        let mut channel = connected(&production).await;
        assert_eq!(endless(&mut channel, older).await, Code::Unimplemented);
    }
}
