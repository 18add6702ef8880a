//! Switching 2FA on and off, its number and its recovery codes, and ending sessions, through whatever
//! has to come first: the password again, a step-up, a code to the new number. Nothing is kept here meanwhile: what is
//! to be done travels in the address, signed under the session, and the number is the profile's.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_chassis::Refusal;
use sallyport_proto::admin::v1::GetProfileRequest;
use sallyport_proto::identity::v1::{
    BeginAuthenticatorRequest, BeginPasskeyRequest, ChangeNumberRequest, DisableTwoFactorRequest,
    EnableTwoFactorRequest, RemakeRecoveryCodesRequest, RemoveAuthenticatorRequest,
    RemovePasskeyRequest, RevokeSessionsRequest, SendStepUpCodeRequest,
};
use tonic::Code;

use super::frame::{self, Errors, Frame};
use super::{authenticator_setup, passkeys, redirect, words_of};
use crate::App;
use crate::csrf::{self, idempotency_key};
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::{Cookies, PENDING, with_query};
use crate::visitor::Visitor;
use crate::words::Words;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Tick the box.
    Enable,
    /// Untick it.
    Disable,
    /// Move 2FA to the profile's number.
    ChangeNumber,
    /// New recovery codes.
    RemakeCodes,
    /// Set an authenticator app up.
    SetUpAuthenticator,
    /// Take the authenticator app away.
    RemoveAuthenticator,
    /// Add a passkey.
    AddPasskey,
    /// Take a passkey away.
    RemovePasskey,
    /// End another session, or all others.
    EndSessions,
}

const INTENTS: [(Intent, &str); 9] = [
    (Intent::Enable, "enable"),
    (Intent::Disable, "disable"),
    (Intent::ChangeNumber, "number"),
    (Intent::RemakeCodes, "codes"),
    (Intent::SetUpAuthenticator, "authenticator"),
    (Intent::RemoveAuthenticator, "no-authenticator"),
    (Intent::AddPasskey, "passkey"),
    (Intent::RemovePasskey, "no-passkey"),
    (Intent::EndSessions, "sessions"),
];

impl Intent {
    fn name(self) -> &'static str {
        INTENTS
            .iter()
            .find(|(intent, _)| *intent == self)
            .map_or("", |(_, name)| name)
    }
}

/// What is to be done, under the nonce of the form that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    /// What.
    pub intent: Intent,
    /// The nonce, which all its messages take their idempotency keys from.
    pub nonce: String,
    /// To which one, where there are several: its id, else empty.
    pub of: String,
}

/// Whether the text can be an id, or none.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl Go {
    /// Reads one that was written under the visitor's session; a link from elsewhere is not.
    pub(crate) fn read(visitor: &Visitor, text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('.')?;
        let (nonce, rest) = rest.split_once('.')?;
        let (of, mac) = rest.split_once('.')?;
        let (intent, _) = INTENTS.iter().find(|(_, known)| *known == name)?;
        let go = Self {
            intent: *intent,
            nonce: nonce.to_owned(),
            of: of.to_owned(),
        };
        let cookie = visitor.caller.bearer.as_ref()?;
        let whole = csrf::is_nonce(nonce) && is_id(of);
        (whole && csrf::equal(&go.mac(cookie), mac)).then_some(go)
    }

    /// Writes it for the next page, under the visitor's present session.
    pub(crate) fn write(&self, visitor: &Visitor) -> String {
        match &visitor.caller.bearer {
            Some(cookie) => {
                let (name, mac) = (self.intent.name(), self.mac(cookie));
                format!("{name}.{}.{}.{mac}", self.nonce, self.of)
            }
            None => String::new(),
        }
    }

    fn mac(&self, cookie: &sallyport_chassis::Secret) -> String {
        let parts = [self.intent.name(), &self.nonce, &self.of];
        let [name, nonce, of] = parts.map(str::as_bytes);
        csrf::mac(cookie, &[b"go", name, nonce, of])
    }

    /// What is to be done, in words.
    pub(crate) fn words(&self, w: Words) -> &'static str {
        match self.intent {
            Intent::Enable => w.go_enable(),
            Intent::Disable => w.go_disable(),
            Intent::ChangeNumber => w.go_number(),
            Intent::RemakeCodes => w.go_codes(),
            Intent::SetUpAuthenticator => w.go_authenticator(),
            Intent::RemoveAuthenticator => w.go_remove_authenticator(),
            Intent::AddPasskey => w.go_passkey(),
            Intent::RemovePasskey => w.go_remove_passkey(),
            Intent::EndSessions => w.go_sessions(),
        }
    }
}

