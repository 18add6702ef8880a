//! User Management: the list.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use sallyport_proto::admin::v1::{
    ListPlansRequest, ListUsersRequest, Plan, StartPasswordResetRequest, UserRow, UserSort,
    UserState,
};
use serde::Deserialize;

use super::frame::{self, Choice, Frame, Pick};
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
    filters: Vec<Choice>,
    filtered: bool,
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
    /// Until when his deletion can be undone.
    deleted: Option<Moment>,
    plan: String,
    two_factor: bool,
    last_sign_in: Option<Moment>,
}

/// What is listed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    search: String,
    state: String,
    plan: String,
    two_factor: String,
    sort: String,
    page: String,
    done: String,
}

impl Asked {
    fn request(&self) -> ListUsersRequest {
        let state = match self.state.as_str() {
            "invited" => UserState::Invited,
            "active" => UserState::Active,
            "disabled" => UserState::Disabled,
            "deleted" => UserState::Deleted,
            _ => UserState::Unspecified,
        };
        let sort = match self.sort.as_str() {
            "last_name" => UserSort::LastName,
            "last_sign_in" => UserSort::LastSignIn,
            _ => UserSort::Unspecified,
        };
        ListUsersRequest {
            search: self.search.trim().to_owned(),
            page_size: PAGE,
            page_token: self.page.clone(),
            state: state.into(),
            plan_id: self.plan.clone(),
            role_group_id: String::new(),
            two_factor_active: match self.two_factor.as_str() {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            },
            sort: sort.into(),
        }
    }

    /// The list as it is asked for, from its first page or another.
    fn path(&self, page: &str) -> String {
        let pairs = [
            ("search", self.search.as_str()),
            ("state", self.state.as_str()),
            ("plan", self.plan.as_str()),
            ("two_factor", self.two_factor.as_str()),
            ("sort", self.sort.as_str()),
            ("page", page),
        ];
        with_query("/users", &pairs)
    }

    fn filters(&self, reader: &Reader, plans: Vec<Plan>) -> Vec<Choice> {
        let w = reader.w;
        let picks = |chosen: &str, texts: &[(&str, &str)]| {
            texts
                .iter()
                .map(|(value, text)| Pick::new(*value, *text, chosen))
                .collect::<Vec<_>>()
        };
        let states = [
            ("", w.filter_state_all()),
            ("active", w.state_active()),
            ("invited", w.state_invited()),
            ("disabled", w.state_disabled()),
            ("deleted", w.state_deleted()),
        ];
        let mut held = vec![Pick::new("", w.filter_plan_all(), &self.plan)];
        held.extend(
            plans
                .into_iter()
                .map(|plan| Pick::new(plan.plan_id, plan.name, &self.plan)),
        );
        let factors = [
            ("", w.filter_two_factor_all()),
            ("on", w.filter_two_factor_with()),
            ("off", w.filter_two_factor_without()),
        ];
        let orders = [
            ("", w.sort_email()),
            ("last_name", w.sort_last_name()),
            ("last_sign_in", w.sort_last_sign_in()),
        ];
        vec![
            Choice::new("state", w.filter_state(), picks(&self.state, &states)),
            Choice::new("plan", w.filter_plan(), held),
            Choice::new(
                "two_factor",
                w.filter_two_factor(),
                picks(&self.two_factor, &factors),
            ),
            Choice::new("sort", w.sort(), picks(&self.sort, &orders)),
        ]
    }

    fn is_filtered(&self) -> bool {
        [&self.state, &self.plan, &self.two_factor]
            .iter()
            .any(|filter| !filter.is_empty())
    }
}

/// The page.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let reader = signed_in(&app, &visitor).await?;
    let answer = app
        .clients
        .user()
        .list_users(visitor.ask(asked.request()))
        .await?
        .into_inner();
    let plans = app
        .clients
        .licence()
        .list_plans(visitor.ask(ListPlansRequest {}))
        .await?
        .into_inner()
        .plans;
    let mut f = Frame::of(&app, &reader, reader.w.users()).wide();
    f.notice = match asked.done.as_str() {
        "licence" => Some(reader.w.done_licence().to_owned()),
        "reset" => Some(reader.w.done_reset().to_owned()),
        "saved" => Some(reader.w.done_user().to_owned()),
        "deleted" => Some(reader.w.done_deleted().to_owned()),
        "restored" => Some(reader.w.done_restored().to_owned()),
        _ => None,
    };
    let template = UsersPage {
        next_path: match answer.next_page_token.as_str() {
            "" => String::new(),
            token => asked.path(token),
        },
        first_path: match asked.page.as_str() {
            "" => String::new(),
            _ => asked.path(""),
        },
        filters: asked.filters(&reader, plans),
        filtered: asked.is_filtered(),
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
            UserState::Deleted => w.state_deleted(),
            UserState::Unspecified => "",
        },
        active: user.state() == UserState::Active,
        deleted: reader.reading.wire(&user.restorable_until),
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
