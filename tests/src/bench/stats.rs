//! The few statistics that a report needs.

use serde::Serialize;

/// One figure over several runs. The median says how it is; minimum and maximum say how much to
/// believe it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The middle of the runs; of an even number, the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Figure {
    /// The figure of some runs, in any order; `None` without runs, or where one is no number.
    pub fn of(runs: &[f64]) -> Option<Self> {
        if runs.iter().any(|run| !run.is_finite()) {
            return None;
        }
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

/// The value that `share` (0 to 1) of the samples do not exceed, by the nearest-rank method: always
/// one of the samples. They must be sorted. `None` without samples.
pub fn quantile(sorted: &[u32], share: f64) -> Option<u32> {
    debug_assert!(sorted.is_sorted());
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_ends_of_its_runs() {
        let odd = Figure::of(&[3.0, 1.0, 9.0]).unwrap();
        assert_eq!(
            odd,
            Figure {
                median: 3.0,
                min: 1.0,
                max: 9.0
            }
        );
        let even = Figure::of(&[4.0, 1.0, 2.0, 9.0]).unwrap();
        assert_eq!(
            even,
            Figure {
                median: 3.0,
                min: 1.0,
                max: 9.0
            }
        );
        assert_eq!(
            Figure::of(&[5.0]).unwrap(),
            Figure {
                median: 5.0,
                min: 5.0,
                max: 5.0
            }
        );
    }

    #[test]
    fn no_runs_and_a_run_that_is_no_number_are_no_figure() {
        assert_eq!(Figure::of(&[]), None);
        assert_eq!(Figure::of(&[1.0, f64::NAN]), None);
        assert_eq!(Figure::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn quantiles_are_samples_of_the_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&hundred, 0.5), Some(50));
        assert_eq!(quantile(&hundred, 0.99), Some(99));
        assert_eq!(quantile(&hundred, 1.0), Some(100));
        assert_eq!(quantile(&hundred, 0.0), Some(1));
        assert_eq!(quantile(&[7], 0.99), Some(7));
        assert_eq!(quantile(&[1, 2, 3], 0.99), Some(3));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
