//! Manage licence: the plans with seats left, and the present one.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sallyport_proto::admin::v1::{
    AssignLicenceRequest, GetUserRequest, ListPlansRequest, Plan, UserRow,
};

use super::frame::{self, Errors, Frame};
use super::users::full_name;
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "user_licence.html")]
struct LicencePage {
    f: Frame,
    name: String,
    email: String,
    present: String,
    plans: Vec<Row>,
    error: String,
}

struct Row {
    id: String,
    name: String,
    left: u32,
    ends: Option<Moment>,
}

pub(super) async fn user(app: &App, visitor: &Visitor, id: &str) -> Result<UserRow, Problem> {
    let request = GetUserRequest {
        user_id: id.to_owned(),
    };
    let answer = app.clients.user().get_user(visitor.ask(request)).await?;
    answer.into_inner().user.ok_or_else(Problem::not_found)
}

/// The form.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    form(&app, &reader, &id, None, &Errors::default()).await
}

async fn form(
    app: &App,
    reader: &Reader,
    id: &str,
    chosen: Option<&str>,
    errors: &Errors,
) -> Result<Response, Problem> {
    let visitor = &reader.visitor;
    let user = user(app, visitor, id).await?;
    let plans = app
        .clients
        .licence()
        .list_plans(visitor.ask(ListPlansRequest {}))
        .await?;
    let held = user
        .licence
        .as_ref()
        .map(|l| l.plan_id.clone())
        .unwrap_or_default();
    let offered = |plan: &Plan| plan.assigned < plan.purchased || plan.plan_id == held;
    let template = LicencePage {
        f: Frame::of(app, reader, reader.w.manage_licence()).with_errors(errors),
        name: full_name(&user),
        email: user.email,
        plans: plans
            .into_inner()
            .plans
            .into_iter()
            .filter(offered)
            .map(|plan| Row {
                left: plan.purchased.saturating_sub(plan.assigned),
                ends: reader.reading.wire(&plan.expires_at),
                id: plan.plan_id,
                name: plan.name,
            })
            .collect(),
        present: chosen.map_or(held, str::to_owned),
        error: errors.at("plan_id"),
    };
    let shown = frame::show(frame::status(errors), &template);
    Ok(frame::with_cookies(shown, &reader.cookies()))
}

/// Assigns, changes or removes the licence.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    posted: Form,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let plan_id = posted.text("plan_id");
    let request = AssignLicenceRequest {
        user_id: id.clone(),
        plan_id: plan_id.clone(),
    };
    match app
        .clients
        .licence()
        .assign_licence(visitor.ask(request))
        .await
    {
        Ok(_) => Ok(redirect("/users?done=licence")),
        Err(status) => {
            let refusal = Problem::from(status).refusal()?;
            if !["licence.", "plan."]
                .iter()
                .any(|about| refusal.reason.starts_with(about))
            {
                return Err(refusal.into());
            }
            let mut errors = Errors::default();
            errors.field("plan_id", crate::refusals::sentence(reader.w, &refusal));
            let page = form(&app, &reader, &id, Some(&plan_id), &errors).await?;
            Ok(frame::refused(page, refusal))
        }
    }
}