/// Does it, or leads to what has to come first.
pub(crate) async fn proceed(
    app: &App,
    visitor: &Visitor,
    go: Go,
    cookies: &mut Cookies,
) -> Result<Response, Problem> {
    match act(app, visitor, &go, cookies).await {
        Ok(response) => Ok(response),
        Err(problem) => refused(app, visitor, &go, problem.refusal()?).await,
    }
}

async fn act(
    app: &App,
    visitor: &Visitor,
    go: &Go,
    cookies: &mut Cookies,
) -> Result<Response, Problem> {
    let mut client = app.clients.two_factor();
    match go.intent {
        Intent::Enable => {
            let number = number(app, visitor).await?;
            let key = idempotency_key(&go.nonce, &["enable", &number]);
            let request = EnableTwoFactorRequest {
                number,
                idempotency_key: key,
            };
            let answer = client
                .enable_two_factor(visitor.ask(request))
                .await?
                .into_inner();
            if !answer.active {
                cookies.set(PENDING, "1");
                return Ok(redirect("/code"));
            }
            cookies.session(&answer.session_token);
            let after = visitor.with_session(&answer.session_token);
            if answer.recovery_codes.is_empty() {
                return Ok(redirect("/account?done=two_factor_on"));
            }
            let w = terms(app, &after).await;
            Ok(codes_page(app, &after, w, &answer.recovery_codes, true))
        }
        Intent::ChangeNumber => {
            let number = number(app, visitor).await?;
            let key = idempotency_key(&go.nonce, &["number", &number]);
            let request = ChangeNumberRequest {
                number,
                idempotency_key: key,
            };
            client.change_number(visitor.ask(request)).await?;
            cookies.set(PENDING, "1");
            Ok(redirect("/code"))
        }
        Intent::Disable => {
            let answer = client
                .disable_two_factor(visitor.ask(DisableTwoFactorRequest {}))
                .await?;
            cookies.session(&answer.into_inner().session_token);
            Ok(redirect("/account?done=two_factor_off"))
        }
        Intent::RemakeCodes => {
            let request = visitor.ask(RemakeRecoveryCodesRequest {});
            let codes = client
                .remake_recovery_codes(request)
                .await?
                .into_inner()
                .recovery_codes;
            let w = terms(app, visitor).await;
            Ok(codes_page(app, visitor, w, &codes, false))
        }
        Intent::SetUpAuthenticator => {
            let request = visitor.ask(BeginAuthenticatorRequest {});
            let begun = client.begin_authenticator(request).await?.into_inner();
            let errors = Errors::default();
            authenticator_setup::show(app, visitor, &begun.secret, &begun.enrolment, &errors).await
        }
        Intent::RemoveAuthenticator => {
            let request = visitor.ask(RemoveAuthenticatorRequest {});
            let answer = client.remove_authenticator(request).await?;
            cookies.session(&answer.into_inner().session_token);
            Ok(redirect("/account?done=authenticator_removed"))
        }
        Intent::AddPasskey => {
            let request = visitor.ask(BeginPasskeyRequest {});
            let begun = client.begin_passkey(request).await?.into_inner();
            passkeys::show_setup(app, visitor, begun).await
        }
        Intent::RemovePasskey => {
            let request = visitor.ask(RemovePasskeyRequest {
                passkey_id: go.of.clone(),
            });
            let answer = client.remove_passkey(request).await?;
            cookies.session(&answer.into_inner().session_token);
            Ok(redirect("/account/passkeys?done=removed"))
        }
        Intent::EndSessions => {
            let request = visitor.ask(RevokeSessionsRequest {
                session_id: go.of.clone(),
            });
            app.clients.sign_in().revoke_sessions(request).await?;
            Ok(redirect("/account?done=sessions"))
        }
    }
}

/// The profile's number, as the Save before stored it.
async fn number(app: &App, visitor: &Visitor) -> Result<String, Problem> {
    let answer = app
        .clients
        .profile()
        .get_profile(visitor.ask(GetProfileRequest {}))
        .await?;
    let fields = answer
        .into_inner()
        .profile
        .and_then(|p| p.fields)
        .unwrap_or_default();
    if fields.mobile_number.is_empty() {
        return Err(Refusal::field("mobile_number", "field.required").into());
    }
    Ok(fields.mobile_number)
}

