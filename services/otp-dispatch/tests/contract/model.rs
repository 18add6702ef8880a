//! Random interleavings on both stores: each answer of Redis is that of memory, whose rules are
//! plain Rust. What one of them forgets or orders otherwise shows here.

use otp_dispatch::domain::guard::ledger::day;
use otp_dispatch::domain::guard::{DayTotal, Policy, Watch};
use otp_dispatch::ports::{Claim, ReceiptState, Settle};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Create {
        key: u8,
        body: bool,
        scopes: u8,
        guard: u8,
    },
    Verify {
        challenge: u8,
        right: bool,
        request: u8,
        bound: bool,
        number: u8,
    },
    Resend {
        challenge: u8,
        key: u8,
        scopes: u8,
        guard: u8,
    },
    Seed {
        days: u8,
        verified: u8,
    },
    Cancel {
        challenge: u8,
    },
    Read {
        challenge: u8,
    },
    Notice {
        key: u8,
        body: bool,
    },
    Queued {
        message: u8,
    },
    Unconfirmed {
        limit: usize,
    },
    Claim {
        message: u8,
    },
    Settle {
        message: u8,
        stale: bool,
        what: u8,
        carrier: u8,
    },
    Receipt {
        carrier: u8,
        what: u8,
    },
    Wait {
        milliseconds: i64,
    },
    /// So long that live challenges are over.
    WaitLong,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let index = || 0..4u8;
    let op = prop_oneof![
        6 => (0..3u8, prop::bool::weighted(0.9), 0..32u8, 0..16u8)
            .prop_map(|(key, body, scopes, guard)| Op::Create { key, body, scopes, guard }),
        6 => (index(), any::<bool>(), 0..8u8, prop::bool::weighted(0.9), 0..2u8)
            .prop_map(|(challenge, right, request, bound, number)| {
                Op::Verify { challenge, right, request, bound, number }
            }),
        3 => (index(), 0..3u8, 0..32u8, 0..16u8)
            .prop_map(|(challenge, key, scopes, guard)| {
                Op::Resend { challenge, key, scopes, guard }
            }),
        1 => (0..17u8, 0..20u8).prop_map(|(days, verified)| Op::Seed { days, verified }),
        1 => index().prop_map(|challenge| Op::Cancel { challenge }),
        1 => index().prop_map(|challenge| Op::Read { challenge }),
        1 => (0..2u8, any::<bool>()).prop_map(|(key, body)| Op::Notice { key, body }),
        2 => index().prop_map(|message| Op::Queued { message }),
        2 => (1..4usize).prop_map(|limit| Op::Unconfirmed { limit }),
        4 => index().prop_map(|message| Op::Claim { message }),
        4 => (index(), prop::bool::weighted(0.1), 0..5u8, 0..3u8)
            .prop_map(|(message, stale, what, carrier)| Op::Settle { message, stale, what, carrier }),
        2 => (0..3u8, 0..3u8).prop_map(|(carrier, what)| Op::Receipt { carrier, what }),
        5 => prop::sample::select(vec![0, 1, 5_000, 30_000, 60_000, 5 * MINUTE, 11 * MINUTE])
            .prop_map(|milliseconds| Op::Wait { milliseconds }),
        1 => Just(Op::WaitLong),
    ];
    prop::collection::vec(op, 1..60)
}

/// What the run has made so far; `recent` picks by a small index.
struct Run {
    now: i64,
    epoch: u32,
    /// How long this epoch is.
    waited: i64,
    made: u32,
    challenges: Vec<String>,
    messages: Vec<QueueMessage>,
    fences: HashMap<String, u64>,
}

impl Run {
    fn new() -> Self {
        let (challenges, messages) = (Vec::new(), Vec::new());
        Self {
            now: T0,
            epoch: 0,
            waited: 0,
            made: 0,
            challenges,
            messages,
            fences: HashMap::new(),
        }
    }

    fn challenge(&self, index: u8) -> Option<String> {
        self.challenges.iter().rev().nth(index.into()).cloned()
    }

    fn message(&self, index: u8) -> Option<QueueMessage> {
        self.messages.iter().rev().nth(index.into()).cloned()
    }

    fn next(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{:04}", self.made)
    }

