//! What is known beforehand of a generated source, for who knows how it was drawn.

use std::sync::Arc;

/// How long a source goes on sending, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lasts {
    /// Exactly so long.
    For(u32),
    /// Pareto, rounded.
    Pareto { least: f64, exponent: f64 },
    /// Log-normal, clamped and rounded.
    LogNormal {
        median: f64,
        sigma: f64,
        least: f64,
        most: f64,
    },
}

impl Lasts {
    /// The probability that it lasts for more than so many seconds.
    pub(super) fn beyond(self, seconds: u32) -> f64 {
        // What is rounded is more than n from n + 1/2 on.
        let at = f64::from(seconds) + 0.5;
        match self {
            Self::For(length) => f64::from(u8::from(length > seconds)),
            Self::Pareto { least, exponent } => (least / at).powf(exponent).min(1.0),
            Self::LogNormal { least, .. } if at <= least => 1.0,
            Self::LogNormal { most, .. } if at > most => 0.0,
            Self::LogNormal { median, sigma, .. } => above((at / median).ln() / sigma),
        }
    }

    /// The probability that what has lasted for more than `age` seconds lasts for more
    /// than `age` and `more`.
    pub(super) fn goes_on(self, age: u32, more: u32) -> f64 {
        let so_far = self.beyond(age);
        if so_far > 0.0 {
            self.beyond(age + more) / so_far
        } else {
            0.0
        }
    }
}

/// How long a source is quiet before it sends again: so many seconds, and 0, 1 or 2 more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pause {
    pub(super) least: u32,
    /// How likely it is to be none, one or two more.
    pub(super) more: [f64; 3],
}

impl Pause {
    /// The probability that a pause that has lasted for `age` seconds lasts for no more
    /// than `until`.
    pub(super) fn is_over(&self, age: u32, until: u32) -> f64 {
        let lengths = || (self.least..).zip(self.more);
        let left: f64 = lengths().filter(|it| it.0 >= age).map(|it| it.1).sum();
        let over = lengths().filter(|it| it.0 >= age && it.0 <= until);
        if left > 0.0 {
            over.map(|it| it.1).sum::<f64>() / left
        } else {
            1.0
        }
    }
}

/// What is known of a source's rate.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    /// The rate itself, and in each second whether it sent in the one before: more than
    /// its packets tell.
    Told,
    /// What it is drawn from. The rest has to be learnt from its packets.
    Drawn(Arc<Rates>),
}

/// The distribution that rates are drawn from, as so many that are close together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rates {
    /// Packets/s, and how likely.
    pub(super) cells: Vec<(f64, f64)>,
}

impl Rates {
    /// Pareto of exponent 1, cut off at `most`: those above have that very rate.
    pub(super) fn pareto(least: f64, most: f64, cells: u32) -> Self {
        let edge = |n: u32| least * (most / least).powf(f64::from(n) / f64::from(cells));
        let mut all: Vec<(f64, f64)> = (0..cells)
            .map(|n| {
                let (from, to) = (edge(n), edge(n + 1));
                let weight = least / from - least / to;
                // The mean within the cell.
                (least * (to / from).ln() / weight, weight)
            })
            .collect();
        all.push((most, least / most));
        Self { cells: all }
    }

    pub(super) fn mean(&self) -> f64 {
        self.cells.iter().map(|(rate, weight)| rate * weight).sum()
    }
}

/// How a source was drawn.
#[derive(Debug, Clone)]
pub(super) struct Law {
    /// How long it sends at a time.
    pub(super) lasts: Lasts,
    /// By how many seconds that began before the source did.
    pub(super) head_start: u32,
    /// How long it is quiet in between; `None` if it sends but once.
    pub(super) pause: Option<Pause>,
    pub(super) pace: Pace,
}

/// The probability of a standard normal above this (Abramowitz and Stegun, 7.1.26;
/// off by 1e-7 at the most).
fn above(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 0.327_591_1_f64.mul_add(x, 1.0).recip();
    let terms = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let sum = terms
        .iter()
        .fold(0.0, |sum: f64, term| sum.mul_add(t, *term));
    let tail = 0.5 * sum * t * (-x * x).exp();
    if z < 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::simulate::random::{log_normal, pareto, whole};

    fn part(draws: u32, mut holds: impl FnMut() -> bool) -> f64 {
        let count = (0..draws).filter(|_| holds()).count();
        f64::from(u32::try_from(count).unwrap()) / f64::from(draws)
    }

    #[test]
    fn what_is_drawn_lasts_as_long_as_the_law_says() {
        let mut rng = Rng::with_seed(1);
        let heavy = Lasts::Pareto {
            least: 60.0,
            exponent: 1.2,
        };
        let flood = Lasts::LogNormal {
            median: 462.0,
            sigma: 1.84,
            least: 30.0,
            most: 7_200.0,
        };
        for seconds in [29, 30, 60, 61, 200, 3_000, 7_199, 7_200] {
            let found = part(100_000, || whole(pareto(&mut rng, 60.0, 1.2)) > seconds);
            assert!((found - heavy.beyond(seconds)).abs() < 0.006, "{seconds}");
            let found = part(100_000, || {
                whole(log_normal(&mut rng, 462.0, 1.84).clamp(30.0, 7_200.0)) > seconds
            });
            assert!((found - flood.beyond(seconds)).abs() < 0.006, "{seconds}");
        }
        assert!((heavy.goes_on(100, 50) - heavy.beyond(150) / heavy.beyond(100)).abs() < 1e-12);
        assert!(Lasts::For(90).goes_on(88, 1) > 0.5 && Lasts::For(90).goes_on(89, 1) < 0.5);
    }

    #[test]
    fn a_pause_is_over_when_its_law_says() {
        let pause = Pause {
            least: 60,
            more: [0.25, 0.5, 0.25],
        };
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-12;
        assert!(near(pause.is_over(10, 59), 0.0));
        assert!(near(pause.is_over(10, 60), 0.25));
        assert!(near(pause.is_over(61, 61), 2.0 / 3.0));
        assert!(near(pause.is_over(62, 62), 1.0));
    }

    #[test]
    fn the_cells_of_rates_have_the_mean_of_what_is_drawn() {
        let rates = Rates::pareto(0.7, 210.0, 50);
        let all: f64 = rates.cells.iter().map(|it| it.1).sum();
        assert!((all - 1.0).abs() < 1e-12);
        // E = least (1 + ln(most / least))
        assert!((rates.mean() - 0.7 * (1.0 + 300.0_f64.ln())).abs() < 1e-9);
        let mut rng = Rng::with_seed(1);
        let draws = 200_000;
        let sum: f64 = (0..draws)
            .map(|_| 7.0 * pareto(&mut rng, 0.1, 1.0).min(30.0))
            .sum();
        assert!((sum / f64::from(draws) / rates.mean() - 1.0).abs() < 0.02);
    }
}
