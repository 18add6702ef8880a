//! User Management: adding a user, who is invited. The link is shown once, in the answer.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{AddUserRequest, ListPlansRequest, Plan};
use tonic::Code;

use super::account::{locales, zones};
use super::frame::{self, Choice, Errors, Field, Frame, Pick};
use super::{Reader, signed_in};
use crate::App;
use crate::csrf::idempotency_key;
use crate::guard::Form;
use crate::problem::Problem;
use crate::visitor::Visitor;

const FIELDS: [&str; 6] = [
    "email",
    "first_name",
    "last_name",
    "locale",
    "time_zone",
    "plan_id",
];

#[derive(Template)]
#[template(path = "user_add.html")]
struct AddPage {
    f: Frame,
    email: Field,
    first_name: Field,
    last_name: Field,
    locale: Choice,
    time_zone: Choice,
    plan: Choice,
}

#[derive(Template)]
#[template(path = "user_added.html")]
struct AddedPage {
    f: Frame,
    email: String,
    link: String,
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let typed = AddUserRequest {
        locale: reader.w.language.code().to_owned(),
        time_zone: reader.fields().time_zone,
        ..AddUserRequest::default()
    };
    form(&app, &reader, &typed, &Errors::default()).await
}

async fn form(
    app: &App,
    reader: &Reader,
    typed: &AddUserRequest,
    errors: &Errors,
) -> Result<Response, Problem> {
    let w = reader.w;
    let asked = reader.visitor.ask(ListPlansRequest {});
    let plans = app
        .clients
        .licence()
        .list_plans(asked)
        .await?
        .into_inner()
        .plans;
    let f = Frame::of(app, reader, w.add_user()).with_errors(errors);
    let mut picks = vec![Pick::new("", w.no_licence(), &typed.plan_id)];
    let free = |plan: &&Plan| plan.assigned < plan.purchased;
    picks.extend(plans.iter().filter(free).map(|plan| {
        let text = w.plan_seats_left(&plan.name, plan.purchased - plan.assigned);
        Pick::new(&plan.plan_id, text, &typed.plan_id)
    }));
    let template = AddPage {
        email: Field::email("email", w.email())
            .fill("off", "email")
            .hint(w.add_user_email_hint())
            .value(&typed.email)
            .error(errors)
            .required()
            .first(&f),
        first_name: Field::text("first_name", w.first_name())
            .value(&typed.first_name)
            .most(100)
            .error(errors),
        last_name: Field::text("last_name", w.last_name())
            .value(&typed.last_name)
            .most(100)
            .error(errors),
        locale: locales("locale", w, &typed.locale).error(errors),
        time_zone: zones(w, &typed.time_zone).error(errors),
        plan: Choice::new("plan_id", w.licence(), picks).error(errors),
        f,
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

/// Adds the user.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let w = reader.w;
    let email = posted.text("email");
    let typed = AddUserRequest {
        idempotency_key: idempotency_key(posted.nonce(), &["add-user", &email]),
        email,
        first_name: posted.text("first_name"),
        last_name: posted.text("last_name"),
        locale: posted.text("locale"),
        time_zone: posted.text("time_zone"),
        plan_id: posted.text("plan_id"),
    };
    let mut errors = Errors::default();
    errors.required(w, "email", &typed.email);
    if errors.is_empty() {
        match app
            .clients
            .user()
            .add_user(visitor.ask(typed.clone()))
            .await
        {
            Ok(answer) => {
                let answer = answer.into_inner();
                let base = app.settings.portal_url.trim_end_matches('/');
                // As it is stored, which may differ from what was typed.
                let email = answer.user.map_or(typed.email, |user| user.email);
                let mut f = Frame::of(&app, &reader, w.user_added());
                f.notice = Some(w.user_invited(&email));
                // Empty where this repeats a request whose answer showed it.
                let link = match answer.link_token.as_str() {
                    "" => String::new(),
                    token => format!("{base}/link/{token}"),
                };
                let template = AddedPage { f, email, link };
                return Ok(frame::show(StatusCode::OK, &template));
            }
            Err(status) => {
                let refusal = Problem::from(status).refusal()?;
                match refusal.reason.as_str() {
                    reason if reason.starts_with("email.") => {
                        errors.field("email", crate::refusals::sentence(w, &refusal));
                    }
                    reason if reason.starts_with("licence.") || reason.starts_with("plan.") => {
                        errors.field("plan_id", crate::refusals::sentence(w, &refusal));
                    }
                    // What this form cannot help with: another step first, or another reader.
                    "second_factor_required" | "step_up_required" => return Err(refusal.into()),
                    _ if matches!(refusal.code, Code::Unauthenticated | Code::PermissionDenied) => {
                        return Err(refusal.into());
                    }
                    _ => errors.add(w, &refusal, &FIELDS),
                }
                let page = form(&app, &reader, &typed, &errors).await?;
                return Ok(frame::refused(page, refusal));
            }
        }
    }
    form(&app, &reader, &typed, &errors).await
}
