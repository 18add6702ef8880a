//! argon2id in a loop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::bench::load::Times;

/// Memory of a hash, KiB, and passes over it: the least that the product accepts, and its default.
pub const MEMORY_KIB: u32 = 19 * 1024;
/// See [`MEMORY_KIB`].
pub const PASSES: u32 = 2;

/// Hashes per second of so many threads, each of which keeps its memory from one hash to the next.
pub async fn rate(threads: usize, times: Times) -> Result<f64> {
    let shared = Arc::new(Shared::default());
    let hashing: Vec<_> = (0..threads)
        .map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.hash_until_over())
        })
        .collect();
    tokio::time::sleep(times.warm_up).await;
    let (before, started) = (shared.done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(times.measured).await;
    let (after, elapsed) = (shared.done.load(Ordering::Relaxed), started.elapsed());
    shared.over.store(true, Ordering::Relaxed);
    for thread in hashing {
        thread
            .join()
            .map_err(|_| anyhow!("a hashing thread panicked"))?;
    }
    match shared
        .error
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    {
        Some(error) => Err(error),
        None => Ok((after - before) as f64 / elapsed.as_secs_f64()),
    }
}

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    over: AtomicBool,
    error: Mutex<Option<anyhow::Error>>,
}

impl Shared {
    fn hash_until_over(&self) {
        if let Err(error) = self.hash() {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    fn hash(&self) -> Result<()> {
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32))
            .map_err(|error| anyhow!("argon2: {error}"))?;
        let mut memory = vec![Block::new(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut output = [0u8; 32];
        while !self.over.load(Ordering::Relaxed) {
            argon2
                .hash_password_into_with_memory(
                    b"32 bytes, as after the pepper...",
                    b"a salt of 16 b..",
                    &mut output,
                    &mut memory,
                )
                .map_err(|error| anyhow!("argon2: {error}"))
                .context("hashing")?;
            std::hint::black_box(&output);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
