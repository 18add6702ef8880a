//! Verifying an organisation's event log against its head, or against one published elsewhere.

use sallyport_sql::{Database, StoreError};
use uuid::Uuid;

use crate::domain::chain::{Mark, Report, Verifier};
use crate::store::events;

/// Rows read at once.
const BATCH: u64 = 1_000;

/// Verifies from the start; `None` where the organisation does not exist. The head is read first, so
/// that events which arrive meanwhile are left to the next run.
pub async fn verify_chain(
    database: &Database,
    organisation: Uuid,
    published: Option<Mark>,
) -> Result<Option<Report>, StoreError> {
    let connection = database.connection();
    let Some(head) = events::head(connection, organisation).await? else {
        return Ok(None);
    };
    let mut verifier = Verifier::new(organisation, Mark::START, published.unwrap_or(head));
    let mut after = 0;
    loop {
        let rows =
            events::chain_rows(connection, organisation, after, head.sequence, BATCH).await?;
        let Some(last) = rows.last() else {
            return Ok(Some(verifier.finish()));
        };
        after = last.sequence;
        for row in &rows {
            verifier.push(row);
        }
    }
}
