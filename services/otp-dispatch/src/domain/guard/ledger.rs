//! What the guard has to know, kept in memory: of each place the codes that nobody verified and how
//! many somebody did, and of each number whether it is somebody's. Nothing here is a number: places
//! and numbers are known by the names that the caller gives them.

use std::collections::{BTreeMap, HashMap};

use super::{Decision, HISTORY_DAYS, Held, KNOWN_MS, Place, Proof, Verified, Watch};
use crate::domain::limits::{DAY_MS, HOUR_MS};

/// The last hour is known to a sixth.
const SLICE_MS: i64 = HOUR_MS / 6;
const SLICES: i64 = 6;
const HOURS: i64 = 24;

/// The state of the guard.
#[derive(Debug, Default)]
pub struct Ledger {
    places: HashMap<String, Kept>,
    /// When a code to the number was last right.
    numbers: HashMap<String, i64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Instant and message of each code that nobody verified.
    waiting: Vec<(i64, String)>,
    verified: Counters,
}

/// How many were verified, by number of slice, hour and day since 1970. At most 45 of them.
#[derive(Debug, Default)]
struct Counters {
    slices: BTreeMap<i64, u64>,
    hours: BTreeMap<i64, u64>,
    days: BTreeMap<i64, u64>,
}

/// The UTC day of an instant, since 1970.
pub fn day(instant: i64) -> i64 {
    instant.div_euclid(DAY_MS)
}

fn hour(instant: i64) -> i64 {
    instant.div_euclid(HOUR_MS)
}

fn slice(instant: i64) -> i64 {
    instant.div_euclid(SLICE_MS)
}

impl Counters {
    fn add(&mut self, now: i64) {
        *self.slices.entry(slice(now)).or_default() += 1;
        *self.hours.entry(hour(now)).or_default() += 1;
        *self.days.entry(day(now)).or_default() += 1;
        self.forget(now);
    }

