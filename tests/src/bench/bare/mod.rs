//! The limits: the least that could do the same work.

pub mod challenge;
pub mod events;
pub mod hash;
pub mod session;

use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::child::say_ready;

/// Serves on a unix socket until it is killed.
async fn serve(socket: &Path, routes: Routes) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("{} cannot be bound", socket.display()))?;
    say_ready();
    Server::builder()
        .add_routes(routes)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
        .context("serving")
}
