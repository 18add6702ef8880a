//! Identity's second factors.

use std::sync::MutexGuard;

use sallyport_chassis::clock::to_proto;
use sallyport_chassis::{Clock, SystemClock};
use sallyport_proto::identity::v1::two_factor_service_server::TwoFactorService;
use sallyport_proto::identity::v1::*;
use tonic::{Code, Request, Response, Status};

use super::identity::{app_code, codes, credential};
use super::{APP_ENROLMENT, APP_SECRET, CEREMONY, Fakes, PASSKEY_OPTIONS, World, refused};

type Answer<T> = Result<Response<T>, Status>;

impl Fakes {
    /// The password must be fresh.
    pub fn fresh_password<T>(
        &self,
        rpc: &'static str,
        r: &Request<T>,
        detail: &str,
    ) -> Result<(MutexGuard<'_, World>, String), Status> {
        let (world, token) = self.take_signed_in(rpc, r, detail)?;
        if !world.sessions[&token].1 {
            return Err(refused(
                Code::FailedPrecondition,
                "password_confirmation_required",
            ));
        }
        Ok((world, token))
    }

    /// Password and step-up must be fresh.
    fn fresh<T>(&self, rpc: &'static str, r: &Request<T>, detail: &str) -> Result<String, Status> {
        let (world, token) = self.fresh_password(rpc, r, detail)?;
        if world.two_factor && !world.second_factor_fresh {
            return Err(refused(Code::FailedPrecondition, "step_up_required"));
        }
        Ok(token)
    }
}

#[tonic::async_trait]
impl TwoFactorService for Fakes {
    async fn get_two_factor(
        &self,
        r: Request<GetTwoFactorRequest>,
    ) -> Answer<GetTwoFactorResponse> {
        let (world, _) = self.take_signed_in("GetTwoFactor", &r, "")?;
        let state = if world.two_factor {
            TwoFactorState::Active
        } else {
            TwoFactorState::Off
        };
        Ok(Response::new(GetTwoFactorResponse {
            state: state.into(),
            confirmed_number: world.confirmed_number.clone(),
            recovery_codes_left: world.recovery_codes_left,
            required_by_policy: false,
            locked_until: None,
            authenticator_since: world.authenticator.then(|| to_proto(SystemClock.now())),
            passkeys: world
                .passkeys
                .iter()
                .map(|(id, name)| Passkey {
                    passkey_id: id.clone(),
                    name: name.clone(),
                    created_at: Some(to_proto(SystemClock.now())),
                    last_used_at: None,
                    backed_up: true,
                })
                .collect(),
        }))
    }

    async fn enable_two_factor(
        &self,
        r: Request<EnableTwoFactorRequest>,
    ) -> Answer<EnableTwoFactorResponse> {
        let key = r.get_ref().idempotency_key.clone();
        if self.world().may_enrol {
            drop(self.take_session("EnableTwoFactor", &r, &key)?);
        } else {
            self.fresh("EnableTwoFactor", &r, &key)?;
        }
        let challenge = self.world().send(Purpose::Enrolment);
        Ok(Response::new(EnableTwoFactorResponse {
            challenge,
            ..Default::default()
        }))
    }

    async fn change_number(&self, r: Request<ChangeNumberRequest>) -> Answer<ChangeNumberResponse> {
        let key = r.get_ref().idempotency_key.clone();
        self.fresh("ChangeNumber", &r, &key)?;
        let challenge = self.world().send(Purpose::NumberChange);
        Ok(Response::new(ChangeNumberResponse { challenge }))
    }

