//! What several rounds say together.

/// The middle of the samples, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    /// The median.
    pub(super) median: f64,
    /// The least sample.
    pub(super) least: f64,
    /// The greatest sample.
    pub(super) most: f64,
}

impl Figure {
    /// None of no samples.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self {
            median: f64::midpoint(lower, upper),
            least,
            most,
        })
    }
}

/// Each sample less what the same round gave for the baseline.
pub(super) fn less(samples: &[f64], baseline: &[f64]) -> Vec<f64> {
    samples
        .iter()
        .zip(baseline)
        .map(|(sample, base)| sample - base)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        let figure = Figure::of(&[9.0, 1.0, 4.0]).unwrap();
        assert_eq!((figure.least, figure.median, figure.most), (1.0, 4.0, 9.0));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let figure = Figure::of(&[4.0, 1.0, 100.0, 2.0]).unwrap();
        assert_eq!((figure.least, figure.median), (1.0, 3.0));
    }

    #[test]
    fn one_outlier_moves_the_spread_and_not_the_median() {
        let calm = Figure::of(&[5.0, 5.0, 5.0, 5.0, 5.0]).unwrap();
        let noisy = Figure::of(&[5.0, 5.0, 5.0, 5.0, 900.0]).unwrap();
        assert_eq!((calm.median, calm.most), (noisy.median, 5.0));
        assert_eq!((noisy.least, noisy.most), (5.0, 900.0));
    }

    #[test]
    fn no_samples_are_no_figure() {
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn a_baseline_is_taken_off_round_by_round() {
        assert_eq!(less(&[30.0, 50.0], &[20.0, 25.0]), [10.0, 25.0]);
    }
}
