//! Real processes and servers, killed and stopped in the midst of the journey: a clear error while
//! something is away, recovery without a restart of ours, no message lost, no double that is not
//! counted as doubt.

mod failover;
mod gate;
mod kills;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use sallyport_chassis::channel::{Outgoing, connect};
use sallyport_chassis::config::{PeerConfig, TlsConfig};
use sallyport_chassis::{Refusal, Secret};
use sallyport_proto::identity::v1::code_service_client::CodeServiceClient;
use sallyport_proto::identity::v1::password_service_client::PasswordServiceClient;
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_proto::identity::v1::{
    EnableTwoFactorRequest, GetChallengeRequest, MessageState, ResendCodeRequest,
    SendSignInCodeRequest, SessionStage, SetPasswordByLinkRequest, SignInRequest,
    VerifyCodeRequest,
};
use sallyport_tests::portal_client::{Page, PortalClient};
use sallyport_tests::processes::{Invited, Processes};
use sallyport_tests::{code_in, codes_at};
use tonic::{Code, Request, Status};

const PASSWORD: &str = "granite otter walks 47 bridges";
const NUMBER: &str = "+33612345678";
/// Of the person at the portal.
const PERSON: &str = "+33612345679";

/// A person behind "the internal gateway", over mutual TLS.
struct Visitor {
    wire: Outgoing,
    email: String,
    token: Secret,
}

impl Visitor {
    fn new(processes: &Processes, user: &Invited) -> Result<Self> {
        let peer = PeerConfig {
            url: format!("https://{}", processes.identity_address()),
            tls: Some(TlsConfig {
                cert_file: processes.certificate("gateway.pem"),
                key_file: processes.certificate("gateway.key"),
                ca_file: processes.certificate("ca.pem"),
            }),
        };
        let wire = connect(&peer, "identity")?;
        Ok(Self {
            wire,
            email: user.email.clone(),
            token: Secret::default(),
        })
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token.expose());
            request
                .metadata_mut()
                .insert("authorization", bearer.parse().expect("a header"));
        }
        request
            .metadata_mut()
            .insert("x-client-ip", "192.0.2.7".parse().expect("a header"));
        request
    }

    async fn sign_in(&mut self) -> Result<SessionStage, Status> {
        self.token = Secret::default();
        let request = SignInRequest {
            email: self.email.clone(),
            password: PASSWORD.to_owned(),
            browser_token: String::new(),
        };
        let answer = SignInServiceClient::new(self.wire.clone())
            .sign_in(self.ask(request))
            .await?;
        let answer = answer.into_inner();
        self.token = Secret::new(answer.session_token.clone());
        Ok(answer.stage())
    }

    async fn send_code(&self, key: &str) -> Result<(), Status> {
        let request = SendSignInCodeRequest {
            idempotency_key: key.to_owned(),
        };
        CodeServiceClient::new(self.wire.clone())
            .send_sign_in_code(self.ask(request))
            .await
            .map(drop)
    }

    async fn resend_code(&self, key: &str) -> Result<(), Status> {
        let request = ResendCodeRequest {
            idempotency_key: key.to_owned(),
        };
        CodeServiceClient::new(self.wire.clone())
            .resend_code(self.ask(request))
            .await
            .map(drop)
    }

    async fn verify(&mut self, code: &str) -> Result<(), Status> {
        let request = VerifyCodeRequest {
            code: code.to_owned(),
            remember_browser: false,
        };
        let answer = CodeServiceClient::new(self.wire.clone())
            .verify_code(self.ask(request))
            .await?;
        self.token = Secret::new(answer.into_inner().session_token);
        Ok(())
    }

    async fn message_state(&self) -> Result<MessageState, Status> {
        let answer = CodeServiceClient::new(self.wire.clone())
            .get_challenge(self.ask(GetChallengeRequest {}))
            .await?
            .into_inner();
        Ok(answer
            .challenge
            .map_or(MessageState::Unspecified, |c| c.message_state()))
    }

    /// Sets the password, signs in, and confirms the number by the code that arrived.
    async fn enrol(&mut self, processes: &Processes, user: &Invited) -> Result<()> {
        PasswordServiceClient::new(self.wire.clone())
            .set_password_by_link(self.ask(SetPasswordByLinkRequest {
                link_token: user.link_token.clone(),
                password: PASSWORD.to_owned(),
            }))
            .await?;
        ensure!(self.sign_in().await? == SessionStage::SignedIn);
        TwoFactorServiceClient::new(self.wire.clone())
            .enable_two_factor(self.ask(EnableTwoFactorRequest {
                number: NUMBER.to_owned(),
                idempotency_key: "enrolment-1".to_owned(),
            }))
            .await?;
        let code = last_code(processes, 1).await?;
        self.verify(&code).await?;
        Ok(())
    }
}

