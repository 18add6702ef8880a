//! Hashing on threads of its own, so that sign-ins never slow other calls.
//!
//! The queue is bounded by the wait that it means: a job that would wait longer than the setting is
//! refused at once. The last part of that wait is kept for remembered browsers, so that a flood of
//! guesses does not keep known users out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sallyport_chassis::keyring::Keyring;
use sallyport_sql::StoreError;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::App;
use crate::config::PasswordSettings;
use crate::domain::hash::{self, Cost, Malformed, Memory};
use crate::domain::password::{self, Password, Weakness};
use crate::store::passwords::{self, NewHash};

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Anybody.
    Everybody,
    /// A browser that the user had remembered, or the holder of a session or link.
    Known,
}

/// Why no hash was made.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full.
    #[error("hashing is busy")]
    Busy,
    /// A stored hash is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    /// Threads at work.
    busy: usize,
    /// Of one job; moves slowly.
    average: Duration,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads. They end when the pool is dropped.
pub struct HashPool {
    shared: Arc<Shared>,
    threads: usize,
    longest: Duration,
    remembered_percent: u32,
    cost: Cost,
    /// A hash that no password makes, for e-mails that nobody has.
    nobody: String,
}

impl HashPool {
    /// Starts the threads and measures one hash.
    pub fn start(settings: &PasswordSettings) -> Result<Self> {
        let cost = Cost {
            memory_kib: settings.memory_kib,
            passes: settings.passes,
            lanes: settings.lanes,
        };
        let threads = match settings.hash_threads {
            0 => std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
            set => set,
        };
        let mut random = Zeroizing::new([0u8; 48]);
        getrandom::fill(random.as_mut()).map_err(|e| anyhow!("no random bytes: {e}"))?;
        let (mut secret, mut salt) = ([0u8; 32], [0u8; 16]);
        secret.copy_from_slice(&random[..32]);
        salt.copy_from_slice(&random[32..]);
        let started = Instant::now();
        let nobody = hash::hash(&mut Memory::default(), &secret, &salt, cost)
            .map_err(|_| anyhow!("identity.password: memory_kib, passes and lanes do not fit"))?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                busy: 0,
                average: started.elapsed(),
                closed: false,
            }),
            wake: Condvar::new(),
        });
        for number in 0..threads {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || work(&shared))
                .context("a hashing thread cannot be started")?;
        }
        Ok(Self {
            shared,
            threads,
            longest: settings.longest_queue,
            remembered_percent: settings.remembered_percent,
            cost,
            nobody,
        })
    }

    /// Runs a job on a hashing thread. A job whose caller has gone is not run.
    async fn run<T: Send + 'static>(
        &self,
        waiting: Waiting,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let (answer, answered) = oneshot::channel();
        let allowed = match waiting {
            Waiting::Known => self.longest,
            Waiting::Everybody => self.longest * (100 - self.remembered_percent) / 100,
        };
        {
            let mut queue = self.shared.lock();
            let wait = expected_wait(queue.jobs.len(), queue.busy, self.threads, queue.average);
            metrics::gauge!("password_hash_queue_seconds").set(wait.as_secs_f64());
            if wait > allowed {
                metrics::counter!("password_hash_refused_total").increment(1);
                return Err(HashError::Busy);
            }
            queue.jobs.push_back(Box::new(move |memory| {
                if !answer.is_closed() {
                    // The caller may leave at any time; then nobody wants the result.
                    let _ = answer.send(job(memory));
                }
            }));
        }
        self.shared.wake.notify_one();
        answered.await.map_err(|_| HashError::Busy)
    }
}

#[cfg(test)]
impl HashPool {
    /// What the only thread has computed since the last question.
    pub(super) async fn computed(&self) -> Vec<Cost> {
        self.run(Waiting::Known, |memory| {
            std::mem::take(&mut memory.computed)
        })
        .await
        .expect("a thread of its own")
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut memory = Memory::default();
    loop {
        let job = {
            let mut queue = shared.lock();
            loop {
                if queue.closed {
                    return;
                }
                if let Some(job) = queue.jobs.pop_front() {
                    queue.busy += 1;
                    break job;
                }
                queue = shared
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let started = Instant::now();
        // A job that panics drops its answer, which its caller sees; the thread goes on.
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut memory))).is_err();
        if panicked {
            memory = Memory::default();
            tracing::error!("a hashing job panicked");
        }
        let took = started.elapsed();
        metrics::histogram!("password_hash_seconds").record(took);
        let mut queue = shared.lock();
        queue.busy -= 1;
        queue.average = (queue.average * 7 + took) / 8;
    }
}

