//! Options → Licences: per plan what is purchased, assigned and available.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::ListPlansRequest;

use super::frame::{self, Frame};
use super::signed_in;
use crate::App;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "licences.html")]
struct LicencesPage {
    f: Frame,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    purchased: u32,
    assigned: u32,
    available: u32,
    ends: Option<Moment>,
}

/// The page.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let plans = app
        .clients
        .licence()
        .list_plans(visitor.ask(ListPlansRequest {}))
        .await?;
    let rows = plans.into_inner().plans.into_iter().map(|plan| Row {
        purchased: plan.purchased,
        assigned: plan.assigned,
        available: plan.purchased.saturating_sub(plan.assigned),
        ends: reader.reading.wire(&plan.expires_at),
        name: plan.name,
    });
    let template = LicencesPage {
        rows: rows.collect(),
        f: Frame::of(&app, &reader, reader.w.licences()).wide(),
    };
    Ok(frame::with_cookies(
        frame::show(StatusCode::OK, &template),
        &reader.cookies(),
    ))
}
