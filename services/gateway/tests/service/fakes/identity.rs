//! Identity.

use sallyport_chassis::clock::to_proto;
use sallyport_chassis::{Clock, Refusal, SystemClock};
use sallyport_proto::identity::v1::code_service_server::{CodeService, CodeServiceServer};
use sallyport_proto::identity::v1::mail_inbox_service_server::{
    MailInboxService, MailInboxServiceServer,
};
use sallyport_proto::identity::v1::password_service_server::{
    PasswordService, PasswordServiceServer,
};
use sallyport_proto::identity::v1::sign_in_service_server::{SignInService, SignInServiceServer};
use sallyport_proto::identity::v1::two_factor_service_server::TwoFactorServiceServer;
use sallyport_proto::identity::v1::*;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Router;
use tonic::{Code, Request, Response, Status};

use super::{
    APP_CODE, CEREMONY, CODE, CREDENTIAL, ENROLMENT_LINK, Fakes, LINK, LINUX, PASSKEY_OPTIONS,
    PASSWORD, PHONE, RECOVERY_CODE, refused,
};

type Answer<T> = Result<Response<T>, Status>;

pub fn add(fakes: &Fakes, mut server: tonic::transport::Server) -> Router {
    server
        .add_service(SignInServiceServer::new(fakes.clone()))
        .add_service(CodeServiceServer::new(fakes.clone()))
        .add_service(PasswordServiceServer::new(fakes.clone()))
        .add_service(TwoFactorServiceServer::new(fakes.clone()))
        .add_service(MailInboxServiceServer::new(fakes.clone()))
}

fn disabled() -> Status {
    refused(Code::FailedPrecondition, "second_factor.disabled")
}

/// Refuses all but the one code of the authenticator app that is right.
pub fn app_code(typed: &str) -> Result<(), Status> {
    let code: String = typed.chars().filter(char::is_ascii_digit).collect();
    if code.len() != 6 {
        return Err(Refusal::field("code", "code.format").into());
    }
    if code != APP_CODE {
        return Err(Refusal::field("code", "authenticator.wrong").into());
    }
    Ok(())
}

/// What a browser answers to the question that is open.
pub fn credential(ceremony: &str, answered: &str) -> Result<(), Status> {
    if answered.is_empty() {
        return Err(Refusal::field("credential", "passkey.format").into());
    }
    if ceremony != CEREMONY {
        return Err(refused(Code::FailedPrecondition, "passkey.ended"));
    }
    if answered != CREDENTIAL {
        return Err(Refusal::field("credential", "passkey.wrong").into());
    }
    Ok(())
}

pub fn codes() -> Vec<String> {
    (0..10)
        .map(|n| format!("K7WD{n}-9RT4X-MQ03Z-8HVNB-5CYJ{n}"))
        .collect()
}

#[tonic::async_trait]
impl SignInService for Fakes {
    async fn sign_in(&self, r: Request<SignInRequest>) -> Answer<SignInResponse> {
        let detail = r.get_ref().email.clone();
        let mut world = self.take("SignIn", &r, &detail)?;
        if r.get_ref().password != PASSWORD {
            return Err(refused(Code::InvalidArgument, "sign_in.failed"));
        }
        let stage = match world.two_factor {
            true => SessionStage::AwaitingSecondFactor,
            false => SessionStage::SignedIn,
        };
        let session_token = world.open(stage, true);
        Ok(Response::new(SignInResponse {
            session_token,
            stage: stage.into(),
        }))
    }

    async fn sign_out(&self, r: Request<SignOutRequest>) -> Answer<SignOutResponse> {
        let (mut world, token) = self.take_session("SignOut", &r, "")?;
        world.sessions.remove(&token);
        Ok(Response::new(SignOutResponse {}))
    }

    async fn get_session(&self, r: Request<GetSessionRequest>) -> Answer<GetSessionResponse> {
        let (world, token) = self.take_session("GetSession", &r, "")?;
        let session = Session {
            session_id: "e1".into(),
            user_id: world.profile.user_id.clone(),
            organisation_id: world.profile.organisation_id.clone(),
            stage: world.sessions[&token].0.into(),
            permissions: world.permissions.clone(),
            assurance: 2,
            password_at: Some(to_proto(SystemClock.now())),
            second_factor_at: None,
            second_factor_active: world.profile.two_factor_active,
            second_factor_disabled: world.disabled,
            may_enrol: world.may_enrol
                && world.sessions[&token].0 == SessionStage::AwaitingSecondFactor,
            expires_at: None,
            email: world.profile.email.clone(),
            locale: world.profile.fields.as_ref().unwrap().locale.clone(),
        };
        Ok(Response::new(GetSessionResponse {
            session: Some(session),
        }))
    }

