//! User Management: listing and reading users.

use uuid::Uuid;

use super::session::SignedIn;
use super::{App, Error};
use crate::domain::page;
use crate::domain::refused::Refused;
use crate::store::entity::{plan, user};
use crate::store::{people, seats};

/// A row of User Management.
#[derive(Debug)]
pub struct UserView {
    /// The row.
    pub user: user::Model,
    /// The plan of his seat.
    pub plan: Option<plan::Model>,
    /// Names of his role groups.
    pub groups: Vec<String>,
}

/// A page of users and the token of the next.
pub async fn list(
    app: &App,
    who: &SignedIn,
    search: &str,
    page_size: u32,
    page_token: &str,
) -> Result<(Vec<UserView>, String), Error> {
    let organisation = who.organisation_id();
    let search = search.trim();
    if search.chars().count() > 254 || search.chars().any(char::is_control) {
        return Err(Refused::field("search", "field.invalid").into());
    }
    let organisation_text = organisation.to_string();
    let list = ["users", &organisation_text, search];
    let after = page::read(&list, page_token)
        .map_err(|_| Refused::field("page_token", "page_token.invalid"))?;
    let size = page::size(page_size);
    let connection = app.database.connection();
    // One more than the page, to know whether another follows.
    let mut users =
        people::page(connection, organisation, search, after.as_deref(), size + 1).await?;
    let more = users.len() > size;
    users.truncate(size);
    let next = match users.last() {
        Some(last) if more => page::token(&list, &last.email),
        Some(_) | None => String::new(),
    };
    Ok((views(app, organisation, users).await?, next))
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
            groups: groups
                .remove(&user.id)
                .unwrap_or_default()
                .into_iter()
                .map(|group| group.name)
                .collect(),
            user,
        })
        .collect())
}
