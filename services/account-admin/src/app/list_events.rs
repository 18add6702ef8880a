//! Reading a user's events.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::session::SignedIn;
use super::{App, Error};
use crate::domain::event_kind::LOG_READ;
use crate::domain::page;
use crate::domain::permission::Permission;
use crate::domain::refused::Refused;
use crate::store::entity::event;
use crate::store::{commit, events, people};

/// An event as it is shown.
#[derive(Debug)]
pub struct Shown {
    /// The chained row.
    pub event: event::Model,
    /// Its details.
    pub details: BTreeMap<String, String>,
    /// Address of the client; empty where erased or not the reader's to see.
    pub client_ip: String,
    /// Browser, likewise.
    pub user_agent: String,
    /// Name of the acting user as it is now.
    pub actor_name: String,
    /// Name of the user acted on as it is now.
    pub target_name: String,
}

/// A page of a user's events, newest first, and the token of the next. Reading another's is an event
/// itself, once for all pages.
pub async fn list(
    app: &App,
    who: &SignedIn,
    user_id: &str,
    page_size: u32,
    page_token: &str,
) -> Result<(Vec<Shown>, String), Error> {
    let organisation = who.organisation_id();
    let own = who.user.id.to_string();
    let others = !user_id.is_empty() && user_id != own;
    if others {
        who.require(Permission::Logs)?;
    }
    let user_id: Uuid = match user_id {
        "" => who.user.id,
        text => text.parse().map_err(|_| Refused::UserNotFound)?,
    };
    let connection = app.database.connection();
    people::find(connection, organisation, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    // Who holds any permission is an administrator, and reading his events a permission of its own.
    if others
        && !people::permissions(connection, organisation, user_id)
            .await?
            .is_empty()
    {
        who.require(Permission::AdministratorLogs)?;
    }
    let list = ["events", &organisation.to_string(), &user_id.to_string()];
    let before: Option<i64> = page::read(&list, page_token)
        .ok()
        .and_then(|last| {
            last.map(|text| text.parse().ok())
                .map_or(Some(None), |n| n.map(Some))
        })
        .ok_or(Refused::field("page_token", "page_token.invalid"))?;
    let size = page::size(page_size);
    let mut rows = events::of_user(connection, organisation, user_id, before, size + 1).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = match rows.last() {
        Some(last) if more => page::token(&list, &last.sequence.to_string()),
        Some(_) | None => String::new(),
    };
    let reads_all = who.permissions.holds(Permission::Logs);
    let sees = |actor: &str| {
        // Tries on his account, by whomever, are his to see; what another person did is not.
        reads_all || actor == own || actor.is_empty() || actor.starts_with("service:")
    };
    let shown = show(app, organisation, rows, sees).await?;
    if others && before.is_none() {
        note_reading(app, who, user_id).await?;
    }
    Ok((shown, next))
}

async fn note_reading(app: &App, who: &SignedIn, user_id: Uuid) -> Result<(), Error> {
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    head.append(
        &transaction,
        vec![app.event(&who.origin, LOG_READ, user_id)],
    )
    .await?;
    commit(transaction).await?;
    Ok(())
}

/// `sees` says whose address and browser the reader may see: in his own log an administrator's are
/// not his.
async fn show(
    app: &App,
    organisation: Uuid,
    rows: Vec<event::Model>,
    sees: impl Fn(&str) -> bool,
) -> Result<Vec<Shown>, Error> {
    let connection = app.database.connection();
    let mut persons =
        events::persons(connection, rows.iter().map(|row| row.event_id).collect()).await?;
    let ids: Vec<Uuid> = rows
        .iter()
        .flat_map(|row| [&row.actor, &row.target])
        .filter_map(|id| id.parse().ok())
        .collect();
    let names: HashMap<String, String> = people::find_all(connection, organisation, ids)
        .await?
        .into_iter()
        .map(|user| {
            (
                user.id.to_string(),
                format!("{} {}", user.first_name, user.last_name),
            )
        })
        .collect();
    let name = |id: &str| names.get(id).cloned().unwrap_or_default();
    rows.into_iter()
        .map(|row| {
            let person = persons.remove(&row.event_id).filter(|_| sees(&row.actor));
            let (client_ip, user_agent) = person
                .map(|p| (p.client_ip, p.user_agent))
                .unwrap_or_default();
            Ok(Shown {
                details: events::details(&row.details)?,
                client_ip,
                user_agent,
                actor_name: name(&row.actor),
                target_name: name(&row.target),
                event: row,
            })
        })
        .collect()
}
