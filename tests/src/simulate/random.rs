//! Draws from the distributions that the traces are made of.

use fastrand::Rng;

/// A number from 0 on, below 1, and never 0 where a logarithm follows.
fn open(rng: &mut Rng) -> f64 {
    1.0 - rng.f64()
}

/// Exponential with this mean.
pub(super) fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * open(rng).ln()
}

/// Pareto: at least `least`, with the tail's exponent.
pub(super) fn pareto(rng: &mut Rng, least: f64, exponent: f64) -> f64 {
    least * open(rng).powf(-exponent.recip())
}

/// Standard normal (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let angle = std::f64::consts::TAU * rng.f64();
    (-2.0 * open(rng).ln()).sqrt() * angle.cos()
}

/// Log-normal with this median; `sigma` is the deviation of the logarithm.
pub(super) fn log_normal(rng: &mut Rng, median: f64, sigma: f64) -> f64 {
    median * (sigma * normal(rng)).exp()
}

/// Poisson with this mean; above 30 the rounded normal, which is as good.
pub(super) fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    if mean > 30.0 {
        return whole(mean + mean.sqrt() * normal(rng));
    }
    // Knuth's: how many uniform factors until the product is small enough.
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}

/// The nearest whole number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range"
)]
pub(super) fn whole(value: f64) -> u32 {
    value.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(draws: u32, mut draw: impl FnMut() -> f64) -> f64 {
        (0..draws).map(|_| draw()).sum::<f64>() / f64::from(draws)
    }

    #[test]
    fn the_means_are_right() {
        let mut rng = Rng::with_seed(1);
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.03;
        assert!(near(mean(50_000, || exponential(&mut rng, 7.0)), 7.0));
        assert!(near(mean(50_000, || poisson(&mut rng, 2.5).into()), 2.5));
        assert!(near(
            mean(50_000, || poisson(&mut rng, 250.0).into()),
            250.0
        ));
        // E = a x / (a - 1)
        assert!(near(mean(200_000, || pareto(&mut rng, 2.0, 3.0)), 3.0));
        // E = median exp(sigma^2 / 2)
        let expected = 5.0 * 0.125_f64.exp();
        assert!(near(
            mean(200_000, || log_normal(&mut rng, 5.0, 0.5)),
            expected
        ));
    }

    #[test]
    fn a_seed_repeats_itself() {
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..9).map(|_| poisson(&mut rng, 40.0)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