async fn refused(
    app: &App,
    visitor: &Visitor,
    go: &Go,
    refusal: Refusal,
) -> Result<Response, Problem> {
    let written = go.write(visitor);
    match refusal.reason.as_str() {
        "password_confirmation_required" => {
            Ok(redirect(&with_query("/confirm", &[("go", &written)])))
        }
        "step_up_required" => {
            // No message is paid for where there is a passkey or an app.
            let factors = super::code::factors(app, visitor).await?;
            if let Some(page) = super::code::without_message(&factors) {
                return Ok(redirect(&with_query(page, &[("go", &written)])));
            }
            let key = idempotency_key(&go.nonce, &["step-up"]);
            let request = visitor.ask(SendStepUpCodeRequest {
                idempotency_key: key,
            });
            // Not sent: the code page says why, and offers a recovery code.
            let (why, wait) = match app.clients.code().send_step_up_code(request).await {
                Ok(_) => (String::new(), String::new()),
                Err(status) => super::code::told(&Problem::from(status).refusal()?),
            };
            let pairs = [("go", written.as_str()), ("why", &why), ("wait", &wait)];
            Ok(redirect(&with_query("/code", &pairs)))
        }
        "second_factor_required" => Err(refusal.into()),
        reason if reason.starts_with("session.") => Err(refusal.into()),
        _ => {
            // The profile was stored before; My account says that, and what was not done.
            let (why, wait) = super::code::told(&refusal);
            let done = match go.intent {
                Intent::Enable | Intent::ChangeNumber => "saved_unsent",
                Intent::Disable
                | Intent::RemakeCodes
                | Intent::SetUpAuthenticator
                | Intent::RemoveAuthenticator
                | Intent::AddPasskey
                | Intent::RemovePasskey
                | Intent::EndSessions => "",
            };
            let minimum = refusal.get("minimum").unwrap_or_default();
            let pairs = [
                ("done", done),
                ("why", &why),
                ("wait", &wait),
                ("minimum", minimum),
            ];
            Ok(redirect(&with_query("/account", &pairs)))
        }
    }
}

/// New recovery codes, from the block Security.
pub(crate) async fn remake(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    start(&app, &visitor, &posted, Intent::RemakeCodes).await
}

/// Does what a form of My account asks for, or leads to what has to come first.
pub(super) async fn start(
    app: &App,
    visitor: &Visitor,
    posted: &Form,
    intent: Intent,
) -> Result<Response, Problem> {
    let of = Some(posted.text("passkey_id"))
        .filter(|id| intent == Intent::RemovePasskey && is_id(id))
        .unwrap_or_default();
    let go = Go {
        intent,
        nonce: posted.nonce().to_owned(),
        of,
    };
    begin(app, visitor, go).await
}

/// The same, of what is to be done already.
pub(super) async fn begin(app: &App, visitor: &Visitor, go: Go) -> Result<Response, Problem> {
    if visitor.caller.bearer.is_none() {
        return Err(Problem::refused(Code::Unauthenticated, "session.required"));
    }
    let mut cookies = Cookies::default();
    let response = proceed(app, visitor, go, &mut cookies).await?;
    Ok(frame::with_cookies(response, &cookies))
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    f: Frame,
    codes: Vec<String>,
    /// The file, as a `data:` address: it is never on a server.
    file: String,
}

/// The terms for codes that were just made. They are not shown a second time, so their page comes even
/// where the reader's own language is not to be had, in that of the browser.
async fn terms(app: &App, visitor: &Visitor) -> Words {
    let session = app.clients.session(visitor).await.unwrap_or_default();
    words_of(&session, visitor)
}

/// The one page that shows recovery codes, in the answer to what made them.
pub(crate) fn codes_page(
    app: &App,
    visitor: &Visitor,
    w: Words,
    codes: &[String],
    activated: bool,
) -> Response {
    let mut f = Frame::within(app, visitor, w, w.recovery_codes());
    f.notice = Some(if activated {
        w.done_two_factor_on().to_owned()
    } else {
        w.done_codes(codes.len())
    });
    let text = format!(
        "{}\r\n\r\n{}\r\n",
        w.recovery_codes_file(&f.portal),
        codes.join("\r\n")
    );
    let file: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let template = CodesPage {
        f,
        codes: codes.to_vec(),
        file: format!("data:text/plain;charset=utf-8,{file}"),
    };
    frame::show(StatusCode::OK, &template)
}
