//! Who the caller is and what he may do.

use sallyport_chassis::{Caller, Refusal};
use sallyport_proto::identity::v1::SessionStage;
use sallyport_sql::StoreError;
use uuid::Uuid;

use super::{App, Entry, Error, Origin};
use crate::domain::event_kind::AUTHZ_FAIL;
use crate::domain::permission::{Permission, PermissionSet, Rule, rule};
use crate::domain::refused::Refused;
use crate::store::entity::user;
use crate::store::{Head, Transaction, commit, people};

/// A user whose session is good.
#[derive(Debug)]
pub struct SignedIn {
    /// His row; its organisation is the only one that he reaches.
    pub user: user::Model,
    /// From his role groups as they are now.
    pub permissions: PermissionSet,
    /// 2 where the second factor was given in this session.
    assurance: u32,
    /// What identity says of this instant; our own copy may be late.
    second_factor_active: bool,
    /// For the events of the request.
    pub origin: Origin,
}

impl SignedIn {
    /// The organisation.
    pub fn organisation_id(&self) -> Uuid {
        self.user.organisation_id
    }
}

impl App {
    /// Lets the caller of an RPC in by the rule that stands in the table for it.
    ///
    /// Status and permissions are our own and of this instant, so that a change acts on open
    /// sessions at once; identity says only whose session it is and how it was opened.
    pub async fn enter(&self, path: &str, caller: &Caller) -> Result<SignedIn, Error> {
        let who = self.signed_in(caller).await?;
        match rule(path) {
            Some(Rule::Own | Rule::OwnOr(_)) => Ok(who),
            Some(Rule::Needs(permission)) => {
                let allowed = who.require(permission).map_err(Error::from);
                self.audit(&who, "", allowed).await?;
                Ok(who)
            }
            Some(Rule::Services(_) | Rule::Operator) | None => {
                Err(Refused::PermissionDenied.into())
            }
        }
    }

    async fn signed_in(&self, caller: &Caller) -> Result<SignedIn, Error> {
        let session = self.identity.session(caller).await.map_err(|status| {
            match Refusal::from_status(&status) {
                Some(refusal) => Error::Session(refusal),
                None => Error::Identity(status),
            }
        })?;
        if session.stage() != SessionStage::SignedIn {
            return Err(Refused::SecondFactorRequired.into());
        }
        let ids = (session.organisation_id.parse(), session.user_id.parse());
        let (Ok(organisation_id), Ok(user_id)) = ids else {
            return Err(Refused::SessionExpired.into());
        };
        let connection = self.database.connection();
        let user = people::find(connection, organisation_id, user_id)
            .await?
            .filter(|user| user.status != "disabled")
            .ok_or(Refused::SessionExpired)?;
        Ok(SignedIn {
            permissions: people::permissions(connection, organisation_id, user_id).await?,
            user,
            assurance: session.assurance,
            second_factor_active: session.second_factor_active,
            origin: Origin::user(user_id, caller),
        })
    }

    /// Passes a result on; a refusal that means that somebody asked for what he may not have goes
    /// into the log of his organisation. `target` is what he asked for.
    pub async fn audit<T>(
        &self,
        who: &SignedIn,
        target: &str,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        let reason = match &result {
            Err(Error::Refused(Refused::PermissionDenied)) => "permission.denied",
            Err(Error::Refused(Refused::StepUpRequired)) => "step_up_required",
            Err(Error::Refused(Refused::UserNotFound)) => "user.not_found",
            Err(Error::Refused(Refused::LastAdministrator)) => "admin.last",
            Ok(_) | Err(_) => return result,
        };
        metrics::counter!("authz_refused_total", "reason" => reason).increment(1);
        // What was typed in place of an id stays out of the log.
        let target = target
            .parse::<Uuid>()
            .map(|id| id.to_string())
            .unwrap_or_default();
        let mut event = self.event(&who.origin, AUTHZ_FAIL, target);
        event.success = false;
        event.reason = reason.to_owned();
        if let Err(error) = self.log_alone(who.organisation_id(), event).await {
            // The refusal stands; the log's trouble is told on its own.
            tracing::error!(%error, reason, "a refusal could not be written to the event log");
        }
        result
    }

    async fn log_alone(&self, organisation_id: Uuid, event: Entry) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        let mut head = Head::lock(&transaction, organisation_id)
            .await?
            .ok_or(Refused::OrganisationNotFound)?;
        head.append(&transaction, vec![event]).await?;
        commit(transaction).await?;
        Ok(())
    }
}

impl SignedIn {
    /// Administration asks the permission, and the second factor of a user who has one: a
    /// remembered browser gives assurance 1 only.
    pub fn require(&self, permission: Permission) -> Result<(), Refused> {
        if !self.permissions.holds(permission) {
            return Err(Refused::PermissionDenied);
        }
        if self.second_factor_active && self.assurance < 2 {
            return Err(Refused::StepUpRequired);
        }
        Ok(())
    }

    /// The head of his organisation's log, and with it the organisation, held until the transaction ends.
    pub async fn lock_log(&self, transaction: &Transaction) -> Result<Head, StoreError> {
        Head::lock(transaction, self.organisation_id())
            .await?
            .ok_or(StoreError::Corrupt("a user without an organisation"))
    }

    /// The same once more under the lock of the organisation, and what he holds at that instant: a
    /// change that came first counts, also against a call that was let in before it.
    pub async fn require_now(
        &self,
        transaction: &Transaction,
        permission: Permission,
    ) -> Result<PermissionSet, Error> {
        people::find(transaction, self.organisation_id(), self.user.id)
            .await?
            .filter(|user| user.status != "disabled")
            .ok_or(Refused::SessionExpired)?;
        let held = people::permissions(transaction, self.organisation_id(), self.user.id).await?;
        if held.holds(permission) {
            Ok(held)
        } else {
            Err(Refused::PermissionDenied.into())
        }
    }
}
