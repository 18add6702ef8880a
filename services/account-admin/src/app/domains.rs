//! E-mail domains of an organisation.

use sallyport_chassis::clock::new_id;
use sallyport_email::DomainName;
use uuid::Uuid;

use super::session::SignedIn;
use super::{App, Error, Origin};
use crate::domain::event_kind::DOMAIN_APPROVED;
use crate::domain::profile::line;
use crate::domain::providers::is_public;
use crate::domain::refused::Refused;
use crate::store::entity::domain;
use crate::store::{Head, commit, domains};

/// Longest evidence, in characters.
const LONGEST_NOTE: usize = 1_000;

/// The organisation's domains.
pub async fn list(app: &App, who: &SignedIn) -> Result<Vec<domain::Model>, Error> {
    Ok(domains::of_organisation(app.database.connection(), who.organisation_id()).await?)
}

/// Approves a domain by hand (rule 46). A public provider's is refused: whoever held it could add
/// everybody's mailbox.
pub async fn approve(
    app: &App,
    origin: &Origin,
    organisation_id: &str,
    typed: &str,
    note: &str,
) -> Result<domain::Model, Error> {
    let organisation_id: Uuid = organisation_id
        .parse()
        .map_err(|_| Refused::OrganisationNotFound)?;
    let name = DomainName::parse(typed).map_err(|_| Refused::field("domain", "domain.invalid"))?;
    if is_public(&name, &app.settings.more_public_providers) {
        return Err(Refused::field("domain", "domain.public_provider").into());
    }
    let note = line(note, LONGEST_NOTE).map_err(|reason| Refused::field("note", reason))?;
    let transaction = app.database.begin().await?;
    let mut head = Head::lock(&transaction, organisation_id)
        .await?
        .filter(|_| !organisation_id.is_nil())
        .ok_or(Refused::OrganisationNotFound)?;
    let taken = Refused::DomainTaken { field: "domain" };
    let holder = domains::holder(&transaction, name.as_str()).await?;
    if holder.is_some_and(|holder| holder != organisation_id) {
        return Err(taken.into());
    }
    let row = approval(app, organisation_id, &name, note);
    // Another organisation's approval may have been committed since the look above.
    let stored = domains::approve(&transaction, row).await?.ok_or(taken)?;
    let event = app
        .event(origin, DOMAIN_APPROVED, stored.id)
        .with("domain", name.as_str());
    head.append(&transaction, vec![event]).await?;
    commit(transaction).await?;
    Ok(stored)
}

/// An approval's row.
pub fn approval(
    app: &App,
    organisation_id: Uuid,
    name: &DomainName,
    note: String,
) -> domain::Model {
    let now = app.clock.now_ms();
    domain::Model {
        id: new_id(&*app.clock),
        organisation_id,
        domain: name.as_str().to_owned(),
        state: "verified".to_owned(),
        note,
        created_at: now,
        verified_at: Some(now),
        expires_at: None,
    }
}
