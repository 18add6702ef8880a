//! User Management: listing and reading users.

use uuid::Uuid;

use super::session::SignedIn;
use super::{App, Error};
use crate::domain::page;
use crate::domain::refused::Refused;
use crate::store::entity::{plan, role_group, user};
use crate::store::listing::{self, Listing, Place, Sort};
use crate::store::{people, role_groups, seats};

/// A row of User Management.
#[derive(Debug)]
pub struct UserView {
    /// The row.
    pub user: user::Model,
    /// The plan of his seat.
    pub plan: Option<plan::Model>,
    /// His role groups by name.
    pub groups: Vec<role_group::Model>,
    /// Until when his deletion can be undone.
    pub restorable_until: Option<i64>,
}

/// Which users are asked for.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// Start of the e-mail or of a name.
    pub search: &'a str,
    /// A status; none: all but the deleted.
    pub status: Option<&'static str>,
    /// Id of a plan, or nothing.
    pub plan_id: &'a str,
    /// Id of a role group, or nothing.
    pub role_group_id: &'a str,
    /// Whether 2FA is active, where that is asked.
    pub two_factor: Option<bool>,
    /// The order.
    pub sort: Sort,
    /// Rows on a page.
    pub page_size: u32,
    /// Where the page starts.
    pub page_token: &'a str,
}

/// A page of users and the token of the next.
pub async fn list(
    app: &App,
    who: &SignedIn,
    asked: &Asked<'_>,
) -> Result<(Vec<UserView>, String), Error> {
    let organisation = who.organisation_id();
    let search = asked.search.trim();
    if search.chars().count() > 254 || search.chars().any(char::is_control) {
        return Err(Refused::field("search", "field.invalid").into());
    }
    let listing = Listing {
        prefix: search,
        status: asked.status,
        deleted_after: app.clock.now_ms() - app.settings.restorable_ms(),
        plan_id: id("plan_id", asked.plan_id)?,
        role_group_id: id("role_group_id", asked.role_group_id)?,
        two_factor: asked.two_factor,
        sort: asked.sort,
    };
    let (organisation_text, order) = (organisation.to_string(), format!("{:?}", asked.sort));
    let two_factor = format!("{:?}", asked.two_factor);
    let list = [
        "users",
        &organisation_text,
        search,
        asked.status.unwrap_or_default(),
        asked.plan_id,
        asked.role_group_id,
        &two_factor,
        &order,
    ];
    let foreign = || Refused::field("page_token", "page_token.invalid");
    let after = page::read(&list, asked.page_token)
        .map_err(|_| foreign())?
        .map(|line| Place::read(&line).ok_or_else(foreign))
        .transpose()?;
    let size = page::size(asked.page_size);
    let connection = app.database.connection();
    // One more than the page, to know whether another follows.
    let mut users =
        listing::page(connection, organisation, &listing, after.as_ref(), size + 1).await?;
    let more = users.len() > size;
    users.truncate(size);
    let next = match users.last() {
        Some(last) if more => page::token(&list, &Place::behind(last, asked.sort).line()),
        Some(_) | None => String::new(),
    };
    Ok((views(app, organisation, users).await?, next))
}

/// The id in a filter; none where nothing is asked.
fn id(field: &'static str, text: &str) -> Result<Option<Uuid>, Refused> {
    match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Refused::field(field, "field.invalid")),
    }
}

/// The organisation's role groups by name.
pub async fn role_groups(app: &App, who: &SignedIn) -> Result<Vec<role_group::Model>, Error> {
    Ok(role_groups::all(app.database.connection(), who.organisation_id()).await?)
}

/// One user.
pub async fn get(app: &App, who: &SignedIn, user_id: &str) -> Result<UserView, Error> {
    let user = find(app, who, user_id).await?;
    view(app, user).await
}

/// A user of the caller's organisation by the id that the caller gave.
pub async fn find(app: &App, who: &SignedIn, user_id: &str) -> Result<user::Model, Error> {
    let id: Uuid = user_id.parse().map_err(|_| Refused::UserNotFound)?;
    Ok(
        people::find(app.database.connection(), who.organisation_id(), id)
            .await?
            .ok_or(Refused::UserNotFound)?,
    )
}

/// What is shown of one user.
pub async fn view(app: &App, user: user::Model) -> Result<UserView, Error> {
    let organisation = user.organisation_id;
    views(app, organisation, vec![user])
        .await?
        .pop()
        .ok_or(Refused::UserNotFound.into())
}

async fn views(
    app: &App,
    organisation: Uuid,
    users: Vec<user::Model>,
) -> Result<Vec<UserView>, Error> {
    let connection = app.database.connection();
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    let mut seats = seats::of_users(connection, organisation, ids.clone()).await?;
    let mut groups = people::groups(connection, organisation, ids).await?;
    Ok(users
        .into_iter()
        .map(|user| UserView {
            plan: seats.remove(&user.id).map(|(_, plan)| plan),
            groups: groups.remove(&user.id).unwrap_or_default(),
            restorable_until: user.deleted_at.map(|at| at + app.settings.restorable_ms()),
            user,
        })
        .collect())
}
