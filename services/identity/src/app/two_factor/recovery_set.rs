//! Sets of recovery codes: shown once, kept as keyed hashes.

use sallyport_chassis::{Secret, clock};
use sallyport_sql::{StoreError, Transaction};
use uuid::Uuid;

use crate::app::App;
use crate::domain::recovery::{CODES_IN_A_SET, RecoveryCode};
use crate::store::recovery_codes;

const LABEL: &[u8] = b"recovery code";

/// Makes a new set in place of the old one.
pub(crate) async fn remake(
    tx: &Transaction,
    app: &App,
    user_id: Uuid,
) -> Result<Vec<Secret>, StoreError> {
    let mut shown = Vec::with_capacity(CODES_IN_A_SET);
    let mut kept = Vec::with_capacity(CODES_IN_A_SET);
    for _ in 0..CODES_IN_A_SET {
        let mut random = [0; _];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let code = RecoveryCode::from_random(random);
        let lookup = app
            .lookup
            .lookup(&[LABEL, user_id.as_bytes(), code.canonical().as_bytes()]);
        shown.push(code.grouped());
        kept.push((clock::new_id(&*app.clock), lookup));
    }
    recovery_codes::replace(tx, user_id, kept, app.clock.now_ms()).await?;
    Ok(shown)
}

/// The hashes that a code may be kept under: one for every key of the ring.
pub(crate) fn lookups(app: &App, user_id: Uuid, code: &RecoveryCode) -> Vec<String> {
    app.lookup
        .lookups(&[LABEL, user_id.as_bytes(), code.canonical().as_bytes()])
}