/// How long a job that comes now waits for a thread.
fn expected_wait(queued: usize, busy: usize, threads: usize, average: Duration) -> Duration {
    if queued + busy < threads {
        return Duration::ZERO;
    }
    let ahead = u32::try_from(queued + 1).unwrap_or(u32::MAX);
    let threads = u32::try_from(threads).unwrap_or(1).max(1);
    average.saturating_mul(ahead) / threads
}

/// What a typed password is worth.
pub enum Verdict {
    /// The right one; where its hash is cheaper or its pepper older than today's, with a new hash.
    Right(Option<NewHash>),
    /// Not the right one.
    Wrong,
    /// Nobody can tell: the key of the stored hash's pepper is not in the ring.
    PepperMissing,
    /// Nobody can tell: the stored hash is none of ours.
    Malformed,
}

/// Compares a typed password with the stored hash. Without a stored hash that can be read, without its
/// pepper's key, or with a text that cannot be a password, the same work is done, and the answer is
/// never `Right`.
/// The work is the same, too, where the stored hash is cheaper than today's.
pub async fn verify(
    app: &App,
    waiting: Waiting,
    typed: Option<Password>,
    stored: Option<&passwords::Model>,
) -> Result<Verdict, HashError> {
    let known = stored.is_some() && typed.is_some();
    let key = stored.map_or(app.pepper.current(), |stored| stored.pepper_key.as_str());
    let password = typed.as_ref().map_or(&b""[..], Password::as_bytes);
    let current = current_pepper(&app.pepper, password);
    let peppered = pepper(&app.pepper, key, password);
    let pepper_missing = peppered.is_none();
    if pepper_missing {
        metrics::counter!("password_pepper_missing_total").increment(1);
    }
    let peppered = peppered.unwrap_or_else(|| current.clone());
    let nobody = app.hashing.nobody.clone();
    let stored_hash = stored.map_or_else(|| nobody.clone(), |stored| stored.hash.clone());
    let cost = app.hashing.cost;
    let stands_alone = typed.as_ref().is_some_and(|typed| stands_alone(app, typed));
    let old_key = key != app.pepper.current();
    let pepper_key = app.pepper.current().to_owned();
    let judged = app
        .hashing
        .run(waiting, move |memory| {
            let Ok(matches) = hash::verify(memory, &peppered, &stored_hash) else {
                // Answered like an unknown e-mail, and as late: nothing was computed yet.
                hash::verify(memory, &current, &nobody)?;
                return Ok(Verdict::Malformed);
            };
            if !matches || !known || pepper_missing {
                hash::make_up(memory, &peppered, &stored_hash, cost)?;
                return Ok(if pepper_missing {
                    Verdict::PepperMissing
                } else {
                    Verdict::Wrong
                });
            }
            if !old_key && !hash::is_cheaper(&stored_hash, cost)? {
                return Ok(Verdict::Right(None));
            }
            let hash = hash::hash(memory, &current, &salt(), cost)?;
            Ok(Verdict::Right(Some(NewHash {
                hash,
                pepper_key,
                stands_alone,
            })))
        })
        .await?;
    if let (Ok(Verdict::Malformed), Some(stored)) = (&judged, stored) {
        tracing::error!(
            user = %stored.user_id,
            "a password cannot be compared: the stored hash is malformed"
        );
    }
    judged
        .map_err(|Malformed| HashError::Store(StoreError::Corrupt("the hash's cost does not fit")))
}

/// Judges a password that somebody chose and hashes it.
pub async fn make(
    app: &App,
    password: Password,
    minimum: usize,
    words: Vec<String>,
) -> Result<Result<NewHash, Weakness>, HashError> {
    let pepper_key = app.pepper.current().to_owned();
    let peppered = current_pepper(&app.pepper, password.as_bytes());
    let cost = app.hashing.cost;
    let stands_alone = stands_alone(app, &password);
    let made = app
        .hashing
        .run(Waiting::Known, move |memory| {
            if let Err(weakness) = password::judge(&password, minimum, &words) {
                return Ok(Err(weakness));
            }
            let hash = hash::hash(memory, &peppered, &salt(), cost)?;
            Ok(Ok(NewHash {
                hash,
                pepper_key,
                stands_alone,
            }))
        })
        .await?;
    made.map_err(|Malformed| HashError::Store(StoreError::Corrupt("the hash's cost does not fit")))
}