    /// What is old enough to be over is not asked for again: what a store still knows of it is its
    /// own business.
    fn wait(&mut self, milliseconds: i64) {
        self.now += milliseconds;
        self.waited += milliseconds;
        if self.waited > 50 * MINUTE {
            self.waited = 0;
            self.epoch += 1;
            self.challenges.clear();
            self.messages
                .retain(|message| message.challenge_id.is_none());
        }
    }

    fn caps(scopes: u8) -> Vec<Counted> {
        Scope::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| scopes & (1 << bit) != 0)
            .map(|(_, scope)| cap(scope, "k", 2, 5))
            .collect()
    }

    /// Half of the sends are watched; small budgets, so that every decision is met.
    fn watch(guard: u8) -> Option<Watch> {
        let policy = match guard {
            0 => Policy::Allow,
            1 => Policy::Block,
            2 => Policy::Observe,
            3..8 => Policy::Enforce,
            _ => return None,
        };
        Some(Watch {
            policy,
            ..super::guard::watch(&format!("n{}", guard % 2), &["k"])
        })
    }

    /// Prepares the operation once, so that both stores get the same.
    async fn step(&mut self, op: &Op, both: &[Stores; 2]) -> Result<(), TestCaseError> {
        let (now, epoch) = (self.now, self.epoch);
        let mut answers: Vec<String> = Vec::new();
        match op.clone() {
            Op::Create {
                key: k,
                body,
                scopes,
                guard,
            } => {
                let id = self.next("c");
                let new = NewChallenge {
                    idempotency: key(&format!("create {epoch} {k}"), if body { "b" } else { "x" }),
                    counted: Self::caps(scopes),
                    guard: Self::watch(guard),
                    message: message(&self.next("m"), Some(&id), now + 10 * MINUTE),
                    ..new_challenge(&id, now)
                };
                for stores in both {
                    let outcome = stores.challenges.create(new.clone()).await.unwrap();
                    answers.push(format!("{outcome:?}"));
                    if matches!(outcome, CreateOutcome::Created(..)) && answers.len() == 1 {
                        self.challenges.push(id.clone());
                        self.messages.push(new.message.clone());
                    }
                }
            }
            Op::Verify {
                challenge,
                right,
                request,
                bound,
                number,
            } => {
                let Some(id) = self.challenge(challenge) else {
                    return Ok(());
                };
                let attempt = Attempt {
                    binding: binding(if bound { "b" } else { "other" }),
                    proof: right.then(|| proof(&format!("n{number}"), "k")),
                    ..attempt(&id, right, &format!("r{request}"), now)
                };
                for stores in both {
                    let verdict = stores.challenges.verify(attempt.clone()).await.unwrap();
                    answers.push(format!("{verdict:?}"));
                }
            }
            Op::Resend {
                challenge,
                key: k,
                scopes,
                guard,
            } => {
                let Some(id) = self.challenge(challenge) else {
                    return Ok(());
                };
                let resend = Resend {
                    idempotency: key(&format!("resend {epoch} {id} {k}"), "b"),
                    counted: Self::caps(scopes),
                    guard: Self::watch(guard),
                    message: message(&self.next("m"), Some(&id), now + 10 * MINUTE),
                    ..resend(&id, 2, now)
                };
                for stores in both {
                    let outcome = stores.challenges.resend(resend.clone()).await.unwrap();
                    answers.push(format!("{outcome:?}"));
                    if answers.len() == 1 && answers[0].starts_with("Accepted") {
                        self.messages.push(resend.message.clone());
                    }
                }
            }
            Op::Seed { days, verified } => {
                let total = DayTotal {
                    place: "country:k".to_owned(),
                    day: day(now) - i64::from(days),
                    verified: verified.into(),
                };
                for stores in both {
                    let totals = std::slice::from_ref(&total);
                    stores.guard.seed(totals, days == 0, now).await.unwrap();
                    answers.push(format!("{:?}", stores.guard.is_seeded().await.unwrap()));
                }
            }
            Op::Cancel { challenge } => {
                let Some(id) = self.challenge(challenge) else {
                    return Ok(());
                };
                for stores in both {
                    stores
                        .challenges
                        .cancel(&id, &binding("b"), now)
                        .await
                        .unwrap();
                }
            }
            Op::Read { challenge } => {
                let Some(id) = self.challenge(challenge) else {
                    return Ok(());
                };
                for stores in both {
                    let view = stores
                        .challenges
                        .read(&id, &binding("b"), now)
                        .await
                        .unwrap();
                    answers.push(format!("{view:?}"));
                }
            }
            Op::Notice { key: k, body } => {
                let notice = message(&self.next("m"), None, now + 60 * MINUTE);
                let (k, body) = (format!("notice {k}"), if body { "b" } else { "x" });
                for stores in both {
                    let accepted = stores
                        .messages
                        .accept_notice(&k, body, &notice, now)
                        .await
                        .unwrap();
                    answers.push(format!("{accepted:?}"));
                }
                if answers[0] == "New" {
                    self.messages.push(notice);
                }
            }
            Op::Queued { message } => {
                let Some(message) = self.message(message) else {
                    return Ok(());
                };
                for stores in both {
                    stores.messages.queued(&message.message_id).await.unwrap();
                }
            }
            Op::Unconfirmed { limit } => {
                for stores in both {
                    let age = Duration::from_secs(5);
                    let due = stores.messages.unconfirmed(now, age, limit).await.unwrap();
                    answers.push(format!("{due:?}"));
                }
            }
            Op::Claim { message } => {
                let Some(message) = self.message(message) else {
                    return Ok(());
                };
                for stores in both {
                    let lease = Duration::from_secs(30);
                    let claim = stores.messages.claim(&message, lease, now).await.unwrap();
                    answers.push(format!("{claim:?}"));
                    if let Claim::Send { fence } | Claim::Doubt { fence, .. } = claim {
                        self.fences.insert(message.message_id.clone(), fence);
                    }
                }
            }
            Op::Settle {
                message,
                stale,
                what,
                carrier,
            } => {
                let Some(message) = self.message(message) else {
                    return Ok(());
                };
                let fence = self.fences.get(&message.message_id).copied().unwrap_or(1);
                let fence = if stale { fence - 1 } else { fence };
                let route = "a".to_owned();
                let settle = match what {
                    0 => Settle::Writing { route },
                    1 => Settle::Accepted {
                        route,
                        carrier_id: format!("id{carrier}"),
                    },
                    2 => Settle::Unknown { route },
                    3 => Settle::Failed {
                        reason: "refused".to_owned(),
                    },
                    _ => Settle::Released,
                };
                for stores in both {
                    let id = &message.message_id;
                    let recorded = stores
                        .messages
                        .settle(id, fence, settle.clone(), now)
                        .await
                        .unwrap();
                    answers.push(format!("{recorded:?}"));
                }
            }
            Op::Receipt { carrier, what } => {
                let state = match what {
                    0 => ReceiptState::Delivered,
                    1 => ReceiptState::Failed("absent".to_owned()),
                    _ => ReceiptState::Intermediate,
                };
                for stores in both {
                    let id = format!("id{carrier}");
                    stores
                        .messages
                        .receipt("a", &id, state.clone(), now)
                        .await
                        .unwrap();
                }
            }
            Op::Wait { milliseconds } => self.wait(milliseconds),
            Op::WaitLong => self.wait(65 * MINUTE),
        }
        prop_assert!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "{op:?}: {answers:#?}"
        );
        // Whatever was changed shows in every challenge's view.
        for id in &self.challenges {
            let [memory, redis] = both;
            let view = memory
                .challenges
                .read(id, &binding("b"), self.now)
                .await
                .unwrap();
            let other = redis
                .challenges
                .read(id, &binding("b"), self.now)
                .await
                .unwrap();
            prop_assert_eq!(view, other, "{:?}", op);
        }
        Ok(())
    }
}

#[test]
fn memory_and_redis_answer_alike() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(super::redis());
    let url = redis._redis.as_ref().unwrap().url.clone();
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&ops(), |ops| {
            runtime.block_on(async {
                let client = redis::Client::open(url.as_str()).unwrap();
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                redis::cmd("FLUSHDB")
                    .exec_async(&mut connection)
                    .await
                    .unwrap();
                let both = [super::memory().await, redis.clone()];
                let mut run = Run::new();
                for op in &ops {
                    run.step(op, &both).await?;
                }
                Ok(())
            })
        })
        .unwrap();
}
