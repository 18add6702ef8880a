//! The one-time link of an invitation or a reset: it sets a password and never signs in. That of an
//! enrolment leads on to [`super::enrol`].

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sallyport_proto::identity::v1::{
    InspectLinkRequest, InspectLinkResponse, LinkPurpose, SetPasswordByLinkRequest,
};

use super::frame::{self, Errors, Field, Frame};
use super::{enrol, redirect};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::refusals;
use crate::session::Cookies;
use crate::visitor::Visitor;
use crate::words::Language;

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    f: Frame,
    intro: String,
    email: String,
    new: Field,
    again: Field,
}

async fn inspect(
    app: &App,
    visitor: &Visitor,
    token: &str,
) -> Result<InspectLinkResponse, Problem> {
    let request = InspectLinkRequest {
        link_token: token.to_owned(),
    };
    Ok(app
        .clients
        .password()
        .inspect_link(visitor.ask(request))
        .await?
        .into_inner())
}

/// The visitor, in the language of the person whom the link was made for, unless the browser chose.
fn reading(mut visitor: Visitor, link: &InspectLinkResponse) -> Visitor {
    if let (false, Some(language)) = (visitor.chosen, Language::from_code(&link.locale)) {
        visitor.language = language;
    }
    visitor.caller.bearer = None;
    visitor
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let link = inspect(&app, &visitor, &token).await?;
    let spoken = visitor.language;
    let visitor = reading(visitor, &link);
    let mut cookies = Cookies::default();
    if spoken != visitor.language {
        cookies.language(visitor.language);
    }
    Ok(frame::with_cookies(
        form(&app, &visitor, &link, &Errors::default()),
        &cookies,
    ))
}

fn form(app: &App, visitor: &Visitor, link: &InspectLinkResponse, errors: &Errors) -> Response {
    if link.purpose() == LinkPurpose::Enrolment {
        return enrol::link_form(app, visitor, link, errors);
    }
    let w = visitor.words();
    let invited = link.purpose() == LinkPurpose::Invitation;
    let title = if invited {
        w.link_welcome()
    } else {
        w.link_reset()
    };
    let f = Frame::before(app, visitor, title).with_errors(errors);
    let template = LinkPage {
        intro: if invited {
            w.link_welcome_intro()
        } else {
            w.link_reset_intro()
        }
        .to_owned(),
        email: link.email.clone(),
        new: Field::password("password", w.new_password(), "new-password")
            .hint(w.password_hint())
            .error(errors)
            .required()
            .first(&f),
        again: Field::password("password_again", w.password_again(), "new-password")
            .error(errors)
            .required(),
        f,
    };
    frame::show(frame::status(errors), &template)
}

/// Sets the password.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(token): Path<String>,
    posted: Form,
) -> Result<Response, Problem> {
    let link = inspect(&app, &visitor, &token).await?;
    let former = visitor.clone();
    let visitor = reading(visitor, &link);
    if link.purpose() == LinkPurpose::Enrolment {
        return enrol::link_submit(&app, &visitor, &former, &link, token, &posted).await;
    }
    let w = visitor.words();
    let mut errors = Errors::default();
    errors.required(w, "password", posted.raw("password"));
    if posted.raw("password") != posted.raw("password_again") {
        errors.field("password_again", w.r_password_mismatch());
    }
    if !errors.is_empty() {
        return Ok(form(&app, &visitor, &link, &errors));
    }
    let request = SetPasswordByLinkRequest {
        link_token: token,
        password: posted.raw("password").to_owned(),
    };
    match app
        .clients
        .password()
        .set_password_by_link(visitor.ask(request))
        .await
    {
        Ok(_) => Ok(redirect("/sign-in?done=password")),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if !refusal.reason.starts_with("password.") {
                return Err(refusal.into());
            }
            errors.field("password", refusals::sentence(w, &refusal));
            let page = form(&app, &visitor, &link, &errors);
            Ok(frame::refused(page, refusal))
        }
    }
}