    async fn list_sessions(&self, r: Request<ListSessionsRequest>) -> Answer<ListSessionsResponse> {
        drop(self.take_signed_in("ListSessions", &r, "")?);
        let now = Some(to_proto(SystemClock.now()));
        let session = |id: &str, agent: &str, ip: &str| OpenSession {
            session_id: id.into(),
            created_at: now,
            last_used_at: now,
            client_ip: ip.into(),
            user_agent: agent.into(),
            current: id == "e1",
        };
        let sessions = vec![
            session("e1", LINUX, "198.51.100.7"),
            session("e2", PHONE, "203.0.113.40"),
        ];
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn revoke_sessions(
        &self,
        r: Request<RevokeSessionsRequest>,
    ) -> Answer<RevokeSessionsResponse> {
        let detail = r.get_ref().session_id.clone();
        drop(self.fresh_password("RevokeSessions", &r, &detail)?);
        Ok(Response::new(RevokeSessionsResponse { ended: 1 }))
    }
}

#[tonic::async_trait]
impl CodeService for Fakes {
    async fn send_sign_in_code(
        &self,
        r: Request<SendSignInCodeRequest>,
    ) -> Answer<SendSignInCodeResponse> {
        let key = r.get_ref().idempotency_key.clone();
        let (mut world, _) = self.take_session("SendSignInCode", &r, &key)?;
        if world.disabled {
            return Err(disabled());
        }
        Ok(Response::new(SendSignInCodeResponse {
            challenge: world.send(Purpose::SignIn),
        }))
    }

    async fn send_step_up_code(
        &self,
        r: Request<SendStepUpCodeRequest>,
    ) -> Answer<SendStepUpCodeResponse> {
        let key = r.get_ref().idempotency_key.clone();
        let (mut world, _) = self.take_signed_in("SendStepUpCode", &r, &key)?;
        if world.disabled {
            return Err(disabled());
        }
        Ok(Response::new(SendStepUpCodeResponse {
            challenge: world.send(Purpose::StepUp),
        }))
    }

    async fn get_challenge(&self, r: Request<GetChallengeRequest>) -> Answer<GetChallengeResponse> {
        let (world, _) = self.take_session("GetChallenge", &r, "")?;
        match world.challenge.clone() {
            Some(challenge) => Ok(Response::new(GetChallengeResponse {
                challenge: Some(challenge),
            })),
            None => Err(refused(Code::NotFound, "code.none")),
        }
    }

    type WatchChallengeStream = ReceiverStream<Result<WatchChallengeResponse, Status>>;

