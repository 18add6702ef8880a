//! User Management, licences and domains.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use jiff::Timestamp;
use sallyport_proto::admin::v1 as wire;
use serde::{Deserialize, Serialize};
use tonic::Code;
use utoipa::{IntoParams, ToSchema};

use super::error::Errors;
use super::profile::Licence;
use super::{Answer, Body, Done, IdempotencyKey, instant};
use crate::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// How far a user is.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserState {
    Invited,
    Active,
    Disabled,
    Deleted,
}

/// The order of the list.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserSort {
    Email,
    LastName,
    LastSignIn,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    user_id: String,
    email: String,
    first_name: String,
    last_name: String,
    state: UserState,
    licence: Option<Licence>,
    two_factor_active: bool,
    last_sign_in_at: Option<Timestamp>,
    role_groups: Vec<String>,
    /// Until when a deletion can be undone.
    restorable_until: Option<Timestamp>,
}

pub(super) fn user_of(user: wire::UserRow) -> Result<User, Problem> {
    Ok(User {
        state: match user.state() {
            wire::UserState::Invited => UserState::Invited,
            wire::UserState::Active => UserState::Active,
            wire::UserState::Disabled => UserState::Disabled,
            wire::UserState::Deleted => UserState::Deleted,
            wire::UserState::Unspecified => return Err(Problem::Failed(Code::Internal)),
        },
        last_sign_in_at: instant(&user.last_sign_in_at),
        restorable_until: instant(&user.restorable_until),
        user_id: user.user_id,
        email: user.email,
        first_name: user.first_name,
        last_name: user.last_name,
        licence: user.licence.map(Licence::from),
        two_factor_active: user.two_factor_active,
        role_groups: user.role_groups,
    })
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct ListUsers {
    /// The start of e-mail, first or last name.
    search: String,
    /// At most 200; 50 where left out.
    page_size: u32,
    /// `next_page_token` of the page before.
    page_token: String,
    /// Left out: all but the deleted.
    #[param(inline)]
    state: Option<UserState>,
    /// Only holders of a seat of this plan.
    plan_id: String,
    /// Only members of this role group.
    role_group_id: String,
    /// Only users with 2FA active, or only those without.
    two_factor_active: Option<bool>,
    /// By e-mail where left out.
    #[param(inline)]
    sort: Option<UserSort>,
}

impl From<ListUsers> for wire::ListUsersRequest {
    fn from(asked: ListUsers) -> Self {
        let state = match asked.state {
            None => wire::UserState::Unspecified,
            Some(UserState::Invited) => wire::UserState::Invited,
            Some(UserState::Active) => wire::UserState::Active,
            Some(UserState::Disabled) => wire::UserState::Disabled,
            Some(UserState::Deleted) => wire::UserState::Deleted,
        };
        let sort = match asked.sort {
            None | Some(UserSort::Email) => wire::UserSort::Unspecified,
            Some(UserSort::LastName) => wire::UserSort::LastName,
            Some(UserSort::LastSignIn) => wire::UserSort::LastSignIn,
        };
        Self {
            search: asked.search,
            page_size: asked.page_size,
            page_token: asked.page_token,
            state: state.into(),
            plan_id: asked.plan_id,
            role_group_id: asked.role_group_id,
            two_factor_active: asked.two_factor_active,
            sort: sort.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Users {
    users: Vec<User>,
    /// Empty on the last page.
    next_page_token: String,
}

/// The organisation's users
#[utoipa::path(get, path = "/users", operation_id = "listUsers", tag = "administration",
    security(("session" = [])), params(ListUsers), responses((status = 200, body = Users), Errors))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<ListUsers>,
) -> Answer<Users> {
    let ask = visitor.ask(wire::ListUsersRequest::from(asked));
    let answer = app.clients.user().list_users(ask).await?.into_inner();
    Ok(Json(Users {
        users: answer
            .users
            .into_iter()
            .map(user_of)
            .collect::<Result<_, _>>()?,
        next_page_token: answer.next_page_token,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUser {
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    /// `en` or `fr`.
    locale: String,
    /// IANA name.
    time_zone: String,
    /// Left out: no licence.
    #[serde(default)]
    plan_id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Added {
    user: User,
    /// The invitation, `spl_…`; told only now, and mailed.
    link_token: String,
}

/// Adds a user under an approved domain, and invites him
#[utoipa::path(post, path = "/users", operation_id = "addUser", tag = "administration",
    security(("session" = [])), params(("Idempotency-Key" = String, Header)),
    request_body = AddUser, responses((status = 201, body = Added), Errors))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Body(body): Body<AddUser>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    let ask = visitor.ask(wire::AddUserRequest {
        email: body.email,
        first_name: body.first_name,
        last_name: body.last_name,
        locale: body.locale,
        time_zone: body.time_zone,
        plan_id: body.plan_id,
        idempotency_key,
    });
    let answer = app.clients.user().add_user(ask).await?.into_inner();
    let user = user_of(answer.user.ok_or(Problem::Failed(Code::Internal))?)?;
    Ok((
        StatusCode::CREATED,
        Json(Added {
            user,
            link_token: answer.link_token,
        }),
    ))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignLicence {
    /// Empty: takes the seat back.
    plan_id: String,
}

/// Gives a user a seat of a plan, or none
#[utoipa::path(put, path = "/users/{user_id}/licence", operation_id = "assignLicence",
    tag = "administration", security(("session" = [])), params(("user_id" = String, Path)),
    request_body = AssignLicence, responses((status = 204), Errors))]
pub(crate) async fn assign_licence(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
    Body(body): Body<AssignLicence>,
) -> Done {
    let ask = visitor.ask(wire::AssignLicenceRequest {
        user_id,
        plan_id: body.plan_id,
    });
    app.clients.licence().assign_licence(ask).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a link mailed with which the user chooses another password
#[utoipa::path(post, path = "/users/{user_id}/password-reset", operation_id = "startPasswordReset",
    tag = "administration", security(("session" = [])), params(("user_id" = String, Path)),
    responses((status = 204), Errors))]
pub(crate) async fn start_password_reset(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(user_id): Path<String>,
) -> Done {
    let ask = visitor.ask(wire::StartPasswordResetRequest { user_id });
    app.clients.user().start_password_reset(ask).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Plans {
    plans: Vec<Plan>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Plan {
    plan_id: String,
    name: String,
    purchased: u32,
    assigned: u32,
    expires_at: Option<Timestamp>,
}

/// Plans and their seats
#[utoipa::path(get, path = "/plans", operation_id = "listPlans", tag = "administration",
    security(("session" = [])), responses((status = 200, body = Plans), Errors))]
pub(crate) async fn plans(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Plans> {
    let ask = visitor.ask(wire::ListPlansRequest {});
    let answer = app.clients.licence().list_plans(ask).await?.into_inner();
    let plans = answer.plans.into_iter().map(|plan| Plan {
        expires_at: instant(&plan.expires_at),
        plan_id: plan.plan_id,
        name: plan.name,
        purchased: plan.purchased,
        assigned: plan.assigned,
    });
    Ok(Json(Plans {
        plans: plans.collect(),
    }))
}

/// How far the claim to a domain is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DomainState {
    Pending,
    Verified,
    Refused,
    Expired,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Domains {
    domains: Vec<Domain>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Domain {
    domain: String,
    state: DomainState,
    verified_at: Option<Timestamp>,
}

/// The domains under which users may be added
#[utoipa::path(get, path = "/domains", operation_id = "listDomains", tag = "administration",
    security(("session" = [])), responses((status = 200, body = Domains), Errors))]
pub(crate) async fn domains(State(app): State<Arc<App>>, visitor: Visitor) -> Answer<Domains> {
    let ask = visitor.ask(wire::ListDomainsRequest {});
    let answer = app.clients.domain().list_domains(ask).await?.into_inner();
    let domain = |domain: wire::Domain| {
        Ok(Domain {
            state: match domain.state() {
                wire::DomainState::Pending => DomainState::Pending,
                wire::DomainState::Verified => DomainState::Verified,
                wire::DomainState::Refused => DomainState::Refused,
                wire::DomainState::Expired => DomainState::Expired,
                wire::DomainState::Unspecified => return Err(Problem::Failed(Code::Internal)),
            },
            verified_at: instant(&domain.verified_at),
            domain: domain.domain,
        })
    };
    let domains = answer
        .domains
        .into_iter()
        .map(domain)
        .collect::<Result<_, Problem>>()?;
    Ok(Json(Domains { domains }))
}
