//! `GetSession` as little as it can be: an echo, and one SELECT.

use std::path::Path;

use anyhow::{Context, Result};
use sallyport_proto::identity::v1::sign_in_service_server::{SignInService, SignInServiceServer};
use sallyport_proto::identity::v1::{
    GetSessionRequest, GetSessionResponse, ListSessionsRequest, ListSessionsResponse,
    RevokeSessionsRequest, RevokeSessionsResponse, Session, SessionStage, SignInRequest,
    SignInResponse, SignOutRequest, SignOutResponse,
};
use sea_orm::sqlx::postgres::{PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, Executor};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// As many connections as identity has by default.
const CONNECTIONS: u32 = 10;

/// What a session holds that identity answers with, in one row.
const TABLE: &str = "CREATE TABLE session (
    token text PRIMARY KEY, session_id text NOT NULL, user_id text NOT NULL,
    organisation_id text NOT NULL, permissions text NOT NULL, assurance integer NOT NULL,
    password_at bigint NOT NULL, expires_at bigint NOT NULL, email text NOT NULL,
    locale text NOT NULL)";

const ROW: &str = "INSERT INTO session VALUES ($1, '0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d01',
    '0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d02', '0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d03',
    'user_management', 1, 1764000000000, 1764086400000, 'user-17@bench.example', 'en')";

const SELECT: &str = "SELECT session_id, user_id, organisation_id, permissions, assurance,
    password_at, expires_at, email, locale FROM session WHERE token = $1";

type Found = (
    String,
    String,
    String,
    String,
    i32,
    i64,
    i64,
    String,
    String,
);

/// The token of a session of the bare server.
pub fn token(number: usize) -> String {
    format!("sps_{number:043}")
}

enum Bare {
    Echo,
    Select(PgPool),
}

impl Bare {
    async fn find(&self, token: &str) -> Result<Option<Found>, sqlx::Error> {
        match self {
            Self::Echo => Ok(Some((
                "0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d01".to_owned(),
                "0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d02".to_owned(),
                "0199a8b2-7c1e-7d0f-9a50-5a1c3c7e9d03".to_owned(),
                "user_management".to_owned(),
                1,
                1_764_000_000_000,
                1_764_086_400_000,
                "user-17@bench.example".to_owned(),
                "en".to_owned(),
            ))),
            Self::Select(pool) => {
                sqlx::query_as(SELECT)
                    .bind(token)
                    .fetch_optional(pool)
                    .await
            }
        }
    }
}

#[tonic::async_trait]
impl SignInService for Bare {
    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or_else(|| Status::unauthenticated("no token"))?;
        let found = self
            .find(token)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?
            .ok_or_else(|| Status::unauthenticated("no session"))?;
        let instant = |ms: i64| {
            Some(prost_types::Timestamp {
                seconds: ms / 1_000,
                nanos: ((ms % 1_000) * 1_000_000) as i32,
            })
        };
        let (session_id, user_id, organisation_id, permissions, assurance, .., email, locale) =
            found;
        let (password_at, expires_at) = (instant(found.5), instant(found.6));
        Ok(Response::new(GetSessionResponse {
            session: Some(Session {
                session_id,
                user_id,
                organisation_id,
                stage: SessionStage::SignedIn.into(),
                permissions: permissions.lines().map(str::to_owned).collect(),
                assurance: assurance.unsigned_abs(),
                password_at,
                second_factor_at: None,
                second_factor_active: false,
                may_enrol: false,
                second_factor_disabled: false,
                expires_at,
                email,
                locale,
            }),
        }))
    }

    async fn sign_in(&self, _: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        Err(Status::unimplemented("only GetSession is measured"))
    }

    async fn sign_out(
        &self,
        _: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        Err(Status::unimplemented("only GetSession is measured"))
    }

    async fn list_sessions(
        &self,
        _: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        Err(Status::unimplemented("only GetSession is measured"))
    }

    async fn revoke_sessions(
        &self,
        _: Request<RevokeSessionsRequest>,
    ) -> Result<Response<RevokeSessionsResponse>, Status> {
        Err(Status::unimplemented("only GetSession is measured"))
    }
}

/// Answers every token alike until it is killed.
pub async fn serve_echo(socket: &Path) -> Result<()> {
    super::serve(socket, Routes::new(SignInServiceServer::new(Bare::Echo))).await
}

/// Makes so many sessions and finds them until it is killed.
pub async fn serve_select(socket: &Path, postgres: &str, sessions: usize) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        // Asking a connection whether it lives, before each use, would be a second round trip.
        .test_before_acquire(false)
        .connect(postgres)
        .await
        .context("connecting to PostgreSQL")?;
    pool.execute(TABLE).await.context("making the table")?;
    for number in 0..sessions {
        sqlx::query(ROW)
            .bind(token(number))
            .execute(&pool)
            .await
            .context("making a session")?;
    }
    super::serve(
        socket,
        Routes::new(SignInServiceServer::new(Bare::Select(pool))),
    )
    .await
}
