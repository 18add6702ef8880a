//! Taking events from the outboxes of other services.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{App, Error};
use crate::domain::refused::Refused;
use crate::store::{Entry, Head, commit};

/// Appends events, organisation by organisation in one transaction each, and brings users' rows in
/// line with them in the same one. What the log holds already is passed over, so the sender may
/// repeat everything where an answer was lost or one organisation failed.
pub async fn append(app: &App, entries: Vec<(Uuid, Entry)>) -> Result<(), Error> {
    let mut by_organisation: BTreeMap<Uuid, Vec<Entry>> = BTreeMap::new();
    for (organisation, entry) in entries {
        by_organisation.entry(organisation).or_default().push(entry);
    }
    let mut outcome = Ok(());
    for (organisation, entries) in by_organisation {
        // One organisation's trouble holds up no other's events.
        let stored = append_to(app, organisation, entries).await;
        if outcome.is_ok() {
            outcome = stored;
        }
    }
    outcome
}

async fn append_to(app: &App, organisation: Uuid, entries: Vec<Entry>) -> Result<(), Error> {
    let transaction = app.database.begin().await?;
    let mut head = Head::lock(&transaction, organisation)
        .await?
        .ok_or(Refused::OrganisationNotFound)?;
    let fresh = head.append(&transaction, entries).await?;
    head.apply(&transaction, &fresh).await?;
    commit(transaction).await?;
    Ok(())
}
