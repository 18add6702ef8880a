//! The gateway: the portal's pages for browsers and the JSON API for programs. It owns nothing and
//! calls identity, otp-api and account-admin.

mod api;
mod assets;
mod clients;
mod config;
mod csrf;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod headers;
mod moment;
mod otpauth;
mod pages;
mod problem;
mod process;
mod refusals;
mod serve;
mod session;
mod twice;
mod visitor;
mod watch;
mod words;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use sallyport_chassis::Clock;
use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::config::Profile;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
pub use crate::config::{Config, Listen, Network, PROCESS, Peers, PublicTls, SETTINGS, Settings};
pub use crate::process::serve;
use crate::serve::Door;

/// What the gateway stands on: its socket, the time, and channels to the three services, on which
/// it is known as the service "gateway".
pub struct Wiring {
    /// The bound public socket.
    pub http: tokio::net::TcpListener,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// A channel to identity.
    pub identity: Outgoing,
    /// A channel to otp-api.
    pub otp: Outgoing,
    /// A channel to account-admin.
    pub admin: Outgoing,
}

/// What every handler sees.
pub(crate) struct App {
    settings: Settings,
    profile: Profile,
    /// `scheme://host[:port]` of the portal, as browsers write it in `Origin`.
    origin: String,
    clock: Arc<dyn Clock>,
    clients: Clients,
    twice: twice::Twice,
    stop: CancellationToken,
}

/// Serves pages and API until `stop`.
pub async fn run(config: Config, wiring: Wiring, stop: CancellationToken) -> Result<()> {
    config.check()?;
    let door = match (&config.gateway.tls, config.profile) {
        (Some(tls), _) => Door::Tls(serve::tls(tls)?),
        (None, Profile::Production) => Door::Proxies(config.gateway.trusted_proxies.clone()),
        (None, Profile::Development) => Door::Plain,
    };
    let seats = door.seats(&config.gateway);
    let app = Arc::new(App {
        origin: config.gateway.url()?.origin().ascii_serialization(),
        settings: config.gateway,
        profile: config.profile,
        clock: wiring.clock,
        clients: Clients::new(wiring.identity, wiring.otp, wiring.admin),
        twice: twice::Twice::default(),
        stop: stop.clone(),
    });
    serve::serve(wiring.http, door, seats, router(&app), stop).await
}

fn router(app: &Arc<App>) -> Router {
    let opened = axum::middleware::from_fn_with_state(app.clone(), visitor::open);
    Router::new()
        .merge(pages::router(app))
        .nest("/api/v1", api::router(app))
        .merge(assets::router())
        .route("/healthz", axum::routing::get(|| async { "ok\n" }))
        .layer(opened)
}
