//! User Management: the list.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{ListUsersRequest, StartPasswordResetRequest, UserRow, UserState};
use serde::Deserialize;

use super::frame::{self, Frame};
use super::{Reader, redirect, signed_in};
use crate::App;
use crate::guard::Form;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::session::with_query;
use crate::visitor::Visitor;

/// Rows a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    f: Frame,
    search: String,
    rows: Vec<Row>,
    next_path: String,
    first_path: String,
}

struct Row {
    id: String,
    email: String,
    name: String,
    state: &'static str,
    active: bool,
    plan: String,
    two_factor: bool,
    last_sign_in: Option<Moment>,
}

/// What is listed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    search: String,
    page: String,
    done: String,
}

/// The page.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let request = ListUsersRequest {
        search: asked.search.trim().to_owned(),
        page_size: PAGE,
        page_token: asked.page.clone(),
    };
    let answer = app
        .clients
        .user()
        .list_users(visitor.ask(request))
        .await?
        .into_inner();
    let mut f = Frame::of(&app, &reader, reader.w.users()).wide();
    f.notice = match asked.done.as_str() {
        "licence" => Some(reader.w.done_licence().to_owned()),
        "reset" => Some(reader.w.done_reset().to_owned()),
        _ => None,
    };
    let search = ("search", asked.search.as_str());
    let template = UsersPage {
        next_path: match answer.next_page_token.as_str() {
            "" => String::new(),
            token => with_query("/users", &[search, ("page", token)]),
        },
        first_path: match asked.page.as_str() {
            "" => String::new(),
            _ => with_query("/users", &[search]),
        },
        rows: answer
            .users
            .into_iter()
            .map(|user| row(user, &reader))
            .collect(),
        search: asked.search,
        f,
    };
    Ok(frame::with_cookies(
        frame::show(StatusCode::OK, &template),
        &reader.cookies(),
    ))
}

/// Has a link mailed with which a user chooses another password.
pub(crate) async fn reset_password(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    _posted: Form,
) -> Result<Response, Problem> {
    signed_in(&app, &visitor).await?;
    let request = visitor.ask(StartPasswordResetRequest { user_id });
    app.clients.user().start_password_reset(request).await?;
    Ok(redirect("/users?done=reset"))
}

fn row(user: UserRow, reader: &Reader) -> Row {
    let w = reader.w;
    Row {
        name: full_name(&user),
        state: match user.state() {
            UserState::Invited => w.state_invited(),
            UserState::Active => w.state_active(),
            UserState::Disabled => w.state_disabled(),
            UserState::Unspecified => "",
        },
        active: user.state() == UserState::Active,
        plan: user
            .licence
            .as_ref()
            .map(|l| l.plan_name.clone())
            .unwrap_or_default(),
        two_factor: user.two_factor_active,
        last_sign_in: reader.reading.wire(&user.last_sign_in_at),
        id: user.user_id,
        email: user.email,
    }
}

/// First and last name, or the e-mail address.
pub(super) fn full_name(user: &UserRow) -> String {
    let name = format!("{} {}", user.first_name, user.last_name);
    match name.trim() {
        "" => user.email.clone(),
        name => name.to_owned(),
    }
}
