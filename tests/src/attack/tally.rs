//! Guesses, made by many at once, and what was answered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sallyport_chassis::Refusal;
use tokio::task::JoinSet;
use tonic::Status;

use super::report::ACCEPTED;
use crate::bench::load::{self, Ask};

/// How many codes there are.
const CODES: u64 = 1_000_000;

/// Answers to an attempt that was counted against the user and judged.
pub const JUDGED: [&str; 5] = [
    "code.wrong",
    "code.expired",
    "code.used",
    "code.ended",
    "code.none",
];

/// The reason of a refusal; of trouble, the code.
pub fn word(status: &Status) -> String {
    match Refusal::from_status(status) {
        Some(refusal) => refusal.reason,
        None => format!("{:?}", status.code()),
    }
}

/// Six digits after six digits, in an order that hits every code once in a million guesses; but never
/// one that an SMS holds. What luck finds is the odds of six digits and no hole, so it is left out:
/// whatever is accepted was accepted without the SMS.
#[derive(Debug)]
pub struct Guesses {
    right: Vec<String>,
}

impl Guesses {
    /// Guesses that miss these codes.
    pub fn that_miss(right: impl IntoIterator<Item = String>) -> Self {
        Self {
            right: right.into_iter().collect(),
        }
    }

    /// One of them.
    pub fn nth(&self, number: u64) -> String {
        let spread = |number: u64| (number % CODES * 618_033 + 271_828) % CODES;
        let mut guess = spread(number);
        loop {
            let code = format!("{guess:06}");
            if !self.right.contains(&code) {
                return code;
            }
            guess = (guess + 1) % CODES;
        }
    }
}

/// What was answered while many guessed, and how often each target let itself be guessed at.
#[derive(Debug)]
pub struct Tally {
    answers: Mutex<BTreeMap<String, u64>>,
    judged: Vec<AtomicU64>,
}

impl Tally {
    /// Nothing yet, of so many targets.
    pub fn of(targets: usize) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            judged: (0..targets).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Counts an answer.
    pub fn note(&self, answer: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get_mut(answer) {
            Some(count) => *count += 1,
            None => {
                answers.insert(answer.to_owned(), 1);
            }
        }
    }

    /// Counts the answer to a guess at a target's code; gives its word.
    pub fn judge<T>(&self, target: usize, answer: &Result<T, Status>) -> String {
        let word = match answer {
            Ok(_) => ACCEPTED.to_owned(),
            Err(status) => word(status),
        };
        self.note(&word);
        if JUDGED.contains(&word.as_str()) {
            self.count(target);
        }
        word
    }

    /// Counts a guess that this target let itself be guessed at.
    pub fn count(&self, target: usize) {
        self.judged[target].fetch_add(1, Ordering::Relaxed);
    }

    /// Guesses that each target let itself be guessed at.
    pub fn judged(&self) -> impl Iterator<Item = u64> {
        self.judged
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// The answers so far.
    pub fn answers(&self) -> BTreeMap<String, u64> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often this was answered.
    pub fn answered(&self, answer: &str) -> u64 {
        self.answers().get(answer).copied().unwrap_or_default()
    }

    /// How often nothing was refused.
    pub fn accepted(&self) -> u64 {
        self.answered(ACCEPTED)
    }
}

/// One of the callers of a volley.
struct Caller<F> {
    next: Arc<AtomicU64>,
    guess: F,
}

impl<F, W> Ask for Caller<F>
where
    F: Fn(u64) -> W + Send + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    async fn ask(&mut self) -> Result<()> {
        let guess = (self.guess)(self.next.fetch_add(1, Ordering::Relaxed));
        guess.await
    }
}

/// Makes the guesses of these numbers by so many callers.
pub async fn volley<W>(
    numbers: Range<u64>,
    callers: usize,
    guess: impl Fn(u64) -> W + Clone + Send + 'static,
) -> Result<()>
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(numbers.start));
    let callers = (0..callers)
        .map(|_| Caller {
            next: Arc::clone(&next),
            guess: guess.clone(),
        })
        .collect();
    load::so_often(numbers.end - numbers.start, callers).await
}

/// Makes the guesses of these numbers all at once.
pub async fn at_once<W>(numbers: Range<u64>, guess: impl Fn(u64) -> W) -> Result<()>
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in numbers {
        tasks.spawn(guess(number));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tonic::Code;

    use super::*;

    #[test]
    fn a_million_guesses_are_every_code_once() {
        let guesses = Guesses::that_miss([]);
        let mut seen = vec![false; CODES as usize];
        for number in 0..CODES {
            let code: usize = guesses.nth(number).parse().unwrap();
            assert!(!seen[code], "{code:06} twice");
            seen[code] = true;
        }
        assert_eq!(guesses.nth(CODES), guesses.nth(0));
    }

    #[test]
    fn no_guess_is_a_code_that_an_sms_holds() {
        let all = Guesses::that_miss([]);
        let right: Vec<String> = (0..50).map(|number| all.nth(number)).collect();
        let guesses = Guesses::that_miss(right.clone());
        for number in 0..1_000 {
            let guess = guesses.nth(number);
            assert!(guess.len() == 6 && !right.contains(&guess), "{guess}");
        }
        // Also where codes are neighbours, and at the end of the range.
        let guesses = Guesses::that_miss(["271828", "271829"].map(str::to_owned));
        assert_eq!(guesses.nth(0), "271830");
    }

    #[test]
    fn only_judged_answers_count_against_a_budget() {
        let tally = Tally::of(2);
        let refused = |reason: &str| Err::<(), Status>(Refusal::new(Code::NotFound, reason).into());
        tally.judge(0, &refused("code.wrong"));
        tally.judge(0, &refused("code.ended"));
        tally.judge(1, &refused("second_factor.locked"));
        tally.judge(1, &Err::<(), _>(Status::unavailable("")));
        tally.judge(1, &Ok(()));
        assert_eq!(tally.judged().collect::<Vec<_>>(), [2, 0]);
        assert_eq!(tally.accepted(), 1);
        assert_eq!(tally.answered("Unavailable"), 1);
        assert_eq!(tally.answers().values().sum::<u64>(), 5);
    }

    #[tokio::test]
    async fn a_volley_makes_each_guess_once() {
        let made = Arc::new(Mutex::new(BTreeSet::new()));
        let guess = {
            let made = Arc::clone(&made);
            move |number: u64| {
                let made = Arc::clone(&made);
                async move {
                    tokio::task::yield_now().await;
                    assert!(made.lock().unwrap().insert(number));
                    Ok(())
                }
            }
        };
        volley(10..110, 7, guess.clone()).await.unwrap();
        at_once(110..120, guess).await.unwrap();
        let made = made.lock().unwrap();
        assert_eq!(made.len(), 110);
        assert_eq!((made.first(), made.last()), (Some(&10), Some(&119)));
    }
}
