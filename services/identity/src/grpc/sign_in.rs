//! `sallyport.identity.v1.SignInService`.

use std::sync::Arc;

use sallyport_chassis::clock::{from_ms, to_proto};
use sallyport_chassis::{Caller, Refusal, Secret};
use sallyport_proto::identity::v1::sign_in_service_server::SignInService;
use sallyport_proto::identity::v1::{
    GetSessionRequest, GetSessionResponse, ListSessionsRequest, ListSessionsResponse, OpenSession,
    RevokeSessionsRequest, RevokeSessionsResponse, Session, SessionStage, SignInRequest,
    SignInResponse, SignOutRequest, SignOutResponse,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::session::SessionContext;
use crate::app::sessions::{self, Open};
use crate::app::{App, session, sign_in};
use crate::domain::session::Stage;
use crate::grpc::session_answers::SessionAnswers;

/// The service.
pub struct SignIn {
    app: App,
    answers: Arc<SessionAnswers>,
}

impl SignIn {
    /// Over the use cases, and the answers of GetSession that still hold.
    pub fn new(app: App, answers: Arc<SessionAnswers>) -> Self {
        Self { app, answers }
    }
}

#[tonic::async_trait]
impl SignInService for SignIn {
    async fn sign_in(
        &self,
        request: Request<SignInRequest>,
    ) -> Result<Response<SignInResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let opened = sign_in::sign_in(
            &self.app,
            &caller,
            &request.email,
            &Secret::new(request.password),
            &Secret::new(request.browser_token),
        )
        .await?;
        Ok(Response::new(SignInResponse {
            session_token: opened.token.expose().to_owned(),
            stage: stage(opened.stage).into(),
        }))
    }

    async fn sign_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        sessions::sign_out(&self.app, &Caller::of(&request)?).await?;
        Ok(Response::new(SignOutResponse {}))
    }

    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let caller = Caller::of(&request)?;
        let hash = session::token_hash_of(&caller)?;
        let now_ms = self.app.clock.now_ms();
        let session = if let Some(session) = self.answers.get(&hash, now_ms) {
            session
        } else {
            let turn = self.answers.turn();
            let context = session::authenticate(&self.app, &caller).await?;
            let session = Arc::new(encode(context));
            self.answers.keep(hash, &session, turn, now_ms);
            session
        };
        Ok(Response::new(GetSessionResponse {
            session: Some(Arc::unwrap_or_clone(session)),
        }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let open = sessions::list(&self.app, &Caller::of(&request)?).await?;
        Ok(Response::new(ListSessionsResponse {
            sessions: open.into_iter().map(encode_open).collect(),
        }))
    }

    async fn revoke_sessions(
        &self,
        request: Request<RevokeSessionsRequest>,
    ) -> Result<Response<RevokeSessionsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let session_id = match request.get_ref().session_id.as_str() {
            "" => None,
            // An id of another form names no session of the user, like an unknown one.
            id => Some(Uuid::try_parse(id).map_err(|_| not_found())?),
        };
        let ended = sessions::revoke(&self.app, &caller, session_id).await?;
        if session_id.is_some() && ended == 0 {
            return Err(not_found());
        }
        Ok(Response::new(RevokeSessionsResponse {
            ended: u32::try_from(ended).unwrap_or(u32::MAX),
        }))
    }
}

fn not_found() -> Status {
    Refusal::new(tonic::Code::NotFound, "session.not_found").into()
}

fn stage(stage: Stage) -> SessionStage {
    match stage {
        Stage::AwaitingSecondFactor => SessionStage::AwaitingSecondFactor,
        Stage::SignedIn => SessionStage::SignedIn,
    }
}

fn encode(context: SessionContext) -> Session {
    let may_enrol = context.enrols_anew();
    let SessionContext {
        session,
        user,
        second_factor_active,
        second_factor_disabled,
        ..
    } = context;
    let at = |ms| Some(to_proto(from_ms(ms)));
    Session {
        session_id: session.id.to_string(),
        user_id: user.id.to_string(),
        organisation_id: user.organisation_id.to_string(),
        stage: stage(session.stage).into(),
        permissions: user.permissions(),
        assurance: u32::try_from(session.assurance).unwrap_or(1),
        password_at: at(session.password_at),
        second_factor_at: session.second_factor_at.and_then(at),
        expires_at: at(session.expires_at),
        email: user.email,
        locale: user.locale,
        second_factor_active,
        may_enrol,
        second_factor_disabled,
    }
}

fn encode_open(open: Open) -> OpenSession {
    let Open { session, current } = open;
    OpenSession {
        session_id: session.id.to_string(),
        created_at: Some(to_proto(from_ms(session.created_at))),
        last_used_at: Some(to_proto(from_ms(session.last_used_at))),
        client_ip: session.client_ip,
        user_agent: session.user_agent,
        current,
    }
}