    async fn disable_two_factor(
        &self,
        r: Request<DisableTwoFactorRequest>,
    ) -> Answer<DisableTwoFactorResponse> {
        let token = self.fresh("DisableTwoFactor", &r, "")?;
        let mut world = self.world();
        world.two_factor = false;
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(DisableTwoFactorResponse { session_token }))
    }

    async fn remake_recovery_codes(
        &self,
        r: Request<RemakeRecoveryCodesRequest>,
    ) -> Answer<RemakeRecoveryCodesResponse> {
        self.fresh("RemakeRecoveryCodes", &r, "")?;
        Ok(Response::new(RemakeRecoveryCodesResponse {
            recovery_codes: codes(),
        }))
    }

    async fn begin_passkey(&self, r: Request<BeginPasskeyRequest>) -> Answer<BeginPasskeyResponse> {
        self.fresh("BeginPasskey", &r, "")?;
        Ok(Response::new(BeginPasskeyResponse {
            ceremony_id: CEREMONY.into(),
            options: PASSKEY_OPTIONS.into(),
            expires_at: Some(to_proto(SystemClock.now())),
        }))
    }

    async fn confirm_passkey(
        &self,
        r: Request<ConfirmPasskeyRequest>,
    ) -> Answer<ConfirmPasskeyResponse> {
        let name = r.get_ref().name.clone();
        let (mut world, token) = self.take_signed_in("ConfirmPasskey", &r, &name)?;
        credential(&r.get_ref().ceremony_id, &r.get_ref().credential)?;
        let recovery_codes = match world.two_factor {
            true => Vec::new(),
            false => codes(),
        };
        let id = format!("a{}", world.passkeys.len());
        world.passkeys.push((id, name));
        world.two_factor = true;
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(ConfirmPasskeyResponse {
            session_token,
            recovery_codes,
        }))
    }

    async fn rename_passkey(
        &self,
        r: Request<RenamePasskeyRequest>,
    ) -> Answer<RenamePasskeyResponse> {
        let RenamePasskeyRequest { passkey_id, name } = r.get_ref().clone();
        let (mut world, _) = self.take_signed_in("RenamePasskey", &r, &name)?;
        let mut passkeys = world.passkeys.iter_mut();
        let Some((_, known)) = passkeys.find(|(id, _)| *id == passkey_id) else {
            return Err(refused(Code::NotFound, "passkey.not_found"));
        };
        *known = name;
        Ok(Response::new(RenamePasskeyResponse {}))
    }

    async fn remove_passkey(
        &self,
        r: Request<RemovePasskeyRequest>,
    ) -> Answer<RemovePasskeyResponse> {
        let id = r.get_ref().passkey_id.clone();
        let token = self.fresh("RemovePasskey", &r, &id)?;
        let mut world = self.world();
        let before = world.passkeys.len();
        world.passkeys.retain(|(known, _)| *known != id);
        if world.passkeys.len() == before {
            return Err(refused(Code::NotFound, "passkey.not_found"));
        }
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(RemovePasskeyResponse { session_token }))
    }

    async fn list_browsers(&self, r: Request<ListBrowsersRequest>) -> Answer<ListBrowsersResponse> {
        let detail = r.get_ref().browser_token.clone();
        let (world, _) = self.take_signed_in("ListBrowsers", &r, &detail)?;
        let now = Some(to_proto(SystemClock.now()));
        let browsers = world.browsers.iter().map(|(id, agent)| RememberedBrowser {
            browser_id: id.clone(),
            created_at: now,
            last_used_at: now,
            expires_at: now,
            client_ip: "203.0.113.41".into(),
            user_agent: agent.clone(),
            current: detail == format!("spb_{id}"),
        });
        Ok(Response::new(ListBrowsersResponse {
            browsers: browsers.collect(),
        }))
    }

    async fn revoke_browsers(
        &self,
        r: Request<RevokeBrowsersRequest>,
    ) -> Answer<RevokeBrowsersResponse> {
        let id = r.get_ref().browser_id.clone();
        let (mut world, _) = self.take_signed_in("RevokeBrowsers", &r, &id)?;
        let before = world.browsers.len();
        world
            .browsers
            .retain(|(known, _)| !id.is_empty() && *known != id);
        let forgotten = before - world.browsers.len();
        if !id.is_empty() && forgotten == 0 {
            return Err(refused(Code::NotFound, "browser.not_found"));
        }
        Ok(Response::new(RevokeBrowsersResponse {
            forgotten: u32::try_from(forgotten).unwrap(),
        }))
    }

    async fn begin_authenticator(
        &self,
        r: Request<BeginAuthenticatorRequest>,
    ) -> Answer<BeginAuthenticatorResponse> {
        self.fresh("BeginAuthenticator", &r, "")?;
        Ok(Response::new(BeginAuthenticatorResponse {
            secret: APP_SECRET.into(),
            enrolment: APP_ENROLMENT.into(),
            expires_at: Some(to_proto(SystemClock.now())),
        }))
    }

    async fn confirm_authenticator(
        &self,
        r: Request<ConfirmAuthenticatorRequest>,
    ) -> Answer<ConfirmAuthenticatorResponse> {
        let detail = r.get_ref().enrolment.clone();
        let (mut world, token) = self.take_signed_in("ConfirmAuthenticator", &r, &detail)?;
        if detail != APP_ENROLMENT {
            let ended = "authenticator.enrolment_ended";
            return Err(refused(Code::FailedPrecondition, ended));
        }
        app_code(&r.get_ref().code)?;
        let recovery_codes = match world.two_factor {
            true => Vec::new(),
            false => codes(),
        };
        world.authenticator = true;
        world.two_factor = true;
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(ConfirmAuthenticatorResponse {
            session_token,
            recovery_codes,
        }))
    }

    async fn remove_authenticator(
        &self,
        r: Request<RemoveAuthenticatorRequest>,
    ) -> Answer<RemoveAuthenticatorResponse> {
        let token = self.fresh("RemoveAuthenticator", &r, "")?;
        let mut world = self.world();
        if world.confirmed_number.is_empty() && world.passkeys.is_empty() {
            let last = "authenticator.last_factor";
            return Err(refused(Code::FailedPrecondition, last));
        }
        world.authenticator = false;
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(RemoveAuthenticatorResponse { session_token }))
    }
}
