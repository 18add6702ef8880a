//! identity: passwords, second factors and sessions.
//!
//! This file is the one place where the service is put together; `main`, the all-in-one and the
//! tests call [`run`] alike.

pub mod adapters;
pub mod app;
pub mod config;
pub mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod grpc;
pub mod ports;
mod process;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::supervise::Supervisor;
use sallyport_proto::identity::v1::code_service_server::CodeServiceServer;
use sallyport_proto::identity::v1::mail_inbox_service_server::MailInboxServiceServer;
use sallyport_proto::identity::v1::password_service_server::PasswordServiceServer;
use sallyport_proto::identity::v1::projection_service_server::ProjectionServiceServer;
use sallyport_proto::identity::v1::sign_in_service_server::SignInServiceServer;
use sallyport_proto::identity::v1::two_factor_service_server::TwoFactorServiceServer;
use sallyport_sql::Database;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::adapters::mail_inbox::MailInbox;
use crate::adapters::mail_smtp::SmtpRoute;
use crate::app::code::watch::Watches;
use crate::app::hashing::HashPool;
use crate::app::relying_party::RelyingParty;
use crate::app::{App, OutboxWake, events, housekeeping, mail, notices};
use crate::config::{Config, MailRouteKind};
use crate::grpc::session_answers::SessionAnswers;
use crate::ports::MailRoute;
pub use process::serve;

/// How long calls and relays have to end after the stop.
const GRACE: Duration = Duration::from_secs(20);

/// Names of the gRPC services, for health.
const SERVICES: &[&str] = &[
    "sallyport.identity.v1.SignInService",
    "sallyport.identity.v1.PasswordService",
    "sallyport.identity.v1.ProjectionService",
    "sallyport.identity.v1.CodeService",
    "sallyport.identity.v1.TwoFactorService",
];

/// What the service is given from outside: where it is reached, the time, and its neighbours.
pub struct Wiring {
    /// Where it is reached.
    pub listener: Listener,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The channel to otp-api.
    pub otp: Outgoing,
    /// The channel to account-admin.
    pub account_admin: Outgoing,
}

/// Serves until `stop`.
pub async fn run(config: Config, wiring: Wiring, stop: CancellationToken) -> Result<()> {
    config.check()?;
    let database = Database::connect(&config.database, "identity").await?;
    if config.database.migrate_at_start {
        database.migrate::<store::Migrator>().await?;
    }
    let ring = |file: &str| config.keys.ring(file, config.profile).map(Arc::new);
    let app = App {
        database,
        clock: wiring.clock.clone(),
        settings: Arc::new(config.identity.clone()),
        lookup: ring("lookup.keys")?,
        pepper: ring("pepper.keys")?,
        totp: ring("totp.keys")?,
        relying_party: RelyingParty::new(&config.identity)?.map(Arc::new),
        hashing: Arc::new(HashPool::start(&config.identity.password)?),
        otp: wiring.otp,
        outbox_wake: OutboxWake::default(),
        noted: Arc::default(),
        profile: config.profile,
    };
    let (route, inbox): (Arc<dyn MailRoute>, _) = match config.identity.mail.route {
        MailRouteKind::Smtp => (Arc::new(SmtpRoute::new(&config.identity.mail)?), None),
        MailRouteKind::Inbox => {
            let inbox = Arc::new(MailInbox::new(wiring.clock));
            (inbox.clone(), Some(inbox))
        }
    };
    let server = GrpcServer {
        listener: wiring.listener,
        table: grpc::callers::table(),
        routes: routes(&app, inbox, Watches::new(stop.clone())),
        names: SERVICES,
        descriptors: sallyport_proto::DESCRIPTORS,
        profile: config.profile,
    };
    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("grpc", server.serve(stop.clone()));
    let relayed = events::relay(app.clone(), wiring.account_admin, stop.clone());
    tasks.spawn("events", ending(relayed));
    tasks.spawn(
        "mail",
        ending(mail::relay(app.clone(), route, stop.clone())),
    );
    tasks.spawn("notices", ending(notices::relay(app.clone(), stop.clone())));
    tasks.spawn("housekeeping", ending(housekeeping::run(app, stop)));
    tasks.run(GRACE).await
}

/// A task that ends when it is asked to, and cannot fail.
async fn ending(task: impl Future<Output = ()>) -> Result<()> {
    task.await;
    Ok(())
}

fn routes(app: &App, inbox: Option<Arc<MailInbox>>, watches: Arc<Watches>) -> Routes {
    let answers = Arc::<SessionAnswers>::default();
    let mut routes = Routes::new(SignInServiceServer::new(grpc::sign_in::SignIn::new(
        app.clone(),
        Arc::clone(&answers),
    )))
    .add_service(PasswordServiceServer::new(grpc::password::Passwords::new(
        app.clone(),
    )))
    .add_service(ProjectionServiceServer::new(
        grpc::projection::Projection::new(app.clone()),
    ))
    .add_service(CodeServiceServer::new(grpc::code::Codes::new(
        app.clone(),
        watches,
    )))
    .add_service(TwoFactorServiceServer::new(
        grpc::two_factor::TwoFactors::new(app.clone()),
    ));
    if let Some(inbox) = inbox {
        let inbox = grpc::mail_inbox::Inbox::new(inbox);
        routes = routes.add_service(MailInboxServiceServer::new(inbox));
    }
    answers.watch(routes)
}
