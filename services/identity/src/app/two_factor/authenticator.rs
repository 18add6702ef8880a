//! Seeds of authenticator apps: sealed for the store, and for the session that sets one up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jiff::Timestamp;
use sallyport_chassis::Secret;
use sallyport_sql::StoreError;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::app::App;
use crate::app::session::SessionContext;
use crate::domain::totp::{SEED_BYTES, Seed};
use crate::store::authenticators;

const STORED: &[u8] = b"authenticator";
const BEGUN: &[u8] = b"authenticator enrolment";
/// Bytes of the instant before the seed in what is sealed for a session.
const INSTANT_BYTES: usize = 8;

fn binding(label: &[u8], user_id: Uuid, of: Uuid) -> Vec<u8> {
    let parts: [&[u8]; 3] = [label, user_id.as_bytes(), of.as_bytes()];
    parts.concat()
}

/// Seals a seed for the row of this id; with the id of the key.
pub(crate) fn seal(app: &App, user_id: Uuid, row_id: Uuid, seed: &Seed) -> (Vec<u8>, String) {
    let sealed = app
        .totp
        .seal(&binding(STORED, user_id, row_id), seed.bytes());
    (sealed, app.totp.current().to_owned())
}

/// Opens the seed of a row. It cannot be where its key was taken out of the ring too early.
pub(crate) fn open(app: &App, row: &authenticators::Model) -> Result<Seed, StoreError> {
    let opened = app
        .totp
        .open(&binding(STORED, row.user_id, row.id), &row.seed);
    let seed = opened.as_deref().and_then(|bytes| Seed::from_bytes(bytes));
    seed.ok_or_else(|| {
        metrics::counter!("authenticator_key_missing_total").increment(1);
        tracing::error!(
            seed_key = row.seed_key,
            "the seed of an authenticator app cannot be opened"
        );
        StoreError::Corrupt("authenticators.seed")
    })
}

/// Seals a seed that this session has begun to set up, until an instant (unix milliseconds).
pub(super) fn begin(app: &App, context: &SessionContext, seed: &Seed, until_ms: i64) -> Secret {
    let mut plain = Zeroizing::new([0; INSTANT_BYTES + SEED_BYTES]);
    plain[..INSTANT_BYTES].copy_from_slice(&until_ms.to_be_bytes());
    plain[INSTANT_BYTES..].copy_from_slice(seed.bytes());
    let bound = binding(BEGUN, context.user.id, context.session.id);
    Secret::new(B64.encode(app.totp.seal(&bound, plain.as_slice())))
}

/// The seed that this session has begun to set up, if it is still time.
pub(super) fn begun(
    app: &App,
    context: &SessionContext,
    enrolment: &Secret,
    now: Timestamp,
) -> Option<Seed> {
    let sealed = B64.decode(enrolment.expose()).ok()?;
    let bound = binding(BEGUN, context.user.id, context.session.id);
    let plain = app.totp.open(&bound, &sealed)?;
    let (until_ms, seed) = plain.split_at_checked(INSTANT_BYTES)?;
    let until_ms = i64::from_be_bytes(until_ms.try_into().ok()?);
    let in_time = now.as_millisecond() < until_ms;
    in_time.then(|| Seed::from_bytes(seed)).flatten()
}