    fn forget(&mut self, now: i64) {
        for (counts, first) in [
            (&mut self.slices, slice(now) - SLICES + 1),
            (&mut self.hours, hour(now) - HOURS + 1),
            (&mut self.days, day(now) - HISTORY_DAYS),
        ] {
            while let Some(oldest) = counts.first_entry()
                && *oldest.key() < first
            {
                oldest.remove();
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.hours.is_empty() && self.days.is_empty()
    }
}

/// The sum of what each key of the ring counted in one place.
fn verified(counters: &[&Counters], now: i64) -> Verified {
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    let mut sum = Verified::default();
    for kept in counters {
        let slices = kept.slices.range(slice(now) - SLICES + 1..);
        sum.last_hour += slices.map(|(_, count)| count).sum::<u64>();
        let hours = kept.hours.range(hour(now) - HOURS + 1..);
        sum.last_day += hours.map(|(_, count)| count).sum::<u64>();
        for (day, count) in kept.days.range(day(now) - HISTORY_DAYS..) {
            *days.entry(*day).or_default() += count;
        }
    }
    sum.best_day = days.into_values().max().unwrap_or_default();
    sum
}

impl Ledger {
    /// Decides a send; counts nothing.
    pub fn decide(&self, watch: &Watch, now: i64) -> Decision {
        let is_known = watch.number.iter().any(|number| {
            let right_at = self.numbers.get(number);
            right_at.is_some_and(|at| *at > now - KNOWN_MS)
        });
        watch.exempt(is_known, now).unwrap_or_else(|| {
            let held: Vec<Held> = watch.places.iter().map(|p| self.held(p, now)).collect();
            watch.weigh(&held, now)
        })
    }

    fn held(&self, place: &Place, now: i64) -> Held {
        let kept: Vec<&Kept> = place
            .names()
            .filter_map(|name| self.places.get(&name))
            .collect();
        let counters: Vec<&Counters> = kept.iter().map(|kept| &kept.verified).collect();
        Held {
            scope: place.scope,
            waiting: kept
                .iter()
                .flat_map(|kept| &kept.waiting)
                .map(|(at, _)| *at)
                .collect(),
            verified: verified(&counters, now),
        }
    }

    /// Counts a send under the current name of each of its places; answers with what to take off
    /// again when its code is verified.
    pub fn count(&mut self, watch: &Watch, message_id: &str, now: i64) -> Vec<(String, String)> {
        let mut refunds = Vec::new();
        for name in watch.places.iter().filter_map(|place| place.names().next()) {
            let waiting = &mut self.places.entry(name.clone()).or_default().waiting;
            waiting.retain(|(at, _)| *at > now - DAY_MS);
            waiting.push((now, message_id.to_owned()));
            refunds.push((name, message_id.to_owned()));
        }
        refunds
    }

    /// Takes a send off a place: its code was verified.
    pub fn take_off(&mut self, place: &str, message_id: &str) {
        if let Some(kept) = self.places.get_mut(place) {
            kept.waiting.retain(|(_, waiting)| waiting != message_id);
        }
    }

    /// Counts a right code.
    pub fn prove(&mut self, proof: &Proof, now: i64) {
        self.numbers.insert(proof.number.clone(), now);
        for place in &proof.places {
            let kept = self.places.entry(place.clone()).or_default();
            kept.verified.add(now);
        }
    }

    /// Raises a day's count to what is known from elsewhere.
    pub fn seed(&mut self, place: &str, day: i64, verified: u64) {
        let kept = self.places.entry(place.to_owned()).or_default();
        let count = kept.verified.days.entry(day).or_default();
        *count = verified.max(*count);
    }

    /// Forgets what no decision looks at any more.
    pub fn sweep(&mut self, now: i64) {
        self.numbers.retain(|_, at| *at > now - KNOWN_MS);
        self.places.retain(|_, kept| {
            kept.waiting.retain(|(at, _)| *at > now - DAY_MS);
            kept.verified.forget(now);
            !(kept.waiting.is_empty() && kept.verified.is_empty())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::guard::{Budget, Budgets, Outcome, Policy, Reason, Window};
    use crate::domain::limits::Scope;

    /// Midnight UTC.
    const T0: i64 = 20_400 * DAY_MS;
    const MINUTE: i64 = 60_000;

    fn watch(number: &str, keys: &[&str]) -> Watch {
        let budget = Budget {
            least: 2,
            percent: 100,
        };
        Watch {
            number: vec![number.to_owned()],
            places: vec![Place {
                scope: Scope::Prefix,
                keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            }],
            policy: Policy::Enforce,
            budgets: Budgets {
                hour: budget,
                day: budget,
            },
        }
    }

    fn proof(number: &str, key: &str) -> Proof {
        Proof {
            number: number.to_owned(),
            places: vec![format!("prefix:{key}")],
        }
    }

    /// Sends where the guard lets it.
    fn send(ledger: &mut Ledger, number: &str, now: i64) -> Decision {
        let watch = watch(number, &["k"]);
        let decision = ledger.decide(&watch, now);
        if decision.counts() {
            ledger.count(&watch, &format!("m{now}"), now);
        }
        decision
    }

    fn budget(ledger: &Ledger, window: Window, now: i64) -> u64 {
        let decision = ledger.decide(&watch("somebody", &["k"]), now);
        let found = decision.uses.iter().find(|used| used.window == window);
        found.map(|used| used.budget).unwrap_or_default()
    }

    #[test]
    fn codes_that_nobody_verifies_close_a_place_and_leave_it() {
        let mut ledger = Ledger::default();
        for at in [T0, T0 + 1] {
            assert_eq!(send(&mut ledger, "a", at).outcome, Outcome::Allowed);
        }
        // Until they are ripe, others pass.
        let ripe = T0 + 1 + 10 * MINUTE;
        assert_eq!(send(&mut ledger, "b", ripe - 1).outcome, Outcome::Allowed);
        let blocked = send(&mut ledger, "c", ripe);
        assert_eq!(
            (blocked.outcome, blocked.reason),
            (Outcome::Blocked, Reason::OverBudget)
        );
        // Two of the three must have left the day for one more.
        assert_eq!(blocked.retry_at, Some(T0 + 1 + DAY_MS));
        assert_eq!(
            send(&mut ledger, "c", T0 + DAY_MS).outcome,
            Outcome::Blocked
        );
        assert_eq!(
            send(&mut ledger, "c", T0 + 1 + DAY_MS).outcome,
            Outcome::Allowed
        );
    }

    #[test]
    fn a_verified_code_is_taken_off_and_makes_its_number_known_for_90_days() {
        let mut ledger = Ledger::default();
        let watched = watch("a", &["k"]);
        let mut refunds = ledger.count(&watched, "m1", T0);
        refunds.extend(ledger.count(&watched, "m2", T0));
        let ripe = T0 + 10 * MINUTE;
        assert_eq!(send(&mut ledger, "b", ripe).outcome, Outcome::Blocked);
        for (place, message_id) in refunds {
            ledger.take_off(&place, &message_id);
        }
        ledger.prove(&proof("a", "k"), ripe);
        assert_eq!(send(&mut ledger, "b", ripe).reason, Reason::WithinBudget);
        let ends = ripe + KNOWN_MS;
        for (at, reason) in [
            (ends - 1, Reason::NumberVerified),
            (ends, Reason::WithinBudget),
        ] {
            assert_eq!(ledger.decide(&watched, at).reason, reason);
        }
    }

    #[test]
    fn what_was_verified_raises_budgets_by_hour_day_and_best_day() {
        let mut ledger = Ledger::default();
        let noon = T0 + 12 * HOUR_MS;
        for _ in 0..60 {
            ledger.prove(&proof("a", "k"), noon);
        }
        assert_eq!(budget(&ledger, Window::Hour, noon), 60);
        assert_eq!(budget(&ledger, Window::Hour, noon + HOUR_MS - 1), 60);
        // A sixth of the best day from then on.
        assert_eq!(budget(&ledger, Window::Hour, noon + HOUR_MS), 10);
        for at in [noon, noon + DAY_MS, T0 + 15 * DAY_MS - 1] {
            assert_eq!(budget(&ledger, Window::Day, at), 60);
        }
        // The fifteenth day after looks back no longer.
        assert_eq!(budget(&ledger, Window::Day, T0 + 15 * DAY_MS), 2);
        assert_eq!(budget(&ledger, Window::Hour, T0 + 15 * DAY_MS), 2);
    }

    #[test]
    fn what_both_keys_of_a_ring_counted_counts_together() {
        let mut ledger = Ledger::default();
        ledger.count(&watch("a", &["old"]), "m1", T0);
        ledger.count(&watch("b", &["new", "old"]), "m2", T0);
        for key in ["old", "new"] {
            ledger.prove(&proof("x", key), T0);
        }
        let decision = ledger.decide(&watch("c", &["new", "old"]), T0 + 10 * MINUTE);
        let uses: Vec<_> = decision
            .uses
            .iter()
            .map(|u| (u.counted, u.budget))
            .collect();
        assert_eq!(uses, [(2, 2), (2, 2)]);
        ledger.prove(&proof("x", "new"), T0);
        let decision = ledger.decide(&watch("c", &["new", "old"]), T0 + 10 * MINUTE);
        let uses: Vec<_> = decision
            .uses
            .iter()
            .map(|u| (u.counted, u.budget))
            .collect();
        assert_eq!(uses, [(2, 3), (2, 3)]);
    }

    #[test]
    fn seeds_raise_and_never_lower() {
        let mut ledger = Ledger::default();
        ledger.seed("prefix:k", day(T0) - 3, 40);
        assert_eq!(budget(&ledger, Window::Day, T0), 40);
        ledger.seed("prefix:k", day(T0) - 3, 30);
        assert_eq!(budget(&ledger, Window::Day, T0), 40);
    }

    #[test]
    fn what_nobody_looks_at_is_forgotten() {
        let mut ledger = Ledger::default();
        ledger.count(&watch("a", &["k"]), "m1", T0);
        ledger.prove(&proof("a", "k"), T0);
        ledger.seed("prefix:other", day(T0) - HISTORY_DAYS - 1, 5);
        ledger.sweep(T0 + 1);
        assert_eq!((ledger.places.len(), ledger.numbers.len()), (1, 1));
        ledger.sweep(T0 + 15 * DAY_MS);
        assert_eq!((ledger.places.len(), ledger.numbers.len()), (0, 1));
        ledger.sweep(T0 + KNOWN_MS);
        assert_eq!(ledger.numbers.len(), 0);
        // However long a place is busy, it keeps as much.
        for tenth_minute in 0..40 * 24 * 6 {
            ledger.prove(&proof("a", "k"), T0 + tenth_minute * 10 * MINUTE);
        }
        let kept = &ledger.places["prefix:k"].verified;
        let most = SLICES + HOURS + HISTORY_DAYS + 1;
        assert!(kept.slices.len() + kept.hours.len() + kept.days.len() <= most as usize);
    }
}
