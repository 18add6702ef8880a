//! My activity, and the logs of a user: security events, newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{EventResult, ListEventsRequest, LoggedEvent};
use serde::Deserialize;

use super::frame::{self, Frame};
use super::users::full_name;
use super::{Reader, signed_in};
use crate::App;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::refusals;
use crate::session::with_query;
use crate::visitor::Visitor;
use crate::words::Words;

/// Rows a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    f: Frame,
    intro: String,
    rows: Vec<Row>,
    next_path: String,
    first_path: String,
    back_to_users: bool,
}

struct Row {
    at: Option<Moment>,
    what: String,
    refused: bool,
    reason: String,
    actor: String,
    ip: String,
    request_id: String,
}

/// What is listed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    page: String,
}

/// The reader's own events.
pub(crate) async fn own(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let f = Frame::of(&app, &reader, reader.w.my_activity()).wide();
    let intro = reader.w.my_activity_intro().to_owned();
    list(&app, &reader, f, intro, "", "/activity", &asked).await
}

/// The events of a user, for who may read logs.
pub(crate) async fn of_user(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let user = super::user_licence::user(&app, &visitor, &id).await?;
    let f = Frame::of(&app, &reader, reader.w.logs()).wide();
    let intro = reader.w.logs_of(full_name(&user));
    list(
        &app,
        &reader,
        f,
        intro,
        &id,
        &format!("/users/{id}/logs"),
        &asked,
    )
    .await
}

async fn list(
    app: &App,
    reader: &Reader,
    f: Frame,
    intro: String,
    user_id: &str,
    path: &str,
    asked: &Asked,
) -> Result<Response, Problem> {
    let request = ListEventsRequest {
        user_id: user_id.to_owned(),
        page_size: PAGE,
        page_token: asked.page.clone(),
    };
    let answer = app
        .clients
        .event()
        .list_events(reader.visitor.ask(request))
        .await?
        .into_inner();
    let template = ActivityPage {
        f,
        intro,
        next_path: match answer.next_page_token.as_str() {
            "" => String::new(),
            token => with_query(path, &[("page", token)]),
        },
        first_path: if asked.page.is_empty() {
            String::new()
        } else {
            path.to_owned()
        },
        rows: answer
            .events
            .into_iter()
            .filter_map(|event| row(event, reader))
            .collect(),
        back_to_users: !user_id.is_empty(),
    };
    Ok(frame::with_cookies(
        frame::show(StatusCode::OK, &template),
        &reader.cookies(),
    ))
}

fn row(logged: LoggedEvent, reader: &Reader) -> Option<Row> {
    let event = logged.event?;
    let reason = match event.reason.as_str() {
        "" => String::new(),
        reason => {
            let refusal = sallyport_chassis::Refusal::new(tonic::Code::Unknown, reason);
            refusals::known(reader.w, &refusal).unwrap_or_else(|| reason.to_owned())
        }
    };
    Some(Row {
        at: reader.reading.wire(&event.occurred_at),
        refused: event.result() == EventResult::Refused,
        what: name(reader.w, &event.r#type),
        reason,
        actor: match event.actor.strip_prefix("operator:") {
            _ if !logged.actor_name.is_empty() => logged.actor_name,
            Some(name) => reader.w.by_operator(name),
            None => event.actor,
        },
        ip: event.client_ip,
        request_id: event.request_id,
    })
}

/// A type of event in words; one that has none yet is shown as it is.
fn name(w: Words, kind: &str) -> String {
    let text = match kind {
        "authn_login_success" => w.e_login_success(),
        "authn_login_fail" => w.e_login_fail(),
        "authn_login_lock" => w.e_login_lock(),
        "authn_second_factor_success" => w.e_second_factor_success(),
        "authn_second_factor_fail" => w.e_second_factor_fail(),
        "authn_second_factor_lock" => w.e_second_factor_lock(),
        "authn_second_factor_disabled" => w.e_second_factor_disabled(),
        "authn_password_change" => w.e_password_change(),
        "authn_password_reset_request" => w.e_password_reset_request(),
        "session_created" => w.e_session_created(),
        "session_ended" => w.e_session_ended(),
        "two_factor_enabled" => w.e_two_factor_enabled(),
        "two_factor_disabled" => w.e_two_factor_disabled(),
        "two_factor_pending" => w.e_two_factor_pending(),
        "two_factor_number_changed" => w.e_two_factor_number_changed(),
        "recovery_code_used" => w.e_recovery_code_used(),
        "recovery_codes_remade" => w.e_recovery_codes_remade(),
        "code_sent" => w.e_code_sent(),
        "code_resent" => w.e_code_resent(),
        "code_not_sent" => w.e_code_not_sent(),
        "two_factor_link_requested" => w.e_two_factor_link_requested(),
        "two_factor_link_used" => w.e_two_factor_link_used(),
        "two_factor_phone_lost" => w.e_two_factor_phone_lost(),
        "authenticator_added" => w.e_authenticator_added(),
        "authenticator_removed" => w.e_authenticator_removed(),
        "passkey_added" => w.e_passkey_added(),
        "passkey_removed" => w.e_passkey_removed(),
        "passkey_renamed" => w.e_passkey_renamed(),
        "browser_remembered" => w.e_browser_remembered(),
        "browser_forgotten" => w.e_browser_forgotten(),
        "user_created" => w.e_user_created(),
        "user_updated" => w.e_user_updated(),
        "user_disabled" => w.e_user_disabled(),
        "user_enabled" => w.e_user_enabled(),
        "user_deleted" => w.e_user_deleted(),
        "user_restored" => w.e_user_restored(),
        "privilege_permissions_changed" => w.e_role_groups_changed(),
        "user_invited" => w.e_user_invited(),
        "licence_assigned" => w.e_licence_assigned(),
        "licence_removed" => w.e_licence_removed(),
        "domain_approved" => w.e_domain_approved(),
        "organisation_created" => w.e_organisation_created(),
        "authz_fail" => w.e_authz_fail(),
        "password_reset_started" => w.e_password_reset_started(),
        "log_read" => w.e_log_read(),
        other => other,
    };
    text.to_owned()
}