/// The newest code once the carrier has `count`.
async fn last_code(processes: &Processes, count: usize) -> Result<String> {
    let codes = codes_at(&processes.smsc, NUMBER, count).await?;
    code_in(codes.last().context("no message")?)
}

/// The call failed as our trouble, clearly: UNAVAILABLE, and no reason that a person could act on.
fn unavailable(result: Result<impl Sized, Status>, what: &str) -> Result<()> {
    match result {
        Ok(_) => anyhow::bail!("{what} went through"),
        Err(status) => {
            ensure!(
                status.code() == Code::Unavailable && Refusal::from_status(&status).is_none(),
                "{what}: {status:?}"
            );
            Ok(())
        }
    }
}

/// Repeats a call while it is answered UNAVAILABLE, as a caller would after an outage, at most for a
/// minute; any other refusal is the test's failure.
async fn recovered<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        pace.tick().await;
        match call().await {
            Ok(value) => return Ok(value),
            Err(status) if status.code() == Code::Unavailable => {
                ensure!(
                    tokio::time::Instant::now() < deadline,
                    "did not recover: {status:?}"
                );
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// The portal shows its page for trouble of ours: a sentence, and the number by which we find the
/// request; nothing of what is inside.
fn sorry(page: &Page, what: &str) -> Result<()> {
    let words = page.words();
    ensure!(
        page.status == StatusCode::SERVICE_UNAVAILABLE
            && page.header("content-type").starts_with("text/html"),
        "{what}: {} {words}",
        page.status
    );
    ensure!(
        words.contains("Something went wrong. Please try again in a moment."),
        "{what}: {words}"
    );
    let number = page.header("x-request-id");
    ensure!(
        number.len() >= 8 && words.contains(&format!("Request number: {number}")),
        "{what}: no number {number:?} of the request: {words}"
    );
    let text = page.text.to_lowercase();
    for inside in [
        "panicked",
        "backtrace",
        ".rs:",
        "status {",
        "grpc",
        "sqlx",
        "postgres",
        "redis",
        "rabbit",
        "amqp",
        "os error",
        "connection refused",
    ] {
        ensure!(!text.contains(inside), "{what} shows {inside:?}: {words}");
    }
    Ok(())
}

/// A person who tries again until our trouble is over, at most for a minute. Every page before that
/// says sorry.
async fn over(mut attempt: impl AsyncFnMut() -> Result<Page>) -> Result<()> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        pace.tick().await;
        let page = attempt().await?;
        if page.status != StatusCode::SERVICE_UNAVAILABLE {
            return Ok(());
        }
        sorry(&page, "trying again")?;
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the portal did not recover"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_away_and_back_during_the_journey() -> Result<()> {
    // The hour's quota must hold every message of this test.
    let settings = [
        ("OTP__LIMITS__NUMBER__PER_HOUR", "10"),
        ("OTP__LIMITS__USER__PER_HOUR", "15"),
    ];
    let mut processes = Processes::start(&settings).await?;
    let user = processes
        .organisation("outages", "admin@outages.example")
        .await?;
    let mut visitor = Visitor::new(&processes, &user)?;
    visitor.enrol(&processes, &user).await?;
    let mut sent = 1;
    // Meanwhile somebody switches 2FA on at the portal, and meets each outage on the way.
    let invited = processes
        .organisation("onlookers", "admin@onlookers.example")
        .await?;
    let mut person = PortalClient::new(&processes.portal)?;
    person
        .choose_password(&invited.link_token, PASSWORD)
        .await?;
    person.sign_in(&invited.email, PASSWORD).await?;
    person.at("/account")?;

    // RabbitMQ away: the code cannot be queued, and the caller is told so. With the same key after
    // the outage, it is sent once.
    visitor.sign_in().await?;
    processes.rabbitmq.stop().await?;
    unavailable(
        visitor.send_code("broker-away-1").await,
        "sending without the broker",
    )?;
    let typed = [
        ("mobile_number", PERSON),
        ("country", "FR"),
        ("two_factor", "1"),
    ];
    sorry(
        person.submit("/account", &typed).await?,
        "saving without the broker",
    )?;
    processes.rabbitmq.start_again().await?;
    recovered(async || visitor.send_code("broker-away-1").await).await?;
    sent += 1;
    let code = last_code(&processes, sent).await?;
    visitor.verify(&code).await?;
    // The same Save pressed again sends the person's code, once.
    over(async || person.again().await.cloned()).await?;
    person.at("/code")?;
    let codes = codes_at(&processes.smsc, PERSON, 1).await?;
    let persons_code = code_in(&codes[0])?;

    // Redis away: nothing is sent, and no attempt is allowed.
    visitor.sign_in().await?;
    visitor.send_code("store-away-1").await?;
    sent += 1;
    let code = last_code(&processes, sent).await?;
    processes.redis.stop().await?;
    unavailable(visitor.verify(&code).await, "verifying without the store")?;
    sorry(
        person.submit("/code", &[("code", &persons_code)]).await?,
        "the code page without the store",
    )?;
    processes.redis.start_again().await?;
    let mut again = None;
    recovered(async || {
        again = Some(visitor.verify(&code).await);
        match &again {
            Some(Err(status)) if status.code() == Code::Unavailable => Err(status.clone()),
            _ => Ok(()),
        }
    })
    .await?;
    // The append-only file brought the challenge back: the code still works, once.
    again.context("not tried")??;
    over(async || person.again().await.cloned()).await?;
    ensure!(
        person.page().text.matches("<li><code>").count() == 10,
        "no recovery codes: {}",
        person.page().words()
    );

    // PostgreSQL away: no sign-in, and no attempt is allowed.
    visitor.sign_in().await?;
    visitor.send_code("database-away-1").await?;
    sent += 1;
    let code = last_code(&processes, sent).await?;
    person.open("/account").await?;
    person.at("/account")?;
    processes.postgres.stop().await?;
    unavailable(
        visitor.verify(&code).await,
        "verifying without the database",
    )?;
    let token = visitor.token.clone();
    unavailable(visitor.sign_in().await, "signing in without the database")?;
    visitor.token = token;
    // The page of sign-in needs nobody, so it is there; what it leads to is not.
    let mut stranger = PortalClient::new(&processes.portal)?;
    sorry(
        stranger
            .sign_in("nobody@onlookers.example", PASSWORD)
            .await?,
        "signing in at the portal without the database",
    )?;
    // Nobody is told that he is signed out while his session is still open.
    sorry(
        person.submit("/sign-out", &[]).await?,
        "signing out without the database",
    )?;
    sorry(
        person.open("/account").await?,
        "the account without the database",
    )?;
    processes.postgres.start_again().await?;
    let mut verified = Ok(());
    recovered(async || {
        verified = visitor.verify(&code).await;
        match &verified {
            Err(status) if status.code() == Code::Unavailable => Err(status.clone()),
            _ => Ok(()),
        }
    })
    .await?;
    verified?;
    over(async || person.open("/account").await.cloned()).await?;
    person.at("/account")?;
    over(async || stranger.again().await.cloned()).await?;
    ensure!(
        stranger.path() == "/sign-in" && stranger.page().status == StatusCode::UNPROCESSABLE_ENTITY,
        "{} {}",
        stranger.path(),
        stranger.page().status
    );

    // Nothing was lost and nothing came twice.
    let codes = codes_at(&processes.smsc, NUMBER, sent).await?;
    ensure!(
        codes.len() == sent,
        "{} codes arrived, {sent} were sent",
        codes.len()
    );
    let codes = codes_at(&processes.smsc, PERSON, 1).await?;
    ensure!(codes.len() == 1, "{} codes for the person", codes.len());
    for (name, process) in [
        ("identity", &mut processes.identity),
        ("otp-api", &mut processes.otp_api),
        ("account-admin", &mut processes.account_admin),
        ("gateway", &mut processes.gateway),
        ("sms-dispatcher", &mut processes.dispatchers[0]),
    ] {
        ensure!(
            process.ended()?.is_none(),
            "{name} ended: {}",
            process.log()?
        );
    }
    Ok(())
}