fn stands_alone(app: &App, password: &Password) -> bool {
    password.code_points() >= app.settings.password.minimum_alone
}

fn pepper(ring: &Keyring, key_id: &str, password: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    ring.mac(key_id, &[b"password", password])
        .map(Zeroizing::new)
}

fn current_pepper(ring: &Keyring, password: &[u8]) -> Zeroizing<[u8; 32]> {
    pepper(ring, ring.current(), password).expect("a ring holds its current key")
}

fn salt() -> [u8; 16] {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    salt
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn pool(longest_ms: u64, threads: usize) -> HashPool {
        HashPool::start(&PasswordSettings {
            minimum_alone: 15,
            minimum_with_second_factor: 8,
            memory_kib: 19 * 1024,
            passes: 2,
            lanes: 1,
            hash_threads: threads,
            longest_queue: Duration::from_millis(longest_ms),
            remembered_percent: 25,
            fresh: Duration::from_secs(300),
        })
        .unwrap()
    }

    #[test]
    fn the_wait_is_what_stands_before_a_job_shared_by_the_threads() {
        let average = Duration::from_millis(40);
        assert_eq!(expected_wait(0, 0, 1, average), Duration::ZERO);
        assert_eq!(expected_wait(0, 1, 2, average), Duration::ZERO);
        assert_eq!(expected_wait(0, 1, 1, average), average);
        assert_eq!(expected_wait(3, 2, 2, average), average * 2);
        // 500 ms over one thread of 40 ms: the twelfth in the queue is the last that is let in.
        assert!(expected_wait(11, 1, 1, average) <= Duration::from_millis(500));
        assert!(expected_wait(12, 1, 1, average) > Duration::from_millis(500));
    }

    /// Occupies the pool's only thread until the sender is dropped.
    async fn occupy(pool: &Arc<HashPool>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let pool = pool.clone();
        let holder = tokio::spawn(async move {
            pool.run(Waiting::Known, move |_| {
                let _ = started.send(());
                let _ = held.recv();
            })
            .await
            .unwrap();
        });
        has_started.await.unwrap();
        (release, holder)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_everybody_before_it_refuses_the_known() {
        let pool = Arc::new(pool(1000, 1));
        let (release, holder) = occupy(&pool).await;
        // Jobs of 800 ms: one more would wait 800 ms, over three quarters of a second.
        pool.shared.lock().average = Duration::from_millis(800);
        assert!(matches!(
            pool.run(Waiting::Everybody, |_| ()).await,
            Err(HashError::Busy)
        ));
        let known = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(Waiting::Known, |_| 7).await }
        });
        while pool.shared.lock().jobs.is_empty() {
            tokio::task::yield_now().await;
        }
        // Two ahead: 1600 ms, too long for the known as well.
        assert!(matches!(
            pool.run(Waiting::Known, |_| ()).await,
            Err(HashError::Busy)
        ));
        drop(release);
        assert_eq!(known.await.unwrap().unwrap(), 7);
        holder.await.unwrap();
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_is_not_run() {
        let pool = Arc::new(pool(60_000, 1));
        let (release, holder) = occupy(&pool).await;
        let (ran, has_run) = mpsc::channel();
        let left = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(Waiting::Known, move |_| ran.send(())).await }
        });
        while pool.shared.lock().jobs.is_empty() {
            tokio::task::yield_now().await;
        }
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(release);
        holder.await.unwrap();
        pool.run(Waiting::Known, |_| ()).await.unwrap();
        assert!(has_run.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_thread_outlives_a_job_that_panics() {
        let pool = pool(60_000, 1);
        let outcome = pool.run(Waiting::Known, |_| panic!("on purpose")).await;
        assert!(matches!(outcome, Err(HashError::Busy)));
        assert_eq!(pool.run(Waiting::Known, |_| 1).await.unwrap(), 1);
    }
}
