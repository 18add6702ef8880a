//! Enrolling a disabled factor anew, with the link that the code page mails: the link's page asks the
//! password, and a page of the session, which still awaits its second factor, asks the number.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sallyport_chassis::Refusal;
use sallyport_proto::identity::v1::{
    ConfirmPasswordRequest, EnableTwoFactorRequest, InspectLinkResponse, SendEnrolmentLinkRequest,
    Session, SessionStage, SignInRequest, UseEnrolmentLinkRequest,
};
use sallyport_proto::otp::v1::ListCountriesRequest;
use tonic::Status;

use super::account::{likely, picker, served};
use super::frame::{self, Choice, Errors, Field, Frame};
use super::number::validated;
use super::{code, redirect, save, sign_in, words_of};
use crate::App;
use crate::csrf::idempotency_key;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::{Cookies, PENDING, with_query};
use crate::visitor::Visitor;

const FIELDS: [&str; 3] = ["country", "mobile_number", "password"];

/// Has the link mailed, from the code page of a disabled factor.
pub(crate) async fn send_link(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let told = code::carried(&posted);
    let ask = visitor.ask(SendEnrolmentLinkRequest {});
    let sent = app.clients.code().send_enrolment_link(ask).await;
    code::tell(&told, sent.map(|_| ()), "link_sent")
}

#[derive(Template)]
#[template(path = "enrol_link.html")]
struct LinkPage {
    f: Frame,
    email: String,
    password: Field,
}

/// The form of the link's own page.
pub(super) fn link_form(
    app: &App,
    visitor: &Visitor,
    link: &InspectLinkResponse,
    errors: &Errors,
) -> Response {
    let w = visitor.words();
    let f = Frame::before(app, visitor, w.enrol_title()).with_errors(errors);
    let template = LinkPage {
        email: link.email.clone(),
        password: Field::password("password", w.password(), "current-password")
            .error(errors)
            .required()
            .first(&f),
        f,
    };
    frame::show(frame::status(errors), &template)
}

/// The password: the first step of a sign-in, in whose session the link is used. `former` is who
/// this browser was until now.
pub(super) async fn link_submit(
    app: &App,
    visitor: &Visitor,
    former: &Visitor,
    link: &InspectLinkResponse,
    link_token: String,
    posted: &Form,
) -> Result<Response, Problem> {
    let w = visitor.words();
    let mut errors = Errors::default();
    errors.required(w, "password", posted.raw("password"));
    if !errors.is_empty() {
        return Ok(link_form(app, visitor, link, &errors));
    }
    let request = SignInRequest {
        email: link.email.clone(),
        password: posted.raw("password").to_owned(),
        browser_token: String::new(),
    };
    let answer = match app.clients.sign_in().sign_in(visitor.ask(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            let errors = Errors::of(w, &refusal, &FIELDS);
            let page = link_form(app, visitor, link, &errors);
            return Ok(frame::refused(page, refusal));
        }
    };
    sign_in::end_former(app, former).await;
    let mut cookies = Cookies::default();
    cookies.session(&answer.session_token);
    cookies.remove(PENDING);
    if answer.stage() == SessionStage::SignedIn {
        return Ok(frame::with_cookies(redirect("/account"), &cookies));
    }
    let ask = visitor
        .with_session(&answer.session_token)
        .ask(UseEnrolmentLinkRequest { link_token });
    let to = match app.clients.code().use_enrolment_link(ask).await {
        Ok(answer) => {
            cookies.session(&answer.into_inner().session_token);
            "/enrol".to_owned()
        }
        // Past the password all the same: the code page has the other ways in.
        Err(status) => {
            let (why, wait) = code::told(&Problem::from(status).refusal()?);
            with_query("/code", &[("why", &why), ("wait", &wait)])
        }
    };
    Ok(frame::with_cookies(redirect(&to), &cookies))
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage {
    f: Frame,
    email: String,
    country: Choice,
    number: Field,
    /// Asked where it was typed too long ago.
    password: Option<Field>,
}

/// The number's form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    if !session.may_enrol {
        return Ok(redirect("/account"));
    }
    form(
        &app,
        &visitor,
        &session,
        ("", ""),
        false,
        &Errors::default(),
    )
    .await
}

