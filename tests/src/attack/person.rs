//! People of the attacked system, and sessions: theirs, or stolen.

use anyhow::{Context, Result, ensure};
use sallyport_chassis::Secret;
use sallyport_chassis::channel::Outgoing;
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_proto::identity::v1::{
    CancelChallengeRequest, ConfirmPasswordRequest, EnableTwoFactorRequest,
    EnableTwoFactorResponse, GetSessionRequest, ResendCodeRequest, SendSignInCodeRequest,
    SendStepUpCodeRequest, Session as Who, SessionStage, SetPasswordByLinkRequest, SignInRequest,
    SignOutRequest, UseRecoveryCodeRequest, VerifyCodeRequest, VerifyCodeResponse,
};
use sallyport_testkit::ForeignSmsc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::{code_in, codes_at};

/// Everybody's password, as an attacker has it who got past the first step.
pub const PASSWORD: &str = "granite otter walks 47 bridges";

/// An idempotency key that was never used.
pub fn fresh_key() -> String {
    Uuid::now_v7().to_string()
}

fn header(text: &str) -> MetadataValue<Ascii> {
    text.parse().expect("visible ASCII")
}

/// A session as its holder has it, behind "the internal gateway" or not.
#[derive(Debug, Clone)]
pub struct Session {
    wire: Outgoing,
    client_ip: String,
    token: Secret,
}

impl Session {
    /// The session of a token.
    pub fn of(wire: &Outgoing, client_ip: &str, token: &str) -> Self {
        Self {
            wire: wire.clone(),
            client_ip: client_ip.to_owned(),
            token: Secret::new(token),
        }
    }

    /// The same session by another connection, perhaps to another process.
    pub fn by(&self, wire: &Outgoing) -> Self {
        Self::of(wire, &self.client_ip, self.token())
    }

    /// The same place with another token.
    pub fn bearing(&self, token: &str) -> Self {
        Self::of(&self.wire, &self.client_ip, token)
    }

    /// The token.
    pub fn token(&self) -> &str {
        self.token.expose()
    }

    /// A request of the session; `x-client-ip` counts where the wire is a gateway's.
    pub fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if !self.token.is_empty() {
            metadata.insert("authorization", header(&format!("Bearer {}", self.token())));
        }
        metadata.insert("x-client-ip", header(&self.client_ip));
        request
    }

    /// Who it is.
    pub async fn who(&self) -> Result<Who, Status> {
        let answer = SignInServiceClient::new(self.wire.clone())
            .get_session(self.ask(GetSessionRequest {}))
            .await?;
        Ok(answer.into_inner().session.unwrap_or_default())
    }

    /// Has the code of the sign-in sent.
    pub async fn send_code(&self) -> Result<(), Status> {
        let request = SendSignInCodeRequest {
            idempotency_key: fresh_key(),
        };
        CodeServiceClient::new(self.wire.clone())
            .send_sign_in_code(self.ask(request))
            .await
            .map(drop)
    }

    /// Has the code of a step-up sent.
    pub async fn send_step_up_code(&self) -> Result<(), Status> {
        let request = SendStepUpCodeRequest {
            idempotency_key: fresh_key(),
        };
        CodeServiceClient::new(self.wire.clone())
            .send_step_up_code(self.ask(request))
            .await
            .map(drop)
    }

    /// Has the same code sent again.
    pub async fn resend(&self) -> Result<(), Status> {
        let request = ResendCodeRequest {
            idempotency_key: fresh_key(),
        };
        CodeServiceClient::new(self.wire.clone())
            .resend_code(self.ask(request))
            .await
            .map(drop)
    }

    /// Drops the live challenge.
    pub async fn cancel(&self) -> Result<(), Status> {
        CodeServiceClient::new(self.wire.clone())
            .cancel_challenge(self.ask(CancelChallengeRequest {}))
            .await
            .map(drop)
    }

    /// Gives a code.
    pub async fn verify(&self, code: &str) -> Result<VerifyCodeResponse, Status> {
        self.verify_in(code, false).await
    }

    /// Gives a code in a browser that is to be remembered, or not.
    pub async fn verify_in(
        &self,
        code: &str,
        remember_browser: bool,
    ) -> Result<VerifyCodeResponse, Status> {
        let request = VerifyCodeRequest {
            code: code.to_owned(),
            remember_browser,
        };
        let answer = CodeServiceClient::new(self.wire.clone())
            .verify_code(self.ask(request))
            .await?;
        Ok(answer.into_inner())
    }

    /// Gives a recovery code; the new token.
    pub async fn recover(&self, recovery_code: &str) -> Result<String, Status> {
        let request = UseRecoveryCodeRequest {
            recovery_code: recovery_code.to_owned(),
        };
        let answer = CodeServiceClient::new(self.wire.clone())
            .use_recovery_code(self.ask(request))
            .await?;
        Ok(answer.into_inner().session_token)
    }

    /// Switches two-factor authentication on, or has the code sent that does.
    pub async fn enable(&self, number: &str) -> Result<EnableTwoFactorResponse, Status> {
        let request = EnableTwoFactorRequest {
            number: number.to_owned(),
            idempotency_key: fresh_key(),
        };
        let answer = TwoFactorServiceClient::new(self.wire.clone())
            .enable_two_factor(self.ask(request))
            .await?;
        Ok(answer.into_inner())
    }

    /// Types the password again; the new token.
    pub async fn confirm_password(&self, password: &str) -> Result<String, Status> {
        let request = ConfirmPasswordRequest {
            password: password.to_owned(),
        };
        let answer = PasswordServiceClient::new(self.wire.clone())
            .confirm_password(self.ask(request))
            .await?;
        Ok(answer.into_inner().session_token)
    }

    /// Ends it.
    pub async fn sign_out(&self) -> Result<(), Status> {
        SignInServiceClient::new(self.wire.clone())
            .sign_out(self.ask(SignOutRequest {}))
            .await
            .map(drop)
    }

    /// Whether it was let in by both steps.
    pub async fn is_let_in(&self) -> bool {
        self.who()
            .await
            .is_ok_and(|who| who.stage() == SessionStage::SignedIn && who.assurance == 2)
    }
}

