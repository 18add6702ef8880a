//! As much of identity as account-admin calls: sessions by token, projections behind a version gate,
//! invitations. It is really gone while it is stopped.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sallyport_chassis::config::Profile;
use sallyport_chassis::listener::Listener;
use sallyport_chassis::serve::GrpcServer;
use sallyport_chassis::{Access, Caller, CallerTable, Peer, Refusal};
use sallyport_proto::identity::v1 as pb;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

#[derive(Clone, Default)]
pub struct State {
    pub sessions: HashMap<String, pb::Session>,
    pub users: HashMap<String, pb::UserProjection>,
    /// Every version that came in for a user, in order.
    pub puts: HashMap<String, Vec<u64>>,
    /// To whom invitations were mailed, by idempotency key.
    pub mails: HashMap<String, String>,
    /// Who was mailed a link that sets another password.
    pub resets: Vec<String>,
    /// Who can be mailed none, and how often that was said.
    pub not_active: HashMap<String, u32>,
    /// Who has set a password.
    pub with_password: HashSet<String>,
    pub session_questions: u32,
}

/// The server's task, and what ends it.
type Running = (CancellationToken, JoinHandle<()>);

#[derive(Clone)]
pub struct FakeIdentity {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    running: Arc<Mutex<Option<Running>>>,
}

impl FakeIdentity {
    pub fn start(path: PathBuf) -> Self {
        let fake = Self {
            path,
            state: Arc::default(),
            changed: watch::channel(0).0,
            running: Arc::default(),
        };
        fake.start_again();
        fake
    }

    pub fn start_again(&self) {
        let path = "/sallyport.identity.v1";
        let leak = |rpc: &str| -> &'static str { format!("{path}.{rpc}").leak() };
        let ours = Access::Services(&["account-admin"]);
        let server = GrpcServer {
            listener: Listener::unix(&self.path, Peer::service("account-admin")).unwrap(),
            table: CallerTable::new(
                "account-admin",
                &[
                    (leak("SignInService/GetSession"), Access::Bearer),
                    (leak("ProjectionService/PutUser"), ours),
                    (leak("ProjectionService/InviteUser"), ours),
                    (leak("ProjectionService/StartPasswordReset"), ours),
                ],
            ),
            routes: Routes::new(pb::sign_in_service_server::SignInServiceServer::new(
                self.clone(),
            ))
            .add_service(pb::projection_service_server::ProjectionServiceServer::new(
                self.clone(),
            )),
            names: &[],
            descriptors: sallyport_proto::DESCRIPTORS,
            profile: Profile::Production,
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { server.serve(token).await.unwrap() });
        *self.running.lock().unwrap() = Some((stop, task));
    }

    /// Ends the server; calls fail until it is started again.
    pub async fn stop(&self) {
        let (stop, task) = self.running.lock().unwrap().take().unwrap();
        stop.cancel();
        task.await.unwrap();
        std::fs::remove_file(&self.path).unwrap();
    }

    pub fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Waits until the state is as told.
    pub async fn until(&self, what: &str, is: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !is(&self.state()) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), wait)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }
}

#[tonic::async_trait]
impl pb::projection_service_server::ProjectionService for FakeIdentity {
    async fn put_user(
        &self,
        request: Request<pb::PutUserRequest>,
    ) -> Result<Response<pb::PutUserResponse>, Status> {
        let user = request.into_inner().user.unwrap();
        let version = self.change(|state| {
            state
                .puts
                .entry(user.user_id.clone())
                .or_default()
                .push(user.version);
            let stored = state.users.entry(user.user_id.clone()).or_default();
            if stored.version < user.version {
                *stored = user;
            }
            stored.version
        });
        Ok(Response::new(pb::PutUserResponse { version }))
    }

    async fn start_password_reset(
        &self,
        request: Request<pb::StartPasswordResetRequest>,
    ) -> Result<Response<pb::StartPasswordResetResponse>, Status> {
        let user_id = request.into_inner().user_id;
        self.change(|state| match state.not_active.get_mut(&user_id) {
            Some(times) => {
                *times += 1;
                Err(Refusal::new(Code::FailedPrecondition, "user.not_active"))
            }
            None => {
                state.resets.push(user_id);
                Ok(())
            }
        })?;
        Ok(Response::new(pb::StartPasswordResetResponse {}))
    }

    async fn invite_user(
        &self,
        request: Request<pb::InviteUserRequest>,
    ) -> Result<Response<pb::InviteUserResponse>, Status> {
        let request = request.into_inner();
        if !self.state().users.contains_key(&request.user_id) {
            return Err(Refusal::new(Code::NotFound, "user.not_found").into());
        }
        if self.state().with_password.contains(&request.user_id) {
            return Err(Refusal::new(Code::FailedPrecondition, "user.has_password").into());
        }
        // The link comes once a key, as the stored form is a hash.
        let link_token = self.change(|state| {
            let mails = state.mails.len();
            match state
                .mails
                .insert(request.idempotency_key.clone(), request.user_id)
            {
                Some(_) => String::new(),
                None => format!("spl_{mails}"),
            }
        });
        Ok(Response::new(pb::InviteUserResponse {
            link_token,
            expires_at: None,
        }))
    }
}

#[tonic::async_trait]
impl pb::sign_in_service_server::SignInService for FakeIdentity {
    async fn get_session(
        &self,
        request: Request<pb::GetSessionRequest>,
    ) -> Result<Response<pb::GetSessionResponse>, Status> {
        let token = Caller::of(&request)?.token().cloned()?;
        let session = self.change(|state| {
            state.session_questions += 1;
            state.sessions.get(token.expose()).cloned()
        });
        match session {
            Some(session) => Ok(Response::new(pb::GetSessionResponse {
                session: Some(session),
            })),
            None => Err(Refusal::new(Code::Unauthenticated, "session.expired").into()),
        }
    }

    async fn sign_in(
        &self,
        _: Request<pb::SignInRequest>,
    ) -> Result<Response<pb::SignInResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }

    async fn sign_out(
        &self,
        _: Request<pb::SignOutRequest>,
    ) -> Result<Response<pb::SignOutResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }

    async fn list_sessions(
        &self,
        _: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }

    async fn revoke_sessions(
        &self,
        _: Request<pb::RevokeSessionsRequest>,
    ) -> Result<Response<pb::RevokeSessionsResponse>, Status> {
        Err(Status::unimplemented("not called"))
    }
}
