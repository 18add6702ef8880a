//! What keeps an organisation from losing its last administrator, and anybody from giving or taking what
//! he does not hold himself (rules 60 and 70). Decided under the lock of the organisation, by its rows
//! as they are then, so that no order of changes gets around it.

use sallyport_sql::StoreError;
use uuid::Uuid;

use super::Error;
use super::session::SignedIn;
use crate::domain::permission::PermissionSet;
use crate::domain::refused::Refused;
use crate::store::entity::{role_group, user};
use crate::store::{Transaction, role_groups};

/// The group that holds every permission; there is one in each organisation.
pub fn built_in(groups: &[role_group::Model]) -> Result<Uuid, StoreError> {
    groups
        .iter()
        .find(|group| group.built_in)
        .map(|group| group.id)
        .ok_or(StoreError::Corrupt(
            "an organisation without its built-in group",
        ))
}

/// Refuses to take the place of the last active administrator from a user who is one now.
pub async fn keep_one(
    transaction: &Transaction,
    who: &SignedIn,
    user: &user::Model,
    administrators: Uuid,
    is_member: bool,
) -> Result<(), Error> {
    if !is_member || user.status == "disabled" {
        return Ok(());
    }
    let another =
        role_groups::has_another_active_member(transaction, administrators, user.id, who.user.id)
            .await?;
    if another {
        Ok(())
    } else {
        Err(Refused::LastAdministrator.into())
    }
}

/// Refuses who does not hold all of what is given or taken.
pub fn covered(held: &PermissionSet, moved: &PermissionSet) -> Result<(), Refused> {
    if held.covers(moved) {
        Ok(())
    } else {
        Err(Refused::PermissionDenied)
    }
}
