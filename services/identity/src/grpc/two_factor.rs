//! `TwoFactorService`.

use sallyport_chassis::{Caller, clock};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::two_factor_service_server::TwoFactorService;
use tonic::{Request, Response, Status};

use super::code::{challenge, exposed};
use crate::app::App;
use crate::app::two_factor::enable::{self, Enabled};
use crate::app::two_factor::get::{self, State};
use crate::app::two_factor::{change_number, disable, remake_recovery_codes};

/// See the module.
#[derive(Clone)]
pub struct TwoFactors {
    app: App,
}

impl TwoFactors {
    /// The service.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl TwoFactorService for TwoFactors {
    async fn get_two_factor(
        &self,
        request: Request<proto::GetTwoFactorRequest>,
    ) -> Result<Response<proto::GetTwoFactorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let found = get::get_two_factor(&self.app, &caller).await?;
        let state = match found.state {
            State::Off => proto::TwoFactorState::Off,
            State::Pending => proto::TwoFactorState::Pending,
            State::Active => proto::TwoFactorState::Active,
            State::Disabled => proto::TwoFactorState::Disabled,
        };
        Ok(Response::new(proto::GetTwoFactorResponse {
            state: state.into(),
            confirmed_number: found
                .confirmed_number
                .map(|number| number.e164().to_owned())
                .unwrap_or_default(),
            recovery_codes_left: found.recovery_codes_left,
            required_by_policy: found.required_by_policy,
            locked_until: found
                .locked_until
                .map(|at| clock::to_proto(clock::from_ms(at))),
        }))
    }

    async fn enable_two_factor(
        &self,
        request: Request<proto::EnableTwoFactorRequest>,
    ) -> Result<Response<proto::EnableTwoFactorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let enabled = enable::enable_two_factor(
            &self.app,
            &caller,
            &message.number,
            &message.idempotency_key,
        )
        .await?;
        Ok(Response::new(match enabled {
            Enabled::Pending(live) => proto::EnableTwoFactorResponse {
                challenge: Some(challenge(*live)),
                ..proto::EnableTwoFactorResponse::default()
            },
            Enabled::Active {
                recovery_codes,
                session_token,
            } => proto::EnableTwoFactorResponse {
                challenge: None,
                recovery_codes: exposed(&recovery_codes),
                active: true,
                session_token: session_token.expose().to_owned(),
            },
        }))
    }

    async fn change_number(
        &self,
        request: Request<proto::ChangeNumberRequest>,
    ) -> Result<Response<proto::ChangeNumberResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let live = change_number::change_number(
            &self.app,
            &caller,
            &message.number,
            &message.idempotency_key,
        )
        .await?;
        Ok(Response::new(proto::ChangeNumberResponse {
            challenge: Some(challenge(live)),
        }))
    }

    async fn disable_two_factor(
        &self,
        request: Request<proto::DisableTwoFactorRequest>,
    ) -> Result<Response<proto::DisableTwoFactorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = disable::disable_two_factor(&self.app, &caller).await?;
        Ok(Response::new(proto::DisableTwoFactorResponse {
            session_token: token.expose().to_owned(),
        }))
    }

    async fn remake_recovery_codes(
        &self,
        request: Request<proto::RemakeRecoveryCodesRequest>,
    ) -> Result<Response<proto::RemakeRecoveryCodesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let codes = remake_recovery_codes::remake_recovery_codes(&self.app, &caller).await?;
        Ok(Response::new(proto::RemakeRecoveryCodesResponse {
            recovery_codes: exposed(&codes),
        }))
    }
}
