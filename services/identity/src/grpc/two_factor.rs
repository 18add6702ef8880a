//! `TwoFactorService`.

use sallyport_chassis::{Caller, Refusal, Secret, clock};
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::two_factor_service_server::TwoFactorService;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::code::{challenge, exposed};
use crate::app::App;
use crate::app::two_factor::browsers::{self, Remembered};
use crate::app::two_factor::enable::{self, Enabled};
use crate::app::two_factor::get::{self, Passkey, State};
use crate::app::two_factor::{
    TwoFactorRefusal, change_number, disable, remake_recovery_codes, remove_authenticator,
    remove_passkey, rename_passkey, set_up_authenticator, set_up_passkey,
};

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
            authenticator_since: found
                .authenticator_since
                .map(|at| clock::to_proto(clock::from_ms(at))),
            passkeys: found.passkeys.into_iter().map(passkey).collect(),
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

    async fn begin_authenticator(
        &self,
        request: Request<proto::BeginAuthenticatorRequest>,
    ) -> Result<Response<proto::BeginAuthenticatorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let begun = set_up_authenticator::begin(&self.app, &caller).await?;
        Ok(Response::new(proto::BeginAuthenticatorResponse {
            secret: begun.secret.expose().to_owned(),
            enrolment: begun.enrolment.expose().to_owned(),
            expires_at: Some(clock::to_proto(begun.expires_at)),
        }))
    }

    async fn confirm_authenticator(
        &self,
        request: Request<proto::ConfirmAuthenticatorRequest>,
    ) -> Result<Response<proto::ConfirmAuthenticatorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let enrolment = Secret::new(message.enrolment);
        let confirmed =
            set_up_authenticator::confirm(&self.app, &caller, &enrolment, &message.code).await?;
        Ok(Response::new(proto::ConfirmAuthenticatorResponse {
            session_token: confirmed.session_token.expose().to_owned(),
            recovery_codes: exposed(&confirmed.recovery_codes),
        }))
    }

    async fn remove_authenticator(
        &self,
        request: Request<proto::RemoveAuthenticatorRequest>,
    ) -> Result<Response<proto::RemoveAuthenticatorResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = remove_authenticator::remove(&self.app, &caller).await?;
        Ok(Response::new(proto::RemoveAuthenticatorResponse {
            session_token: token.expose().to_owned(),
        }))
    }

    async fn begin_passkey(
        &self,
        request: Request<proto::BeginPasskeyRequest>,
    ) -> Result<Response<proto::BeginPasskeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let begun = set_up_passkey::begin(&self.app, &caller).await?;
        Ok(Response::new(proto::BeginPasskeyResponse {
            ceremony_id: begun.ceremony_id.to_string(),
            options: begun.options,
            expires_at: Some(clock::to_proto(begun.expires_at)),
        }))
    }

    async fn confirm_passkey(
        &self,
        request: Request<proto::ConfirmPasskeyRequest>,
    ) -> Result<Response<proto::ConfirmPasskeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let confirmed = set_up_passkey::confirm(
            &self.app,
            &caller,
            &message.ceremony_id,
            &message.credential,
            &message.name,
        )
        .await?;
        Ok(Response::new(proto::ConfirmPasskeyResponse {
            session_token: confirmed.session_token.expose().to_owned(),
            recovery_codes: exposed(&confirmed.recovery_codes),
        }))
    }

    async fn rename_passkey(
        &self,
        request: Request<proto::RenamePasskeyRequest>,
    ) -> Result<Response<proto::RenamePasskeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let id = passkey_id(&message.passkey_id)?;
        rename_passkey::rename(&self.app, &caller, id, &message.name).await?;
        Ok(Response::new(proto::RenamePasskeyResponse {}))
    }

    async fn remove_passkey(
        &self,
        request: Request<proto::RemovePasskeyRequest>,
    ) -> Result<Response<proto::RemovePasskeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = passkey_id(&request.get_ref().passkey_id)?;
        let token = remove_passkey::remove(&self.app, &caller, id).await?;
        Ok(Response::new(proto::RemovePasskeyResponse {
            session_token: token.expose().to_owned(),
        }))
    }

    async fn list_browsers(
        &self,
        request: Request<proto::ListBrowsersRequest>,
    ) -> Result<Response<proto::ListBrowsersResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = Secret::new(request.into_inner().browser_token);
        let remembered = browsers::list(&self.app, &caller, &token).await?;
        Ok(Response::new(proto::ListBrowsersResponse {
            browsers: remembered.into_iter().map(encode).collect(),
        }))
    }

    async fn revoke_browsers(
        &self,
        request: Request<proto::RevokeBrowsersRequest>,
    ) -> Result<Response<proto::RevokeBrowsersResponse>, Status> {
        let caller = Caller::of(&request)?;
        let browser_id = match request.get_ref().browser_id.as_str() {
            "" => None,
            // An id of another form names no browser of the user, like an unknown one.
            id => Some(Uuid::try_parse(id).map_err(|_| not_found())?),
        };
        let forgotten = browsers::revoke(&self.app, &caller, browser_id).await?;
        if browser_id.is_some() && forgotten == 0 {
            return Err(not_found());
        }
        Ok(Response::new(proto::RevokeBrowsersResponse {
            forgotten: u32::try_from(forgotten).unwrap_or(u32::MAX),
        }))
    }
}

/// An id of another form names no passkey of the user, like an unknown one.
fn passkey_id(text: &str) -> Result<Uuid, Status> {
    Uuid::try_parse(text).map_err(|_| TwoFactorRefusal::PasskeyNotFound.into())
}

fn passkey(row: Passkey) -> proto::Passkey {
    let at = |ms| clock::to_proto(clock::from_ms(ms));
    proto::Passkey {
        passkey_id: row.id.to_string(),
        name: row.name,
        created_at: Some(at(row.created_at)),
        last_used_at: row.last_used_at.map(at),
        backed_up: row.backed_up,
    }
}

fn not_found() -> Status {
    Refusal::new(Code::NotFound, "browser.not_found").into()
}

fn encode(remembered: Remembered) -> proto::RememberedBrowser {
    let at = |ms| Some(clock::to_proto(clock::from_ms(ms)));
    let Remembered { browser, current } = remembered;
    proto::RememberedBrowser {
        browser_id: browser.id.to_string(),
        created_at: at(browser.created_at),
        last_used_at: at(browser.last_used_at),
        expires_at: at(browser.expires_at),
        client_ip: browser.client_ip,
        user_agent: browser.user_agent,
        current,
    }
}
