//! Deletes what has ended: sessions, links, counts of guesses, and what the second step kept. Nothing
//! depends on it being on time.

use std::time::Duration;

use sallyport_sql::StoreError;
use tokio_util::sync::CancellationToken;

use super::{App, second_step};
use crate::store::{guesses, links, sessions};

const EVERY: Duration = Duration::from_secs(60);
/// Ended links are kept so long, so that a repeated invitation request finds its answer.
const LINKS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Sweeps once a minute until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "what has ended could not be deleted; tried again in a minute");
        }
    }
}

/// One sweep.
async fn sweep(app: &App) -> Result<(), StoreError> {
    let connection = app.database.connection();
    let now = app.clock.now_ms();
    let settings = &app.settings;
    sessions::drop_ended(connection, now, settings.sessions.idle).await?;
    second_step::sweep(connection, now).await?;
    links::forget(connection, now - LINKS_KEPT.as_millis() as i64).await?;
    guesses::forget(connection, now - settings.guesses.forget.as_millis() as i64).await
}