/// Gives e-mail and password, and the token of a remembered browser or nothing.
pub async fn sign_in(
    wire: &Outgoing,
    client_ip: &str,
    email: &str,
    password: &str,
    browser_token: &str,
) -> Result<(Session, SessionStage), Status> {
    let request = SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        browser_token: browser_token.to_owned(),
    };
    let nobody = Session::of(wire, client_ip, "");
    let answer = SignInServiceClient::new(wire.clone())
        .sign_in(nobody.ask(request))
        .await?
        .into_inner();
    Ok((nobody.bearing(&answer.session_token), answer.stage()))
}

/// Uses a one-time link to set a password.
pub async fn set_password(
    wire: &Outgoing,
    client_ip: &str,
    link_token: &str,
    password: &str,
) -> Result<(), Status> {
    let request = SetPasswordByLinkRequest {
        link_token: link_token.to_owned(),
        password: password.to_owned(),
    };
    PasswordServiceClient::new(wire.clone())
        .set_password_by_link(Session::of(wire, client_ip, "").ask(request))
        .await
        .map(drop)
}

/// A session that awaits its second step, and the code that would do it.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The session.
    pub session: Session,
    /// What the SMS holds.
    pub code: String,
}

/// Somebody with two-factor authentication on.
#[derive(Debug)]
pub struct Person {
    /// What he signs in with.
    pub email: String,
    /// His phone.
    pub number: String,
    /// Where he is.
    pub client_ip: String,
    /// Signed in by both steps.
    pub session: Session,
    /// Ten.
    pub recovery_codes: Vec<String>,
    /// The invitation, used.
    pub link_token: String,
    /// Codes sent to his phone so far.
    codes: usize,
}

impl Person {
    /// Sets the password of an invitation, signs in and confirms the number.
    pub async fn enrol(
        smsc: &ForeignSmsc,
        wire: &Outgoing,
        email: String,
        link_token: String,
        number: String,
        client_ip: String,
    ) -> Result<Self> {
        set_password(wire, &client_ip, &link_token, PASSWORD)
            .await
            .context("the password by the invitation")?;
        let (session, stage) = sign_in(wire, &client_ip, &email, PASSWORD, "").await?;
        ensure!(stage == SessionStage::SignedIn, "{email}: {stage:?}");
        session
            .enable(&number)
            .await
            .context("switching two-factor authentication on")?;
        let mut person = Self {
            email,
            number,
            client_ip,
            session,
            recovery_codes: Vec::new(),
            link_token,
            codes: 0,
        };
        let code = person.newest_code(smsc).await?;
        let verified = person.session.verify(&code).await?;
        person.session = person.session.bearing(&verified.session_token);
        person.recovery_codes = verified.recovery_codes;
        Ok(person)
    }

    /// The code that was sent last: one more than was read before.
    pub async fn newest_code(&mut self, smsc: &ForeignSmsc) -> Result<String> {
        self.codes += 1;
        let codes = codes_at(smsc, &self.number, self.codes).await?;
        code_in(codes.last().context("no message")?)
    }

    /// The first step, by whoever knows the password.
    pub async fn sign_in(&self, wire: &Outgoing) -> Result<Session> {
        let signed_in = sign_in(wire, &self.client_ip, &self.email, PASSWORD, "").await;
        let (session, stage) = signed_in.context("the first step")?;
        ensure!(
            stage == SessionStage::AwaitingSecondFactor,
            "{} is let in by the password alone",
            self.email
        );
        Ok(session)
    }

    /// The first step, with the code of the second sent and read.
    pub async fn begin(&mut self, smsc: &ForeignSmsc, wire: &Outgoing) -> Result<Begun> {
        let session = self.sign_in(wire).await?;
        session.send_code().await.context("the code")?;
        let code = self.newest_code(smsc).await?;
        Ok(Begun { session, code })
    }
}
