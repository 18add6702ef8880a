//! The organisation's head row: the lock of every writing transaction, and the end of its event
//! chain.

use std::collections::{BTreeMap, HashMap, HashSet};

use sallyport_sql::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseTransaction, ExprTrait, QuerySelect};

use super::entity::{event, event_person, organisation, user};
use crate::domain::chain::{Content, Hash, Mark, Person};
use crate::domain::event_kind::{self, Effect};

/// An event before it has a place in the chain.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Deduplicates.
    pub event_id: Uuid,
    /// Unix milliseconds.
    pub occurred_at: i64,
    /// Type.
    pub kind: String,
    /// Whether what was asked for was done.
    pub success: bool,
    /// Who acted.
    pub actor: String,
    /// What was acted on.
    pub target: String,
    /// Reason of a refusal.
    pub reason: String,
    /// Joins the events of one request.
    pub request_id: String,
    /// Address of the client.
    pub client_ip: String,
    /// Browser.
    pub user_agent: String,
    /// Typed details; nothing personal, since they are never erased.
    pub details: BTreeMap<String, String>,
}

/// The locked head row of an organisation.
#[derive(Debug)]
pub struct Head {
    /// The organisation.
    pub organisation: organisation::Model,
}

impl Head {
    /// Locks the organisation until the transaction ends; `None` where there is none.
    pub async fn lock(
        transaction: &DatabaseTransaction,
        organisation_id: Uuid,
    ) -> Result<Option<Self>, StoreError> {
        let rows = organisation::Entity::update_many()
            .col_expr(
                organisation::Column::HeadSequence,
                Expr::col(organisation::Column::HeadSequence),
            )
            .filter(organisation::Column::Id.eq(organisation_id))
            .exec_with_returning(transaction)
            .await?;
        Ok(rows
            .into_iter()
            .next()
            .map(|organisation| Self { organisation }))
    }

    /// Appends the entries that the log does not hold yet, in the order given, and says which those
    /// were.
    pub async fn append(
        &mut self,
        transaction: &DatabaseTransaction,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, StoreError> {
        let fresh = unknown(transaction, entries).await?;
        if fresh.is_empty() {
            return Ok(fresh);
        }
        let people = self.people(transaction, &fresh).await?;
        let mut mark = self.mark()?;
        let mut rows = Vec::with_capacity(fresh.len());
        let mut sides = Vec::with_capacity(fresh.len());
        for entry in &fresh {
            let person = person(entry, &people);
            let content = content(entry, person.hash());
            let hash = content.hash(self.organisation.id, mark);
            sides.push(side_row(entry.event_id, person));
            rows.push(event_row(self.organisation.id, content, mark, hash)?);
            mark = Mark {
                sequence: mark.sequence + 1,
                hash,
            };
        }
        event::Entity::insert_many(rows)
            .exec_without_returning(transaction)
            .await?;
        event_person::Entity::insert_many(sides)
            .exec_without_returning(transaction)
            .await?;
        organisation::Entity::update_many()
            .col_expr(
                organisation::Column::HeadSequence,
                Expr::value(mark.sequence),
            )
            .col_expr(
                organisation::Column::HeadHash,
                Expr::value(mark.hash.to_vec()),
            )
            .filter(organisation::Column::Id.eq(self.organisation.id))
            .exec(transaction)
            .await?;
        self.organisation.head_sequence = mark.sequence;
        self.organisation.head_hash = mark.hash.to_vec();
        for entry in &fresh {
            metrics::counter!("events_appended_total", "type" => entry.kind.clone()).increment(1);
        }
        Ok(fresh)
    }

    /// Brings the users' rows in line with events of other services.
    pub async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        for entry in entries.iter().filter(|entry| entry.success) {
            let about = if entry.target.is_empty() {
                &entry.actor
            } else {
                &entry.target
            };
            let (Some(effect), Ok(user_id)) = (
                event_kind::effect(&entry.kind, &entry.details),
                about.parse(),
            ) else {
                continue;
            };
            self.apply_one(transaction, user_id, effect, entry.occurred_at)
                .await?;
        }
        Ok(())
    }

