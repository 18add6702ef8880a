//! Session check: identity's GetSession on PostgreSQL against an echo and against one SELECT.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use sallyport_proto::identity::v1::GetSessionRequest;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::Row;
use super::users::{Identity, USERS};
use crate::bench::bare::session::token;
use crate::bench::child::{Child, connect};
use crate::bench::load::{self, Ask, IN_FLIGHT};
use crate::bench::{Plan, report};

/// Measures the row.
pub async fn measure(row: Row, plan: Plan) -> Result<report::Row> {
    let identity = Identity::start(1).await?;
    let tokens = bearers(identity.sign_all_in().await?)?;
    let socket = identity.sockets.text("bare")?;
    let bare = if let Row::SessionEcho = row {
        Child::start(&["bare-echo", "--socket", &socket]).await?
    } else {
        let database = identity.postgres.create_database("bare").await?;
        let sessions = USERS.to_string();
        Child::start(&[
            "bare-select",
            "--socket",
            &socket,
            "--postgres",
            &database,
            "--sessions",
            &sessions,
        ])
        .await?
    };
    let bare_channels = connect(&identity.sockets.path("bare")).await?;
    let bare_tokens = bearers((0..USERS).map(token))?;
    let (limit, product) = plan
        .in_turn(
            row.name(),
            async || {
                let callers = callers(&bare_channels, &bare_tokens, IN_FLIGHT);
                load::run(plan.times, callers, &bare).await
            },
            async || {
                let callers = callers(&identity.channels, &tokens, IN_FLIGHT);
                load::run(plan.times, callers, &identity.child).await
            },
        )
        .await?;
    row.of_servers(&limit, &product)
}

/// The values of the header `authorization`.
pub(super) type Bearers = Arc<[MetadataValue<Ascii>]>;

/// Of tokens.
pub(super) fn bearers(tokens: impl IntoIterator<Item = String>) -> Result<Bearers> {
    tokens
        .into_iter()
        .map(|token| {
            format!("Bearer {token}")
                .parse()
                .context("a token that is no header")
        })
        .collect()
}

/// So many callers, who ask for one session after the other.
pub(super) fn callers(channels: &[Channel], tokens: &Bearers, callers: usize) -> Vec<GetSession> {
    let next = Arc::new(AtomicUsize::new(0));
    (0..callers)
        .zip(channels.iter().cycle())
        .map(|(_, channel)| GetSession {
            client: SignInServiceClient::new(channel.clone()),
            tokens: Arc::clone(tokens),
            next: Arc::clone(&next),
        })
        .collect()
}

/// Asks whose session it is.
pub(super) struct GetSession {
    client: SignInServiceClient<Channel>,
    tokens: Bearers,
    next: Arc<AtomicUsize>,
}

impl Ask for GetSession {
    async fn ask(&mut self) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let token = &self.tokens[number % self.tokens.len()];
        let mut request = Request::new(GetSessionRequest {});
        request
            .metadata_mut()
            .insert("authorization", token.clone());
        let answer = self
            .client
            .get_session(request)
            .await
            .context("GetSession")?;
        ensure!(
            answer.into_inner().session.is_some(),
            "an answer without a session"
        );
        Ok(())
    }
}
