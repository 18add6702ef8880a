//! The identity service, as account-admin uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sallyport_chassis::channel::Outgoing;
use sallyport_chassis::keyring::token_hash;
use sallyport_chassis::{Caller, Clock, Refusal, Secret};
use sallyport_proto::identity::v1::projection_service_client::ProjectionServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::{
    GetSessionRequest, InviteUserRequest, PutUserRequest, Session, StartPasswordResetRequest,
    UserProjection,
};
use tonic::Status;
use uuid::Uuid;

/// Sessions kept at most; beyond, all are asked for again.
const CACHED_AT_MOST: usize = 10_000;

/// Calls to identity.
#[derive(Clone)]
pub struct Identity {
    sign_in: SignInServiceClient<Outgoing>,
    projection: ProjectionServiceClient<Outgoing>,
    clock: Arc<dyn Clock>,
    cache_ms: i64,
    sessions: Arc<Mutex<HashMap<String, (i64, Session)>>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Calls over a channel; sessions are kept for `cache_ms` milliseconds.
    pub fn new(channel: Outgoing, clock: Arc<dyn Clock>, cache_ms: u32) -> Self {
        Self {
            sign_in: SignInServiceClient::new(channel.clone()),
            projection: ProjectionServiceClient::new(channel),
            clock,
            cache_ms: i64::from(cache_ms),
            sessions: Arc::default(),
        }
    }

    /// Who the caller's token is. Only good answers are kept, under the token's hash.
    pub async fn session(&self, caller: &Caller) -> Result<Session, Box<Status>> {
        let token = caller.token().map_err(|refusal| Box::new(refusal.into()))?;
        let key = token_hash(token.expose());
        let asked_at = self.clock.now_ms();
        if let Some(session) = self.kept(&key, asked_at) {
            return Ok(session);
        }
        let answer = self
            .sign_in
            .clone()
            .get_session(caller.forward(GetSessionRequest {}))
            .await
            .map_err(Box::new)?;
        let session = answer
            .into_inner()
            .session
            .ok_or_else(|| Box::new(Status::internal("identity answered without a session")))?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= CACHED_AT_MOST {
            sessions.retain(|_, (kept_at, _)| self.is_fresh(*kept_at, asked_at));
            if sessions.len() >= CACHED_AT_MOST {
                sessions.clear();
            }
        }
        // The age counts from before the question: the answer is at least that old.
        sessions.insert(key, (asked_at, session.clone()));
        Ok(session)
    }

    fn kept(&self, key: &str, now: i64) -> Option<Session> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept_at, session) = sessions.get(key)?;
        self.is_fresh(*kept_at, now).then(|| session.clone())
    }

    /// A clock that was set back makes every answer stale.
    fn is_fresh(&self, kept_at: i64, now: i64) -> bool {
        (0..self.cache_ms).contains(&(now - kept_at))
    }

    /// Tells identity of a user.
    pub async fn put_user(&self, user: UserProjection) -> Result<(), Box<Status>> {
        self.projection
            .clone()
            .put_user(PutUserRequest { user: Some(user) })
            .await
            .map_err(Box::new)?;
        Ok(())
    }

    /// Has identity invite a user. The link comes once a key: repeating makes no second mail and
    /// gives an empty link; another key makes another mail and ends earlier links. A user who has
    /// set a password gets an empty link too.
    pub async fn invite(&self, user_id: Uuid, key: String) -> Result<Secret, Box<Status>> {
        let request = InviteUserRequest {
            user_id: user_id.to_string(),
            idempotency_key: key,
        };
        match self.projection.clone().invite_user(request).await {
            Ok(answer) => Ok(Secret::new(answer.into_inner().link_token)),
            // Our row says "invited" until the event of the new password has come.
            Err(status) if is(&status, "user.has_password") => Ok(Secret::default()),
            Err(status) => Err(Box::new(status)),
        }
    }

    /// Has identity mail a user a link that sets another password. False where identity refuses it
    /// for good: since it was asked for, he has become one who can have none.
    pub async fn start_password_reset(&self, user_id: Uuid) -> Result<bool, Box<Status>> {
        let request = StartPasswordResetRequest {
            user_id: user_id.to_string(),
        };
        match self.projection.clone().start_password_reset(request).await {
            Ok(_) => Ok(true),
            Err(status) if is(&status, "user.not_active") => Ok(false),
            Err(status) => Err(Box::new(status)),
        }
    }
}

fn is(status: &Status, reason: &str) -> bool {
    Refusal::from_status(status).is_some_and(|refusal| refusal.reason == reason)
}
