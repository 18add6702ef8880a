//! A session as the gateway has it: what its user does.

use sallyport_chassis::channel::Outgoing;
use sallyport_proto::identity::v1 as proto;
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use tonic::{Request, Status};

use crate::app::App;
use crate::fake_otp::FakeOtp;
use crate::world::{PASSWORD, World, new_key};

#[derive(Clone)]
pub struct Session {
    pub stage: proto::SessionStage,
    pub token: String,
    pub(crate) channel: Outgoing,
}

pub type Answer<T> = Result<T, Status>;

impl Session {
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
            .metadata_mut()
            .insert("x-client-ip", "203.0.113.9".parse().unwrap());
        request
    }

    pub(crate) fn codes(&self) -> CodeServiceClient<Outgoing> {
        CodeServiceClient::new(self.channel.clone())
    }

    pub(crate) fn two_factor(&self) -> TwoFactorServiceClient<Outgoing> {
        TwoFactorServiceClient::new(self.channel.clone())
    }

    fn sign_in_service(&self) -> SignInServiceClient<Outgoing> {
        SignInServiceClient::new(self.channel.clone())
    }

    pub async fn send_sign_in(&self, key: &str) -> Answer<proto::Challenge> {
        let message = proto::SendSignInCodeRequest {
            idempotency_key: key.into(),
        };
        let answer = self
            .codes()
            .send_sign_in_code(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn send_step_up(&self) -> Answer<proto::Challenge> {
        self.send_step_up_as(&new_key()).await
    }

    pub async fn send_step_up_as(&self, key: &str) -> Answer<proto::Challenge> {
        let message = proto::SendStepUpCodeRequest {
            idempotency_key: key.into(),
        };
        let answer = self
            .codes()
            .send_step_up_code(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    /// Sends a step-up code and gives it.
    pub async fn step_up(&mut self, world: &World, number: &str) {
        self.send_step_up().await.unwrap();
        self.give(&world.otp.newest_code(number)).await.unwrap();
    }

    /// Gives a code without keeping the new token.
    pub async fn verify(&self, code: &str) -> Answer<proto::VerifyCodeResponse> {
        let message = proto::VerifyCodeRequest {
            code: code.into(),
            remember_browser: false,
        };
        let answer = self.codes().verify_code(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Gives a code and goes on with the new token.
    pub async fn give(&mut self, code: &str) -> Answer<proto::VerifyCodeResponse> {
        let answer = self.verify(code).await?;
        self.token.clone_from(&answer.session_token);
        Ok(answer)
    }

    /// Gives a code and has the browser remembered; its token.
    pub async fn give_and_remember(&mut self, code: &str) -> String {
        let message = proto::VerifyCodeRequest {
            code: code.into(),
            remember_browser: true,
        };
        let answer = self
            .codes()
            .verify_code(self.request(message))
            .await
            .unwrap()
            .into_inner();
        self.token = answer.session_token;
        answer.browser_token
    }

    pub async fn resend(&self) -> Answer<proto::Challenge> {
        self.resend_as(&new_key()).await
    }

    pub async fn resend_as(&self, key: &str) -> Answer<proto::Challenge> {
        let message = proto::ResendCodeRequest {
            idempotency_key: key.into(),
        };
        let answer = self.codes().resend_code(self.request(message)).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn cancel(&self) -> Answer<()> {
        let message = proto::CancelChallengeRequest {};
        self.codes().cancel_challenge(self.request(message)).await?;
        Ok(())
    }

    pub async fn challenge(&self) -> Answer<proto::Challenge> {
        let message = proto::GetChallengeRequest {};
        let answer = self.codes().get_challenge(self.request(message)).await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn watch(&self) -> Answer<tonic::Streaming<proto::WatchChallengeResponse>> {
        let message = proto::WatchChallengeRequest {};
        Ok(self
            .codes()
            .watch_challenge(self.request(message))
            .await?
            .into_inner())
    }

    pub async fn recover(&mut self, code: &str) -> Answer<u32> {
        let message = proto::UseRecoveryCodeRequest {
            recovery_code: code.into(),
        };
        let answer = self
            .codes()
            .use_recovery_code(self.request(message))
            .await?
            .into_inner();
        self.token = answer.session_token;
        Ok(answer.recovery_codes_left)
    }

    /// Has a link mailed that lets a disabled factor be enrolled anew.
    pub async fn send_link(&self) -> Answer<()> {
        let message = proto::SendEnrolmentLinkRequest {};
        self.codes()
            .send_enrolment_link(self.request(message))
            .await?;
        Ok(())
    }

    pub async fn report_lost(&self) -> Answer<()> {
        let message = proto::ReportPhoneLostRequest {};
        self.codes()
            .report_phone_lost(self.request(message))
            .await?;
        Ok(())
    }

    /// Uses such a link and goes on with the new token.
    pub async fn use_link(&mut self, link_token: &str) -> Answer<()> {
        let message = proto::UseEnrolmentLinkRequest {
            link_token: link_token.into(),
        };
        let answer = self
            .codes()
            .use_enrolment_link(self.request(message))
            .await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    pub async fn two_factor_state(&self) -> Answer<proto::GetTwoFactorResponse> {
        let message = proto::GetTwoFactorRequest {};
        Ok(self
            .two_factor()
            .get_two_factor(self.request(message))
            .await?
            .into_inner())
    }

    pub async fn enable(&self, number: &str, key: &str) -> Answer<proto::EnableTwoFactorResponse> {
        let message = proto::EnableTwoFactorRequest {
            number: number.into(),
            idempotency_key: key.into(),
        };
        Ok(self
            .two_factor()
            .enable_two_factor(self.request(message))
            .await?
            .into_inner())
    }

    /// Ticks the box and gives the code; the recovery codes.
    pub async fn enrol(&mut self, otp: &FakeOtp, number: &str) -> Vec<String> {
        let answer = self.enable(number, &new_key()).await.unwrap();
        assert!(!answer.active && answer.challenge.is_some());
        let answer = self.give(&otp.newest_code(number)).await.unwrap();
        assert_eq!(answer.purpose(), proto::Purpose::Enrolment);
        answer.recovery_codes
    }

    pub async fn change_number(&self, number: &str) -> Answer<proto::Challenge> {
        let message = proto::ChangeNumberRequest {
            number: number.into(),
            idempotency_key: new_key(),
        };
        let answer = self
            .two_factor()
            .change_number(self.request(message))
            .await?;
        Ok(answer.into_inner().challenge.unwrap())
    }

    pub async fn disable(&mut self) -> Answer<()> {
        let message = proto::DisableTwoFactorRequest {};
        let answer = self
            .two_factor()
            .disable_two_factor(self.request(message))
            .await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    pub async fn remake_codes(&self) -> Answer<Vec<String>> {
        let message = proto::RemakeRecoveryCodesRequest {};
        let answer = self
            .two_factor()
            .remake_recovery_codes(self.request(message))
            .await?;
        Ok(answer.into_inner().recovery_codes)
    }

    pub async fn factors(&self) -> Answer<proto::ListFactorsResponse> {
        let message = proto::ListFactorsRequest {};
        let answer = self.codes().list_factors(self.request(message)).await?;
        Ok(answer.into_inner())
    }

    pub async fn begin_app(&self) -> Answer<proto::BeginAuthenticatorResponse> {
        let message = proto::BeginAuthenticatorRequest {};
        let answer = self
            .two_factor()
            .begin_authenticator(self.request(message))
            .await?;
        Ok(answer.into_inner())
    }

    /// Proves the app; the recovery codes, where there are new ones.
    pub async fn confirm_app(&mut self, enrolment: &str, code: &str) -> Answer<Vec<String>> {
        let message = proto::ConfirmAuthenticatorRequest {
            enrolment: enrolment.into(),
            code: code.into(),
        };
        let answer = self
            .two_factor()
            .confirm_authenticator(self.request(message))
            .await?
            .into_inner();
        self.token = answer.session_token;
        Ok(answer.recovery_codes)
    }

    /// Sets an app up, whose present code is then used; and the recovery codes.
    pub async fn set_up_app(&mut self, world: &World) -> (App, Vec<String>) {
        let begun = self.begin_app().await.unwrap();
        let app = App::of(&begun.secret);
        let code = app.shows(world, 0);
        let codes = self.confirm_app(&begun.enrolment, &code).await.unwrap();
        (app, codes)
    }

    /// Gives a code of the app and goes on with the new token.
    pub async fn use_app(&mut self, code: &str) -> Answer<()> {
        self.use_app_and_remember(code, false).await?;
        Ok(())
    }

    /// The same; the token of the remembered browser, if it is to be.
    pub async fn use_app_and_remember(&mut self, code: &str, remember: bool) -> Answer<String> {
        let message = proto::UseAuthenticatorCodeRequest {
            code: code.into(),
            remember_browser: remember,
        };
        let answer = self
            .codes()
            .use_authenticator_code(self.request(message))
            .await?
            .into_inner();
        self.token = answer.session_token;
        Ok(answer.browser_token)
    }

    pub async fn remove_app(&mut self) -> Answer<()> {
        let message = proto::RemoveAuthenticatorRequest {};
        let answer = self
            .two_factor()
            .remove_authenticator(self.request(message))
            .await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    /// The remembered browsers, newest use first, as they are told to a browser with this token.
    pub async fn browsers(&self, token: &str) -> Answer<Vec<proto::RememberedBrowser>> {
        let message = proto::ListBrowsersRequest {
            browser_token: token.into(),
        };
        let answer = self
            .two_factor()
            .list_browsers(self.request(message))
            .await?;
        Ok(answer.into_inner().browsers)
    }

    /// Forgets a remembered browser, or all where the id is empty; how many there were.
    pub async fn forget_browsers(&self, id: &str) -> Answer<u32> {
        let message = proto::RevokeBrowsersRequest {
            browser_id: id.into(),
        };
        let answer = self
            .two_factor()
            .revoke_browsers(self.request(message))
            .await?;
        Ok(answer.into_inner().forgotten)
    }

    pub async fn confirm_password(&mut self) {
        let message = proto::ConfirmPasswordRequest {
            password: PASSWORD.into(),
        };
        let answer = PasswordServiceClient::new(self.channel.clone())
            .confirm_password(self.request(message))
            .await
            .unwrap();
        self.token = answer.into_inner().session_token;
    }

    pub async fn change_password(&mut self, new: &str) {
        self.change_password_from(PASSWORD, new).await;
    }

    pub async fn change_password_from(&mut self, current: &str, new: &str) {
        self.try_change_password(current, new).await.unwrap();
    }

    pub async fn try_change_password(&mut self, current: &str, new: &str) -> Answer<()> {
        let message = proto::ChangePasswordRequest {
            current_password: current.into(),
            new_password: new.into(),
        };
        let answer = PasswordServiceClient::new(self.channel.clone())
            .change_password(self.request(message))
            .await?;
        self.token = answer.into_inner().session_token;
        Ok(())
    }

    pub async fn who(&self) -> Answer<proto::Session> {
        let message = proto::GetSessionRequest {};
        let answer = self
            .sign_in_service()
            .get_session(self.request(message))
            .await?;
        Ok(answer.into_inner().session.unwrap())
    }

    pub async fn sign_out(&self) {
        let message = proto::SignOutRequest {};
        self.sign_in_service()
            .sign_out(self.request(message))
            .await
            .unwrap();
    }
}