    async fn apply_one(
        &self,
        transaction: &DatabaseTransaction,
        user_id: Uuid,
        effect: Effect,
        occurred_at: i64,
    ) -> Result<(), StoreError> {
        use user::Column;
        let this = || {
            user::Entity::update_many()
                .filter(Column::Id.eq(user_id))
                .filter(Column::OrganisationId.eq(self.organisation.id))
        };
        if let Effect::SignedIn | Effect::Activated = effect {
            this()
                .col_expr(Column::Status, Expr::value("active"))
                .filter(Column::Status.eq("invited"))
                .exec(transaction)
                .await?;
            // Also of one who is disabled: enabled again he is not invited anew.
            this()
                .col_expr(Column::ActivatedAt, Expr::value(occurred_at))
                .filter(Column::ActivatedAt.is_null())
                .exec(transaction)
                .await?;
        }
        // Events may come late and out of order: the newest one counts.
        if effect == Effect::SignedIn {
            this()
                .col_expr(Column::LastSignInAt, Expr::value(occurred_at))
                .filter(
                    Column::LastSignInAt
                        .is_null()
                        .or(Column::LastSignInAt.lt(occurred_at)),
                )
                .exec(transaction)
                .await?;
        }
        if let Effect::TwoFactorOn | Effect::TwoFactorOff = effect {
            this()
                .col_expr(
                    Column::TwoFactorActive,
                    Expr::value(effect == Effect::TwoFactorOn),
                )
                .col_expr(Column::TwoFactorChangedAt, Expr::value(occurred_at))
                .filter(Column::TwoFactorChangedAt.lte(occurred_at))
                .exec(transaction)
                .await?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<Mark, StoreError> {
        Ok(Mark {
            sequence: self.organisation.head_sequence,
            hash: hash_of(&self.organisation.head_hash)?,
        })
    }

    /// Names and addresses, for now, of the users that the entries speak of.
    async fn people(
        &self,
        transaction: &DatabaseTransaction,
        entries: &[Entry],
    ) -> Result<HashMap<String, (String, String)>, StoreError> {
        let ids: HashSet<Uuid> = entries
            .iter()
            .flat_map(|entry| [&entry.actor, &entry.target])
            .filter_map(|id| id.parse().ok())
            .collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let users = user::Entity::find()
            .filter(user::Column::OrganisationId.eq(self.organisation.id))
            .filter(user::Column::Id.is_in(ids))
            .all(transaction)
            .await?;
        Ok(users
            .into_iter()
            .map(|u| {
                (
                    u.id.to_string(),
                    (format!("{} {}", u.first_name, u.last_name), u.email),
                )
            })
            .collect())
    }
}

/// A stored hash.
pub fn hash_of(stored: &[u8]) -> Result<Hash, StoreError> {
    stored
        .try_into()
        .map_err(|_| StoreError::Corrupt("a hash that is not 32 bytes long"))
}

/// The entries that the log does not hold, each once.
async fn unknown(
    transaction: &impl ConnectionTrait,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, StoreError> {
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.event_id).collect();
    let mut known: HashSet<Uuid> = event::Entity::find()
        .select_only()
        .column(event::Column::EventId)
        .filter(event::Column::EventId.is_in(ids))
        .into_tuple::<Uuid>()
        .all(transaction)
        .await?
        .into_iter()
        .collect();
    Ok(entries
        .into_iter()
        .filter(|entry| known.insert(entry.event_id))
        .collect())
}

fn person(entry: &Entry, people: &HashMap<String, (String, String)>) -> Person {
    let of = |id: &str| people.get(id).cloned().unwrap_or_default();
    let (actor_name, actor_email) = of(&entry.actor);
    let (target_name, target_email) = of(&entry.target);
    Person {
        salt: sallyport_chassis::keyring::random_id(),
        client_ip: entry.client_ip.clone(),
        user_agent: entry.user_agent.clone(),
        actor_name,
        actor_email,
        target_name,
        target_email,
    }
}

fn content(entry: &Entry, person_hash: Hash) -> Content {
    Content {
        event_id: entry.event_id,
        occurred_at: entry.occurred_at,
        kind: entry.kind.clone(),
        result: if entry.success { "success" } else { "refused" }.to_owned(),
        actor: entry.actor.clone(),
        target: entry.target.clone(),
        reason: entry.reason.clone(),
        request_id: entry.request_id.clone(),
        details: entry.details.clone(),
        person_hash,
    }
}

fn event_row(
    organisation_id: Uuid,
    content: Content,
    previous: Mark,
    hash: Hash,
) -> Result<event::ActiveModel, StoreError> {
    let details = serde_json::to_string(&content.details)
        .map_err(|_| StoreError::Corrupt("details that are no JSON"))?;
    Ok(event::ActiveModel {
        organisation_id: Set(organisation_id),
        sequence: Set(previous.sequence + 1),
        event_id: Set(content.event_id),
        occurred_at: Set(content.occurred_at),
        kind: Set(content.kind),
        result: Set(content.result),
        actor: Set(content.actor),
        target: Set(content.target),
        reason: Set(content.reason),
        request_id: Set(content.request_id),
        details: Set(details),
        person_hash: Set(content.person_hash.to_vec()),
        previous_hash: Set(previous.hash.to_vec()),
        hash: Set(hash.to_vec()),
    })
}

fn side_row(event_id: Uuid, person: Person) -> event_person::ActiveModel {
    event_person::ActiveModel {
        event_id: Set(event_id),
        salt: Set(person.salt),
        client_ip: Set(person.client_ip),
        user_agent: Set(person.user_agent),
        actor_name: Set(person.actor_name),
        actor_email: Set(person.actor_email),
        target_name: Set(person.target_name),
        target_email: Set(person.target_email),
        erased_at: Set(None),
    }
}
