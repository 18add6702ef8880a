//! An administrator edits a user (rules 57 to 61).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::administrators::{built_in, covered, keep_one};
use super::profile::differing;
use super::session::SignedIn;
use super::tell_identity::{owe_another_invitation, owe_projection};
use super::users::{self, UserView};
use super::{App, Entry, Error};
use crate::domain::event_kind::{ROLE_GROUPS_CHANGED, USER_DISABLED, USER_ENABLED, USER_UPDATED};
use crate::domain::permission::{Permission, PermissionSet};
use crate::domain::profile::{self, Fault, ProfileFields, check};
use crate::domain::refused::Refused;
use crate::store::entity::{role_group, user};
use crate::store::{commit, lifecycle, people, role_groups};

/// Not a field of the profile; the names on the wire.
const ROLE_GROUPS: &str = "role_group_ids";
const DISABLED: &str = "disabled";
const TWO_FACTOR_REQUIRED: &str = "two_factor_required";

/// The fields as typed.
pub struct Typed<'a> {
    /// Those that the user may change himself.
    pub profile: profile::Typed<'a>,
    /// Ids of his role groups.
    pub role_group_ids: &'a [String],
    /// Whether he is kept from signing in.
    pub disabled: bool,
    /// Whether he must have 2FA.
    pub two_factor_required: bool,
}

/// The fields, checked.
struct Checked {
    profile: ProfileFields,
    groups: BTreeSet<Uuid>,
    disabled: bool,
    two_factor_required: bool,
}

/// Stores the fields under the version that the administrator read. Saving what is stored already
/// changes nothing and succeeds, so that a double click on Save is one change and no conflict.
pub async fn update(
    app: &App,
    who: &SignedIn,
    user_id: &str,
    typed: &Typed<'_>,
    version: u64,
) -> Result<UserView, Error> {
    let user_id: Uuid = user_id.parse().map_err(|_| Refused::UserNotFound)?;
    let organisation_id = who.organisation_id();
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    let held = who
        .require_now(&transaction, Permission::UserManagement)
        .await?;
    let stored = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    let all = role_groups::all(&transaction, organisation_id).await?;
    let before = role_groups::of_user(&transaction, organisation_id, user_id).await?;
    let new = checked(typed, &stored, &all).map_err(Refused::Fields)?;

    let fields = differing_fields(&stored, &before, &new);
    if fields.is_empty() {
        drop(transaction);
        return users::view(app, stored).await;
    }
    let conflict = Refused::EditConflict {
        version: stored.version,
        differing: fields.clone(),
    };
    let expected = i64::try_from(version).map_err(|_| conflict.clone())?;
    if stored.version != expected {
        return Err(conflict.into());
    }

    let (regrouped, moved) = (fields.contains(&ROLE_GROUPS), fields.contains(&DISABLED));
    if regrouped && !held.holds(Permission::Roles) {
        return Err(Refused::PermissionDenied.into());
    }
    if regrouped || moved {
        covered(&held, &granted(&all, before.union(&new.groups)))?;
    }
    let administrators = built_in(&all)?;
    if new.disabled || !new.groups.contains(&administrators) {
        let is_member = before.contains(&administrators);
        keep_one(&transaction, who, &stored, administrators, is_member).await?;
    }

    let profile = &new.profile;
    if !people::store_profile(&transaction, organisation_id, user_id, expected, profile).await? {
        return Err(conflict.into());
    }
    let status = match (moved, new.disabled) {
        (false, _) => stored.status.as_str(),
        (true, true) => "disabled",
        (true, false) => lifecycle::enabled(&stored),
    };
    lifecycle::set(&transaction, user_id, status, new.two_factor_required).await?;
    let added: Vec<Uuid> = new.groups.difference(&before).copied().collect();
    let removed: Vec<Uuid> = before.difference(&new.groups).copied().collect();
    role_groups::change(&transaction, organisation_id, user_id, &added, &removed).await?;
    let entries = events(app, who, user_id, &fields, new.disabled, (&added, &removed));
    head.append(&transaction, entries).await?;
    owe_projection(app, &transaction, user_id).await?;
    let invited_again = moved && status == "invited";
    if invited_again {
        owe_another_invitation(app, &transaction, user_id).await?;
    }
    let stored = people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    commit(transaction).await?;
    app.projections_owed.notify_one();
    if invited_again {
        app.invitations_owed.notify_one();
    }
    users::view(app, stored).await
}

