//! Fuzz targets, run as ordinary tests and under another engine.
//!
//! A **target** is a function `fn(&[u8])` that panics where a promise is broken: it reads the octets
//! as the product would read them from outside, and checks what comes of them. Every package keeps
//! its own in `src/fuzz.rs`, compiled for tests and under `--cfg fuzzing` alone. Two engines drive
//! the same functions over the same folder `corpus/TARGET/`:
//!
//! * [`check`], in the tests: the corpus as it is, then so many bent copies of it, always the same
//!   ones. It is bounded by cases and needs nothing.
//! * libFuzzer, by `make fuzz`: guided by coverage, for so many seconds a target
//!   (`tests/src/bin/fuzzer.rs`).
//!
//! An input that broke a target goes into its corpus, where both engines try it first from then on.
//!
//! [`Bender`] bends whatever a test sends: the front doors are fuzzed with it (`tests/fuzz`).

mod bender;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use bender::Bender;

/// Cases of a test without another budget.
const CASES: u32 = 10_000;
/// The octets of the longest input.
const LONGEST: usize = 4096;

/// When a run has done enough.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// After so many cases, which are the same ones each time.
    Cases(u32),
    /// After so long.
    Time(Duration),
}

impl Budget {
    /// So many cases; or as long as `FUZZ_SECONDS` in the environment says, which is how
    /// `make fuzz` runs a test on.
    pub fn cases(cases: u32) -> Self {
        match variable("FUZZ_SECONDS") {
            Some(seconds) => Self::Time(Duration::from_secs(seconds)),
            None => Self::Cases(cases),
        }
    }

    /// The numbers of the cases, until enough is done.
    pub fn run(self) -> impl Iterator<Item = u32> {
        let started = Instant::now();
        (0..u32::MAX).take_while(move |case| match self {
            Self::Cases(cases) => *case < cases,
            Self::Time(time) => started.elapsed() < time,
        })
    }
}

/// The seed of a run: `FUZZ_SEED` in the environment, else always the same.
pub fn seed() -> u64 {
    variable("FUZZ_SEED").unwrap_or(1)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let Ok(number) = text.parse() else {
        panic!("{name} is {text:?}, not a number");
    };
    Some(number)
}

/// Runs a target over its corpus, then over bent copies of it.
///
/// # Panics
/// Where the target does; what it was given is printed as a line of shell that makes a file of it.
/// Also where the target has no corpus.
pub fn check(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    for input in &corpus {
        run(name, target, input);
    }
    let mut bender = Bender::new(seed());
    for _ in Budget::cases(CASES).run() {
        let mut input = bender.pick(&corpus).clone();
        bender.bend(&mut input, &corpus);
        input.truncate(LONGEST);
        run(name, target, &input);
    }
}

/// The inputs that a target is known by, in the order of their names.
///
/// # Panics
/// Where there are none.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = folder().join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    // Nothing of the target's outlives a panic: it is only told, and goes on.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let octets: String = input
            .iter()
            .map(|octet| format!("\\x{octet:02x}"))
            .collect();
        eprintln!(
            "target {name} is broken by:\n  printf '{octets}' > crates/fuzz/corpus/{name}/NAME"
        );
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Breaks on what stands in no corpus, and can only be found by bending.
    fn fragile(input: &[u8]) {
        assert!(!input.windows(3).any(|three| three == b"+33"), "found");
    }

    #[test]
    fn what_stands_in_no_corpus_is_found_by_bending_and_always_the_same() {
        let found = |seed| {
            let mut bender = Bender::new(seed);
            let corpus = [b"0612345678".to_vec()];
            (0..CASES).find_map(|_| {
                let mut input = corpus[0].clone();
                bender.bend(&mut input, &corpus);
                catch_unwind(|| fragile(&input)).is_err().then_some(input)
            })
        };
        assert!(found(1).is_some());
        assert_eq!(found(1), found(1));
        assert_ne!(found(1), found(2));
    }

    #[test]
    fn bent_inputs_are_many_and_none_grows_without_end() {
        let corpus = [b"a".to_vec(), b"bc".to_vec()];
        let mut bender = Bender::new(1);
        let mut inputs = BTreeSet::new();
        let mut input = corpus[0].clone();
        for _ in 0..1_000 {
            bender.bend(&mut input, &corpus);
            assert!(input.len() <= bender::LONGEST, "{}", input.len());
            inputs.insert(input.clone());
        }
        assert!(inputs.len() > 900, "{}", inputs.len());
    }
}
