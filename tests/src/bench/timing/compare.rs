//! Two samples of times, compared without supposing how they are distributed.
//!
//! - The difference of the medians, with the percentile interval of the bootstrap (Efron and Tibshirani,
//!   An Introduction to the Bootstrap, 1993, chapter 13).
//! - How often a time of the first sample is longer than one of the second, and the Mann–Whitney test of
//!   whether that is a half, by its normal approximation with the correction for ties (Lehmann,
//!   Nonparametrics, 1975, section 1.4).

use serde::Serialize;

/// Samples that are drawn from a sample.
const RESAMPLES: usize = 2_000;

/// What one sample is beside another.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Comparison {
    /// Median of the first less median of the second.
    pub difference_ms: f64,
    /// The interval of 95 % around it begins here.
    pub low_ms: f64,
    /// And ends here.
    pub high_ms: f64,
    /// In which part of all pairs the first takes longer; a half where nothing tells them apart.
    pub slower: f64,
    /// How probable a part as far from a half would be if nothing did.
    pub p: f64,
}

impl Comparison {
    /// Of two samples, neither of them empty.
    pub fn of(first: &[f64], second: &[f64], random: &mut Random) -> Self {
        let difference =
            |first: &[f64], second: &[f64]| quantile(first, 0.5) - quantile(second, 0.5);
        let drawn: Vec<f64> = (0..RESAMPLES)
            .map(|_| difference(&random.resample(first), &random.resample(second)))
            .collect();
        let (slower, p) = mann_whitney(first, second);
        Self {
            difference_ms: difference(first, second),
            low_ms: quantile(&drawn, 0.025),
            high_ms: quantile(&drawn, 0.975),
            slower,
            p,
        }
    }
}

/// The value that this share of the sample does not exceed, by the nearest rank; not a number where the
/// sample is empty.
pub fn quantile(sample: &[f64], share: f64) -> f64 {
    if sample.is_empty() {
        return f64::NAN;
    }
    let mut sample = sample.to_vec();
    let rank = ((share * sample.len() as f64).ceil() as usize).clamp(1, sample.len());
    let (_, value, _) = sample.select_nth_unstable_by(rank - 1, f64::total_cmp);
    *value
}

/// The part of pairs in which the first is longer (ties are halves), and the two-sided probability.
fn mann_whitney(first: &[f64], second: &[f64]) -> (f64, f64) {
    let (m, n) = (first.len() as f64, second.len() as f64);
    let mut all: Vec<(f64, bool)> = first.iter().map(|value| (*value, true)).collect();
    all.extend(second.iter().map(|value| (*value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Equal values share the mean of their ranks.
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let count = equal.len() as f64;
        let of_first = equal.iter().filter(|(_, is_first)| *is_first).count() as f64;
        ranks += of_first * (before + (count + 1.0) / 2.0);
        ties += count * (count * count - 1.0);
        before += count;
    }
    let u = ranks - m * (m + 1.0) / 2.0;
    let all = m + n;
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    let distance = (u - m * n / 2.0).abs();
    let p = if variance > 0.0 {
        two_sided((distance - 0.5).max(0.0) / variance.sqrt())
    } else {
        1.0
    };
    (u / (m * n), p)
}

/// How probable it is that a normal variable is at least so many deviations off, to seven digits
/// (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn two_sided(deviations: f64) -> f64 {
    let x = deviations / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ]
    .into_iter()
    .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    polynomial * (-x * x).exp()
}

/// SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014). Always from
/// the same seed: a report is not made otherwise by chance.
pub struct Random(u64);

impl Random {
    /// From the seed.
    pub fn new() -> Self {
        Self(0x5a11_7047)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another one. What the remainder favours is one part in 2⁵⁰ here.
    fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    /// Puts the items into an order that is drawn (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    fn resample(&mut self, sample: &[f64]) -> Vec<f64> {
        (0..sample.len())
            .map(|_| sample[self.below(sample.len())])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64, within: f64) {
        assert!(
            (value - expected).abs() <= within,
            "{value}, not {expected}"
        );
    }

    #[test]
    fn the_tails_of_the_normal_distribution_are_those_of_the_tables() {
        for (deviations, p) in [
            (0.0, 1.0),
            (1.0, 0.317_310_5),
            (1.96, 0.049_996),
            (3.0, 0.002_699_8),
        ] {
            close(two_sided(deviations), p, 1e-6);
        }
    }

    #[test]
    fn mann_whitney_counts_pairs_and_halves_ties() {
        // Of nine pairs, eight are longer in the first and one is a tie.
        let (slower, _) = mann_whitney(&[3.0, 4.0, 5.0], &[1.0, 2.0, 3.0]);
        close(slower, 8.5 / 9.0, 1e-12);
        // U = 0 of 5 and 5: z = (12.5 − 0.5) ÷ √(25 × 11 ÷ 12).
        let (slower, p) = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        close(slower, 0.0, 0.0);
        close(p, 0.012_186, 1e-5);
        assert_eq!(mann_whitney(&[1.0, 1.0], &[1.0, 1.0]), (0.5, 1.0));
    }

    #[test]
    fn a_difference_is_found_and_none_is_not_invented() {
        let mut random = Random::new();
        let mut sample = |shift: f64| -> Vec<f64> {
            (0..400)
                .map(|_| 15.0 + shift + random.below(1_000) as f64 / 500.0)
                .collect()
        };
        let (base, same, later) = (sample(0.0), sample(0.0), sample(0.5));
        let mut random = Random::new();
        let none = Comparison::of(&same, &base, &mut random);
        assert!(none.low_ms < 0.1 && none.high_ms > -0.1, "{none:?}");
        assert!((none.slower - 0.5).abs() < 0.1, "{none:?}");
        let some = Comparison::of(&later, &base, &mut random);
        assert!(some.low_ms > 0.2 && some.high_ms < 0.8, "{some:?}");
        assert!(some.slower > 0.6 && some.p < 1e-6, "{some:?}");
    }

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sample = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(quantile(&sample, 0.5), 3.0);
        assert_eq!(quantile(&sample, 0.0), 1.0);
        assert_eq!(quantile(&sample, 1.0), 5.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
