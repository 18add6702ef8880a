//! What every store owes: one suite, run against memory, against a real Redis, and against one
//! behind sentinels.

#![allow(clippy::unwrap_used)]

#[path = "contract/challenges.rs"]
mod challenges;
#[path = "contract/guard.rs"]
mod guard;
#[path = "contract/limits.rs"]
mod limits;
#[path = "contract/messages.rs"]
mod messages;
#[path = "contract/model.rs"]
mod model;
#[path = "contract/redis_only.rs"]
mod redis_only;
#[path = "contract/sentinel.rs"]
mod sentinel;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use otp_dispatch::adapters::store_memory::MemoryStore;
use otp_dispatch::adapters::store_redis::RedisStore;
use otp_dispatch::config::StoreConfig;
use otp_dispatch::domain::challenge::{
    Attempt, Binding, ChallengeView, CreateOutcome, Idempotency, NewChallenge, Resend, Verdict,
};
use otp_dispatch::domain::guard::Proof;
use otp_dispatch::domain::limits::{Cap, Counted, Scope};
use otp_dispatch::domain::message::{Class, MessageState, QueueMessage};
use otp_dispatch::ports::{ChallengeStore, GuardStore, MessageStore, StoreError};
use sallyport_chassis::SecretUrl;
use sallyport_testkit::TestRedis;

/// The instant at which every test begins.
const T0: i64 = 1_764_000_000_000;
const MINUTE: i64 = 60_000;

/// A store under test.
#[derive(Clone)]
struct Stores {
    challenges: Arc<dyn ChallengeStore>,
    messages: Arc<dyn MessageStore>,
    guard: Arc<dyn GuardStore>,
    _redis: Option<Arc<TestRedis>>,
}

async fn memory() -> Stores {
    let store = MemoryStore::new();
    let challenges = Arc::new(store.clone());
    Stores {
        challenges,
        messages: Arc::new(store.clone()),
        guard: Arc::new(store),
        _redis: None,
    }
}

async fn redis() -> Stores {
    let server = sallyport_testkit::redis().await.unwrap();
    let store = open(&server.url).await.unwrap();
    Stores {
        _redis: Some(Arc::new(server)),
        ..Stores::of(store)
    }
}

/// How long a store is waited for, where its time-out is not the matter.
const PATIENCE: Duration = Duration::from_secs(10);

async fn open(url: &str) -> anyhow::Result<RedisStore> {
    open_within(url, PATIENCE).await
}

async fn open_within(url: &str, timeout: Duration) -> anyhow::Result<RedisStore> {
    RedisStore::open(&StoreConfig::at(SecretUrl::new(url)), timeout).await
}

macro_rules! contract {
    ($($suite:ident: $($name:ident),+ $(,)?;)+) => {
        mod in_memory {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$suite::$name(super::memory().await).await;
            })+)+
        }

        mod in_redis {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$suite::$name(super::redis().await).await;
            })+)+
        }

        mod over_sentinels {
            /// On one deployment, each in a numbered database of its own.
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_whole_suite_holds() {
                let servers = sallyport_testkit::ReplicatedRedis::start().await.unwrap();
                let mut urls = (0..).map(|number| servers.url_for_db(number));
                $($(
                    eprintln!(stringify!($name));
                    let store = super::open(&urls.next().unwrap()).await.unwrap();
                    Box::pin(super::$suite::$name(super::Stores::of(store))).await;
                )+)+
            }
        }
    };
}

contract! {
    challenges:
        a_right_code_is_used_once,
        right_answers_at_once_use_the_code_once,
        wrong_answers_at_once_stay_in_the_budget,
        the_answer_to_a_request_id_is_repeated_and_burns_nothing,
        expired_and_used_are_told_to_right_codes_only,
        a_code_ends_at_its_instant,
        another_binding_finds_nothing,
        a_binding_under_an_older_key_finds,
        a_cancelled_challenge_has_ended,
        a_key_makes_one_challenge,
        the_key_of_an_ended_challenge_is_refused,
        the_same_key_at_once_makes_one_challenge,
        a_key_is_forgotten_after_a_day,
        a_resend_is_a_new_message_of_the_same_challenge,
        resends_wait_and_end,
        what_did_not_arrive_is_not_waited_for,
        a_resends_key_sends_once,
        what_has_ended_is_not_sent_again;
    guard:
        codes_that_nobody_verifies_close_their_places,
        a_blocked_send_stores_and_counts_nothing,
        a_verified_code_is_taken_off_and_raises_the_budgets,
        what_the_best_day_verified_holds_for_fourteen_days,
        codes_to_a_known_number_pass_and_do_not_count,
        an_operators_word_comes_before_the_budgets,
        a_repeated_key_is_not_decided_again,
        a_resend_is_watched_alike,
        what_both_keys_of_a_ring_counted_counts_together,
        a_store_without_its_history_says_so_and_is_told_it;
    limits:
        each_cap_is_exact_by_hour_and_by_day,
        the_cap_that_opens_last_is_told,
        a_refusal_counts_and_stores_nothing,
        sends_at_once_never_exceed_a_cap,
        verified_codes_are_taken_off_again,
        sends_under_both_keys_of_a_ring_count_together,
        a_resend_is_counted_and_refused_alike;
    messages:
        a_message_is_held_by_one,
        claims_at_once_give_one_holder,
        a_released_message_is_free,
        a_dead_holder_that_wrote_leaves_doubt,
        a_dead_holder_that_did_not_write_leaves_none,
        a_settled_message_stays_settled,
        a_message_past_its_deadline_expires,
        messages_of_ended_challenges_are_suppressed,
        a_message_without_state_is_lost,
        receipts_update_the_state,
        receipts_before_the_answer_are_parked_for_ten_minutes,
        delivered_is_final_in_either_order,
        receipts_are_told_apart_by_route,
        a_notice_is_accepted_once,
        unconfirmed_messages_are_handed_out_until_confirmed,
        an_unconfirmed_message_is_not_published_past_its_deadline;
}