async fn form(
    app: &App,
    visitor: &Visitor,
    session: &Session,
    (country, number): (&str, &str),
    password: bool,
    errors: &Errors,
) -> Result<Response, Problem> {
    let w = words_of(session, visitor);
    let ask = visitor.ask(ListCountriesRequest {});
    let countries = app.clients.number().list_countries(ask).await?;
    let served = served(countries.into_inner(), w);
    let likely = likely(&served, "", &visitor.regions);
    let f = Frame::within(app, visitor, w, w.enrol_title()).with_errors(errors);
    let password = password.then(|| {
        Field::password("password", w.password(), "current-password")
            .error(errors)
            .required()
    });
    let template = EnrolPage {
        email: session.email.clone(),
        country: picker("country", w.country(), w, &likely, &served, country)
            .filter(w.country_filter())
            .error(errors),
        number: Field::text("mobile_number", w.mobile_number())
            .hint(w.mobile_hint())
            .value(number)
            .fill("tel", "tel")
            .most(40)
            .error(errors)
            .required(),
        password,
        f: f.script("number.js"),
    };
    Ok(frame::show(frame::status(errors), &template))
}

/// The number: a code goes to it, and that code ends the sign-in.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    if !session.may_enrol {
        return Ok(redirect("/account"));
    }
    let w = words_of(&session, &visitor);
    let (country, number) = (posted.text("country"), posted.text("mobile_number"));
    let asked = posted.ticked("password");
    let mut cookies = Cookies::default();
    let sent = enrol(&app, &visitor, &posted, &mut cookies).await;
    let response = match sent {
        Ok(()) => {
            cookies.set(PENDING, "1");
            redirect("/code")
        }
        Err(problem) => {
            let refusal = save::named(problem.refusal()?);
            if refusal.reason.starts_with("session.") {
                return Err(refusal.into());
            }
            let stale = refusal.reason == "password_confirmation_required";
            let mut errors = Errors::default();
            if stale {
                errors.field("password", crate::refusals::sentence(w, &refusal));
            } else {
                errors.add(w, &refusal, &FIELDS);
            }
            let typed = (country.as_str(), number.as_str());
            let page = form(&app, &visitor, &session, typed, stale || asked, &errors).await?;
            frame::refused(page, refusal)
        }
    };
    Ok(frame::with_cookies(response, &cookies))
}

async fn enrol(
    app: &App,
    visitor: &Visitor,
    posted: &Form,
    cookies: &mut Cookies,
) -> Result<(), Problem> {
    let (typed, country) = (posted.text("mobile_number"), posted.text("country"));
    let number = validated(app, visitor, typed, country).await??.e164;
    let mut visitor = visitor.clone();
    if posted.ticked("password") {
        let request = ConfirmPasswordRequest {
            password: posted.raw("password").to_owned(),
        };
        let mut passwords = app.clients.password();
        let confirmed = passwords.confirm_password(visitor.ask(request)).await;
        let token = confirmed.map_err(at_the_field)?.into_inner().session_token;
        cookies.session(&token);
        visitor = visitor.with_session(&token);
    }
    let request = EnableTwoFactorRequest {
        idempotency_key: idempotency_key(posted.nonce(), &["enrol", &number]),
        number,
    };
    let mut two_factor = app.clients.two_factor();
    two_factor.enable_two_factor(visitor.ask(request)).await?;
    Ok(())
}

/// A refusal of the password stands at its field.
fn at_the_field(status: Status) -> Status {
    match Refusal::from_status(&status) {
        Some(mut refusal) if refusal.reason.starts_with("password.") => {
            refusal.fields = vec![("password".to_owned(), refusal.reason.clone())];
            refusal.into()
        }
        _ => status,
    }
}
