//! Options → Domains: the domains under which users may be added.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{DomainState, ListDomainsRequest};

use super::frame::{self, Frame};
use super::signed_in;
use crate::App;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    f: Frame,
    rows: Vec<Row>,
}

struct Row {
    domain: String,
    state: &'static str,
    good: bool,
    since: Option<Moment>,
}

/// The page.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let w = reader.w;
    let domains = app
        .clients
        .domain()
        .list_domains(visitor.ask(ListDomainsRequest {}))
        .await?;
    let rows = domains.into_inner().domains.into_iter().map(|domain| Row {
        state: match domain.state() {
            DomainState::Pending => w.domain_pending(),
            DomainState::Verified => w.domain_verified(),
            DomainState::Refused => w.domain_refused(),
            DomainState::Expired => w.domain_expired(),
            DomainState::Unspecified => "",
        },
        good: domain.state() == DomainState::Verified,
        since: reader.reading.wire(&domain.verified_at),
        domain: domain.domain,
    });
    let template = DomainsPage {
        rows: rows.collect(),
        f: Frame::of(&app, &reader, w.domains()).wide(),
    };
    Ok(frame::with_cookies(
        frame::show(StatusCode::OK, &template),
        &reader.cookies(),
    ))
}
