//! The guard's part: what the scripts are told of a send and of a right code, and the history.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Nothing, RedisStore};
use crate::domain::guard::{Budgets, DayTotal, Place, Policy, Proof, Watch};
use crate::domain::limits::Scope;
use crate::ports::{GuardStore, StoreError};

/// Codes that nobody verified.
fn waiting(place: &str) -> String {
    format!("sp:g:{place}")
}

/// How many somebody did.
fn verified(place: &str) -> String {
    format!("sp:v:{place}")
}

fn number(hash: &str) -> String {
    format!("sp:n:{hash}")
}

/// A send that the guard looks at; see `sends.lua`.
#[derive(Serialize)]
pub(super) struct WatchInput {
    number: Vec<String>,
    places: Vec<PlaceInput>,
    policy: Policy,
    budgets: Budgets,
}

#[derive(Serialize)]
struct PlaceInput {
    scope: Scope,
    waiting: Vec<String>,
    verified: Vec<String>,
}

impl From<&Watch> for WatchInput {
    fn from(watch: &Watch) -> Self {
        Self {
            number: watch.number.iter().map(|hash| number(hash)).collect(),
            places: watch.places.iter().map(PlaceInput::from).collect(),
            policy: watch.policy,
            budgets: watch.budgets,
        }
    }
}

impl From<&Place> for PlaceInput {
    fn from(place: &Place) -> Self {
        Self {
            scope: place.scope,
            waiting: place.names().map(|name| waiting(&name)).collect(),
            verified: place.names().map(|name| verified(&name)).collect(),
        }
    }
}

/// What a right code proves.
#[derive(Serialize)]
pub(super) struct ProofInput {
    number: String,
    places: Vec<String>,
}

impl From<&Proof> for ProofInput {
    fn from(proof: &Proof) -> Self {
        Self {
            number: number(&proof.number),
            places: proof.places.iter().map(|place| verified(place)).collect(),
        }
    }
}

#[async_trait]
impl GuardStore for RedisStore {
    async fn is_seeded(&self) -> Result<bool, StoreError> {
        #[derive(Serialize)]
        struct Input {}
        #[derive(Deserialize)]
        struct Answer {
            seeded: bool,
        }
        let answer: Answer = self.run(&self.scripts.is_seeded, &Input {}).await?;
        Ok(answer.seeded)
    }

    async fn seed(&self, totals: &[DayTotal], complete: bool, now: i64) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Input {
            now: i64,
            totals: Vec<DayTotal>,
            complete: bool,
        }
        let named = |total: &DayTotal| DayTotal {
            place: verified(&total.place),
            ..total.clone()
        };
        let input = Input {
            now,
            totals: totals.iter().map(named).collect(),
            complete,
        };
        self.run::<Nothing>(&self.scripts.seed, &input)
            .await
            .map(|_| ())
    }
}
