//! "My phone is lost", from the code page of a sign-in: what it does is told first.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::identity::v1::ReportPhoneLostRequest;

use super::frame::{self, Frame};
use super::{Told, awaiting, code, redirect, words_of};
use crate::App;
use crate::guard::Form;
use crate::problem::Problem;
use crate::session::with_query;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "lost.html")]
struct LostPage {
    f: Frame,
    next: String,
    code_path: String,
}

/// What it does. Whoever is signed in has the parts of it on My account.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(told): Query<Told>,
) -> Result<Response, Problem> {
    let session = app.clients.session(&visitor).await?;
    if !awaiting(&session) {
        return Ok(redirect("/account"));
    }
    let w = words_of(&session, &visitor);
    let template = LostPage {
        f: Frame::within(&app, &visitor, w, w.lost_title()),
        next: told.next().to_owned(),
        code_path: with_query("/code", &[("next", told.next())]),
    };
    Ok(frame::show(StatusCode::OK, &template))
}

/// Does it; the code page has the ways that are left.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    posted: Form,
) -> Result<Response, Problem> {
    let ask = visitor.ask(ReportPhoneLostRequest {});
    let reported = app.clients.code().report_phone_lost(ask).await;
    code::tell(&code::carried(&posted), reported.map(|_| ()), "lost")
}
