//! `sallyport.identity.v1.ProjectionService`.

use sallyport_chassis::clock::to_proto;
use sallyport_chassis::{Caller, IdempotencyKey, Refusal};
use sallyport_email::EmailAddress;
use sallyport_proto::identity::v1::projection_service_server::ProjectionService;
use sallyport_proto::identity::v1::{
    InviteUserRequest, InviteUserResponse, PutUserRequest, PutUserResponse,
    StartPasswordResetRequest, StartPasswordResetResponse, UserProjection, UserStatus,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::{App, projection};

/// The service.
pub struct Projection {
    app: App,
}

impl Projection {
    /// Over the use cases.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ProjectionService for Projection {
    async fn put_user(
        &self,
        request: Request<PutUserRequest>,
    ) -> Result<Response<PutUserResponse>, Status> {
        let caller = Caller::of(&request)?;
        let user = request
            .into_inner()
            .user
            .ok_or_else(|| Refusal::field("user", "field.required"))?;
        let version = projection::put_user(&self.app, &caller, decode(user)?).await?;
        Ok(Response::new(PutUserResponse {
            version: u64::try_from(version).unwrap_or(0),
        }))
    }

    async fn invite_user(
        &self,
        request: Request<InviteUserRequest>,
    ) -> Result<Response<InviteUserResponse>, Status> {
        let request = request.into_inner();
        let user_id = id("user_id", &request.user_id)?;
        let key = IdempotencyKey::parse(request.idempotency_key)?;
        let invited = projection::invite(&self.app, user_id, key.as_str()).await?;
        Ok(Response::new(InviteUserResponse {
            link_token: invited
                .token
                .map(|token| token.expose().to_owned())
                .unwrap_or_default(),
            expires_at: Some(to_proto(invited.expires_at)),
        }))
    }

    async fn start_password_reset(
        &self,
        request: Request<StartPasswordResetRequest>,
    ) -> Result<Response<StartPasswordResetResponse>, Status> {
        let user_id = id("user_id", &request.into_inner().user_id)?;
        projection::start_password_reset(&self.app, user_id).await?;
        Ok(Response::new(StartPasswordResetResponse {}))
    }
}

pub(crate) fn decode(user: UserProjection) -> Result<projection::User, Refusal> {
    let status = match user.status() {
        UserStatus::Unspecified => return Err(Refusal::field("user.status", "field.required")),
        UserStatus::Active => projection::Status::Active,
        UserStatus::Disabled => projection::Status::Disabled,
        UserStatus::Deleted => projection::Status::Deleted,
    };
    let email = EmailAddress::parse(&user.email)
        .map_err(|_| Refusal::field("user.email", "email.invalid"))?;
    let version = i64::try_from(user.version)
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| Refusal::field("user.version", "field.required"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if user.locale.len() > 16 || !user.locale.bytes().all(plain) {
        return Err(Refusal::field("user.locale", "locale.unknown"));
    }
    // Lists are kept one entry a line. PostgreSQL stores no NUL in a text.
    let lines = |words: Vec<String>| {
        words
            .iter()
            .map(|word| word.replace(char::is_control, " "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    Ok(projection::User {
        id: id("user.user_id", &user.user_id)?,
        organisation_id: id("user.organisation_id", &user.organisation_id)?,
        version,
        email: email.as_str().to_owned(),
        status,
        permissions: lines(user.permissions),
        two_factor_required: user.two_factor_required,
        locale: user.locale,
        licensed: user.licensed,
        context_words: lines(user.context_words),
    })
}

fn id(field: &str, text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text)
        .ok()
        .filter(|id| !id.is_nil())
        .ok_or_else(|| Refusal::field(field, "field.required"))
}