fn binding(name: &str) -> Binding {
    Binding {
        hashes: vec![format!("k2.{name}"), format!("k1.{name}")],
    }
}

fn message(id: &str, challenge: Option<&str>, deadline_at: i64) -> QueueMessage {
    QueueMessage {
        message_id: id.to_owned(),
        challenge_id: challenge.map(str::to_owned),
        class: if challenge.is_some() {
            Class::Code
        } else {
            Class::Notice
        },
        accepted_at: T0,
        deadline_at,
        retries: 0,
        number: vec![1, 2, 3],
        text: vec![4, 5],
        trace: HashMap::new(),
    }
}

fn key(key: &str, body: &str) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        body_hash: body.to_owned(),
    }
}

/// A challenge of five tries and three sends, whose message is `ID/1`.
fn new_challenge(id: &str, now: i64) -> NewChallenge {
    NewChallenge {
        id: id.to_owned(),
        binding: binding("b"),
        reference: "KTR".to_owned(),
        now,
        expires_at: now + 10 * MINUTE,
        resend_at: now + MINUTE,
        tries: 5,
        sends_left: 2,
        idempotency: key(&format!("create {id}"), "body"),
        counted: Vec::new(),
        guard: None,
        message: message(&format!("{id}/1"), Some(id), now + 10 * MINUTE),
    }
}

fn attempt(id: &str, right: bool, request_id: &str, now: i64) -> Attempt {
    Attempt {
        id: id.to_owned(),
        binding: binding("b"),
        request_id: request_id.to_owned(),
        proof: right.then(|| proof("n", "k")),
        now,
    }
}

/// The `n`th message of a challenge.
fn resend(id: &str, n: u32, now: i64) -> Resend {
    Resend {
        id: id.to_owned(),
        binding: binding("b"),
        idempotency: key(&format!("resend {id} {n}"), "body"),
        counted: Vec::new(),
        guard: None,
        now,
        resend_at: now + MINUTE,
        message: message(&format!("{id}/{n}"), Some(id), now + 10 * MINUTE),
    }
}

/// A right code to a number, in a block and a country of one name.
fn proof(number: &str, place: &str) -> Proof {
    Proof {
        number: number.to_owned(),
        places: vec![format!("prefix:{place}"), format!("country:{place}")],
    }
}

fn cap(scope: Scope, key: &str, per_hour: u32, per_day: u32) -> Counted {
    Counted {
        scope,
        keys: vec![key.to_owned()],
        cap: Cap { per_hour, per_day },
    }
}

impl Stores {
    fn of(store: RedisStore) -> Self {
        Self {
            challenges: Arc::new(store.clone()),
            messages: Arc::new(store.clone()),
            guard: Arc::new(store),
            _redis: None,
        }
    }

    async fn created(&self, new: NewChallenge) -> ChallengeView {
        match self.challenges.create(new).await.unwrap() {
            CreateOutcome::Created(view, _) => view,
            other => panic!("not created: {other:?}"),
        }
    }

    async fn verified(&self, attempt: Attempt) -> Verdict {
        self.challenges.verify(attempt).await.unwrap()
    }

    /// The verdict of a store that was away: it finds its way back without anybody's help.
    async fn decided(&self, attempt: Attempt) -> Verdict {
        loop {
            match self.challenges.verify(attempt.clone()).await {
                Ok(verdict) => return verdict,
                Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    async fn view(&self, id: &str, now: i64) -> ChallengeView {
        self.challenges
            .read(id, &binding("b"), now)
            .await
            .unwrap()
            .unwrap()
    }

    async fn state(&self, id: &str, now: i64) -> MessageState {
        self.view(id, now).await.message_state
    }
}
