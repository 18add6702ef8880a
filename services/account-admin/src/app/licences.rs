//! Plans and who holds their seats.

use uuid::Uuid;

use super::add_user::take_seat;
use super::session::SignedIn;
use super::tell_identity::owe_projection;
use super::{App, Error};
use crate::domain::event_kind::{LICENCE_ASSIGNED, LICENCE_REMOVED};
use crate::domain::refused::Refused;
use crate::store::entity::{plan, seat};
use crate::store::{commit, people, seats};

/// The organisation's plans.
pub async fn list(app: &App, who: &SignedIn) -> Result<Vec<plan::Model>, Error> {
    Ok(seats::plans(app.database.connection(), who.organisation_id()).await?)
}

/// Gives the user a seat of the plan instead of the one that he has, or none (`plan_id` empty). The
/// user's events stay as they are.
pub async fn assign(app: &App, who: &SignedIn, user_id: &str, plan_id: &str) -> Result<(), Error> {
    let user_id: Uuid = user_id.parse().map_err(|_| Refused::UserNotFound)?;
    let plan_id: Option<Uuid> = match plan_id {
        "" => None,
        text => Some(text.parse().map_err(|_| Refused::PlanNotFound)?),
    };
    let organisation_id = who.organisation_id();
    let transaction = app.database.begin().await?;
    let mut head = who.lock_log(&transaction).await?;
    people::find(&transaction, organisation_id, user_id)
        .await?
        .ok_or(Refused::UserNotFound)?;
    let held = seats::of_users(&transaction, organisation_id, vec![user_id])
        .await?
        .remove(&user_id)
        .map(|(seat, _)| seat);
    if held.as_ref().map(|seat| seat.plan_id) == plan_id {
        return Ok(());
    }
    let mut events = Vec::new();
    if let Some(held) = held {
        seats::free(&transaction, &held).await?;
        let event = app.event(&who.origin, LICENCE_REMOVED, user_id);
        events.push(event.with("plan_id", held.plan_id));
    }
    if let Some(plan_id) = plan_id {
        let assigned_at = app.clock.now_ms();
        take_seat(
            &transaction,
            seat::Model {
                user_id,
                organisation_id,
                plan_id,
                assigned_at,
            },
        )
        .await?;
        events.push(
            app.event(&who.origin, LICENCE_ASSIGNED, user_id)
                .with("plan_id", plan_id),
        );
    }
    head.append(&transaction, events).await?;
    people::bump_projection(&transaction, user_id).await?;
    owe_projection(app, &transaction, user_id).await?;
    commit(transaction).await?;
    app.projections_owed.notify_one();
    Ok(())
}