/// Every bad field at once.
fn checked(
    typed: &Typed<'_>,
    stored: &user::Model,
    all: &[role_group::Model],
) -> Result<Checked, Vec<Fault>> {
    let (profile, mut faults) = match check(&typed.profile, &stored.mobile_number) {
        Ok(profile) => (Some(profile), Vec::new()),
        Err(faults) => (None, faults),
    };
    // Moving the number of an active factor is the user's own, or what a reset is for (rule 59).
    let number = profile::number(typed.profile.mobile_number, &stored.mobile_number);
    let moves = number.is_ok_and(|number| {
        let number = number.as_ref().map_or("", |number| number.e164());
        number != stored.mobile_number
    });
    if stored.two_factor_active && moves {
        faults.push(("mobile_number", "two_factor.number_locked"));
    }
    let groups: Option<BTreeSet<Uuid>> = typed
        .role_group_ids
        .iter()
        .map(|id| {
            let id: Uuid = id.parse().ok()?;
            all.iter().any(|group| group.id == id).then_some(id)
        })
        .collect();
    if groups.is_none() {
        faults.push((ROLE_GROUPS, "role_group.unknown"));
    }
    match (profile, groups) {
        (Some(profile), Some(groups)) if faults.is_empty() => Ok(Checked {
            profile,
            groups,
            disabled: typed.disabled,
            two_factor_required: typed.two_factor_required,
        }),
        _ => Err(faults),
    }
}

/// Names of the fields whose stored value is another.
fn differing_fields(
    stored: &user::Model,
    before: &BTreeSet<Uuid>,
    new: &Checked,
) -> Vec<&'static str> {
    let mut fields = differing(stored, &new.profile);
    let others = [
        (ROLE_GROUPS, *before != new.groups),
        (DISABLED, (stored.status == "disabled") != new.disabled),
        (
            TWO_FACTOR_REQUIRED,
            stored.two_factor_required != new.two_factor_required,
        ),
    ];
    fields.extend(others.iter().filter(|(_, other)| *other).map(|(f, _)| *f));
    fields
}

/// What the groups grant together.
fn granted<'a>(all: &[role_group::Model], ids: impl Iterator<Item = &'a Uuid>) -> PermissionSet {
    let mut set = PermissionSet::default();
    for id in ids {
        for group in all.iter().filter(|group| group.id == *id) {
            set.join(PermissionSet::parse(&group.permissions));
        }
    }
    set
}

/// An event for each kind of what has changed.
fn events(
    app: &App,
    who: &SignedIn,
    user_id: Uuid,
    fields: &[&'static str],
    disabled: bool,
    (added, removed): (&[Uuid], &[Uuid]),
) -> Vec<Entry> {
    let event = |kind: &str| app.event(&who.origin, kind, user_id);
    let mut events = Vec::new();
    let own_events = [ROLE_GROUPS, DISABLED];
    let updated: Vec<&str> = fields
        .iter()
        .copied()
        .filter(|field| !own_events.contains(field))
        .collect();
    if !updated.is_empty() {
        events.push(event(USER_UPDATED).with("fields", updated.join(",")));
    }
    if fields.contains(&ROLE_GROUPS) {
        let ids = |ids: &[Uuid]| {
            ids.iter()
                .map(Uuid::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        events.push(
            event(ROLE_GROUPS_CHANGED)
                .with("added", ids(added))
                .with("removed", ids(removed)),
        );
    }
    if fields.contains(&DISABLED) {
        events.push(event(if disabled {
            USER_DISABLED
        } else {
            USER_ENABLED
        }));
    }
    events
}