    async fn watch_challenge(
        &self,
        r: Request<WatchChallengeRequest>,
    ) -> Answer<Self::WatchChallengeStream> {
        let (world, _) = self.take_session("WatchChallenge", &r, "")?;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        for state in [MessageState::Submitted, MessageState::Delivered] {
            let mut challenge = world.challenge.clone();
            if let Some(challenge) = &mut challenge {
                challenge.message_state = state.into();
            }
            let _ = sender.try_send(Ok(WatchChallengeResponse { challenge }));
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn verify_code(&self, r: Request<VerifyCodeRequest>) -> Answer<VerifyCodeResponse> {
        let (mut world, token) = self.take_session("VerifyCode", &r, "")?;
        let Some(challenge) = world.challenge.clone() else {
            return Err(refused(Code::NotFound, "code.none"));
        };
        let code: String = r
            .get_ref()
            .code
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        if code.len() != 6 {
            return Err(refused(Code::InvalidArgument, "code.format"));
        }
        if world.disabled && challenge.purpose() != Purpose::Enrolment {
            return Err(disabled());
        }
        if code != CODE {
            world.tries -= 1;
            let tries = world.tries;
            world.challenge.as_mut().unwrap().tries_left = tries;
            let wrong = Refusal::new(Code::InvalidArgument, "code.wrong").with("tries_left", tries);
            return Err(wrong.into());
        }
        world.challenge = None;
        let purpose = challenge.purpose();
        let mut recovery_codes = Vec::new();
        match purpose {
            Purpose::Enrolment => {
                world.two_factor = true;
                world.disabled = false;
                world.confirmed_number = world.profile.fields.clone().unwrap().mobile_number;
                recovery_codes = codes();
            }
            Purpose::NumberChange => {
                world.confirmed_number = world.profile.fields.clone().unwrap().mobile_number;
            }
            Purpose::StepUp => world.second_factor_fresh = true,
            Purpose::SignIn | Purpose::Unspecified => {}
        }
        let fresh = world.sessions[&token].1;
        let session_token = world.replace(&token, SessionStage::SignedIn, fresh);
        let browser_token = match r.get_ref().remember_browser {
            true => "spb_browser".to_owned(),
            false => String::new(),
        };
        Ok(Response::new(VerifyCodeResponse {
            purpose: purpose.into(),
            session_token,
            recovery_codes,
            browser_token,
        }))
    }

    async fn resend_code(&self, r: Request<ResendCodeRequest>) -> Answer<ResendCodeResponse> {
        let key = r.get_ref().idempotency_key.clone();
        let (world, _) = self.take_session("ResendCode", &r, &key)?;
        Ok(Response::new(ResendCodeResponse {
            challenge: world.challenge.clone(),
        }))
    }

    async fn cancel_challenge(
        &self,
        r: Request<CancelChallengeRequest>,
    ) -> Answer<CancelChallengeResponse> {
        let (mut world, _) = self.take_session("CancelChallenge", &r, "")?;
        world.challenge = None;
        Ok(Response::new(CancelChallengeResponse {}))
    }

    async fn use_recovery_code(
        &self,
        r: Request<UseRecoveryCodeRequest>,
    ) -> Answer<UseRecoveryCodeResponse> {
        let (mut world, token) = self.take_session("UseRecoveryCode", &r, "")?;
        if r.get_ref().recovery_code != RECOVERY_CODE {
            return Err(refused(Code::InvalidArgument, "recovery_code.wrong"));
        }
        world.second_factor_fresh = true;
        world.recovery_codes_left -= 1;
        let fresh = world.sessions[&token].1;
        let session_token = world.replace(&token, SessionStage::SignedIn, fresh);
        Ok(Response::new(UseRecoveryCodeResponse {
            session_token,
            recovery_codes_left: world.recovery_codes_left,
        }))
    }

    async fn list_factors(&self, r: Request<ListFactorsRequest>) -> Answer<ListFactorsResponse> {
        let (world, _) = self.take_session("ListFactors", &r, "")?;
        let number = &world.confirmed_number;
        let ending = number.get(number.len().saturating_sub(2)..);
        Ok(Response::new(ListFactorsResponse {
            number_ending: match world.disabled {
                true => String::new(),
                false => ending.unwrap_or_default().to_owned(),
            },
            authenticator: world.authenticator && !world.disabled,
            disabled: world.disabled,
            passkey: !world.passkeys.is_empty() && !world.disabled,
        }))
    }

    async fn use_authenticator_code(
        &self,
        r: Request<UseAuthenticatorCodeRequest>,
    ) -> Answer<UseAuthenticatorCodeResponse> {
        let (mut world, token) = self.take_session("UseAuthenticatorCode", &r, "")?;
        if !world.authenticator {
            return Err(refused(
                Code::FailedPrecondition,
                "authenticator.not_active",
            ));
        }
        app_code(&r.get_ref().code)?;
        world.second_factor_fresh = true;
        world.challenge = None;
        let fresh = world.sessions[&token].1;
        let session_token = world.replace(&token, SessionStage::SignedIn, fresh);
        let browser_token = match r.get_ref().remember_browser {
            true => "spb_browser".to_owned(),
            false => String::new(),
        };
        Ok(Response::new(UseAuthenticatorCodeResponse {
            session_token,
            browser_token,
        }))
    }

    async fn begin_passkey_use(
        &self,
        r: Request<BeginPasskeyUseRequest>,
    ) -> Answer<BeginPasskeyUseResponse> {
        drop(self.take_session("BeginPasskeyUse", &r, "")?);
        Ok(Response::new(BeginPasskeyUseResponse {
            ceremony_id: CEREMONY.into(),
            options: PASSKEY_OPTIONS.into(),
            expires_at: Some(to_proto(SystemClock.now())),
        }))
    }

    async fn use_passkey(&self, r: Request<UsePasskeyRequest>) -> Answer<UsePasskeyResponse> {
        let (mut world, token) = self.take_session("UsePasskey", &r, "")?;
        credential(&r.get_ref().ceremony_id, &r.get_ref().credential)?;
        world.second_factor_fresh = true;
        world.challenge = None;
        let fresh = world.sessions[&token].1;
        let session_token = world.replace(&token, SessionStage::SignedIn, fresh);
        let browser_token = match r.get_ref().remember_browser {
            true => "spb_browser".to_owned(),
            false => String::new(),
        };
        Ok(Response::new(UsePasskeyResponse {
            session_token,
            browser_token,
        }))
    }

    async fn send_enrolment_link(
        &self,
        r: Request<SendEnrolmentLinkRequest>,
    ) -> Answer<SendEnrolmentLinkResponse> {
        drop(self.take_session("SendEnrolmentLink", &r, "")?);
        Ok(Response::new(SendEnrolmentLinkResponse {}))
    }

    async fn use_enrolment_link(
        &self,
        r: Request<UseEnrolmentLinkRequest>,
    ) -> Answer<UseEnrolmentLinkResponse> {
        let detail = r.get_ref().link_token.clone();
        let (mut world, token) = self.take_session("UseEnrolmentLink", &r, &detail)?;
        if detail != ENROLMENT_LINK {
            return Err(refused(Code::NotFound, "link.invalid"));
        }
        world.may_enrol = true;
        let session_token = world.replace(&token, SessionStage::AwaitingSecondFactor, true);
        Ok(Response::new(UseEnrolmentLinkResponse { session_token }))
    }

    async fn report_phone_lost(
        &self,
        r: Request<ReportPhoneLostRequest>,
    ) -> Answer<ReportPhoneLostResponse> {
        let (mut world, token) = self.take_session("ReportPhoneLost", &r, "")?;
        if world.sessions[&token].0 == SessionStage::SignedIn {
            return Err(refused(Code::FailedPrecondition, "session.signed_in"));
        }
        world.challenge = None;
        world.confirmed_number.clear();
        world.disabled = !world.authenticator && world.passkeys.is_empty();
        world.browsers.clear();
        world.sessions.retain(|open, _| *open == token);
        Ok(Response::new(ReportPhoneLostResponse {}))
    }
}

#[tonic::async_trait]
impl PasswordService for Fakes {
    async fn confirm_password(
        &self,
        r: Request<ConfirmPasswordRequest>,
    ) -> Answer<ConfirmPasswordResponse> {
        let (mut world, token) = self.take_session("ConfirmPassword", &r, "")?;
        let stage = world.sessions[&token].0;
        if stage != SessionStage::SignedIn && !world.may_enrol {
            return Err(refused(Code::FailedPrecondition, "second_factor_required"));
        }
        if r.get_ref().password != PASSWORD {
            return Err(refused(Code::InvalidArgument, "password.wrong"));
        }
        let session_token = world.replace(&token, stage, true);
        Ok(Response::new(ConfirmPasswordResponse { session_token }))
    }

    async fn change_password(
        &self,
        r: Request<ChangePasswordRequest>,
    ) -> Answer<ChangePasswordResponse> {
        let (mut world, token) = self.take_signed_in("ChangePassword", &r, "")?;
        if r.get_ref().current_password != PASSWORD {
            return Err(refused(Code::InvalidArgument, "password.wrong"));
        }
        let session_token = world.replace(&token, SessionStage::SignedIn, true);
        Ok(Response::new(ChangePasswordResponse { session_token }))
    }

    async fn request_password_reset(
        &self,
        r: Request<RequestPasswordResetRequest>,
    ) -> Answer<RequestPasswordResetResponse> {
        let detail = r.get_ref().email.clone();
        drop(self.take("RequestPasswordReset", &r, &detail)?);
        Ok(Response::new(RequestPasswordResetResponse {}))
    }

    async fn inspect_link(&self, r: Request<InspectLinkRequest>) -> Answer<InspectLinkResponse> {
        drop(self.take("InspectLink", &r, "")?);
        let purpose = match r.get_ref().link_token.as_str() {
            LINK => LinkPurpose::Invitation,
            ENROLMENT_LINK => LinkPurpose::Enrolment,
            _ => return Err(refused(Code::NotFound, "link.invalid")),
        };
        Ok(Response::new(InspectLinkResponse {
            purpose: purpose.into(),
            email: "ada@example.org".into(),
            expires_at: None,
            locale: "fr".into(),
        }))
    }

    async fn set_password_by_link(
        &self,
        r: Request<SetPasswordByLinkRequest>,
    ) -> Answer<SetPasswordByLinkResponse> {
        drop(self.take("SetPasswordByLink", &r, "")?);
        if r.get_ref().password.chars().count() < 15 {
            let short = Refusal::field("password", "password.too_short").with("minimum", 15);
            return Err(short.into());
        }
        Ok(Response::new(SetPasswordByLinkResponse {
            email: "ada@example.org".into(),
        }))
    }
}

#[tonic::async_trait]
impl MailInboxService for Fakes {
    async fn list_mails(&self, r: Request<ListMailsRequest>) -> Answer<ListMailsResponse> {
        drop(self.take("ListMails", &r, "")?);
        let mail = Mail {
            to: "ada@example.org".into(),
            subject: "Your invitation".into(),
            text: "Welcome. Choose a password here:\nhttp://localhost:8080/link/spl_goodlink"
                .into(),
            at: Some(to_proto(SystemClock.now())),
        };
        Ok(Response::new(ListMailsResponse { mails: vec![mail] }))
    }
}
