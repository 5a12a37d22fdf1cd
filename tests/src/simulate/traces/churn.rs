//! Sources that come and go.

use std::sync::Arc;

use fastrand::Rng;
use nicban::nacl::acl::Family;

use super::network;
use crate::simulate::law::{Lasts, Law, Pace, Rates};
use crate::simulate::random::{exponential, log_normal, pareto, whole};
use crate::simulate::trace::{Draft, Phase, Trace};

/// A dropped connection is this many packets: the SYN and its retries
/// (`tcp_syn_retries`, ip-sysctl of the Linux kernel: 6).
const SYNS: f64 = 7.0;

/// Connections/s of the slowest.
const SLOWEST: f64 = 0.1;

/// Connections/s of the fastest.
const FASTEST: f64 = 30.0;

/// How long one goes on, in s: at least, and the tail's exponent.
const LASTS: (f64, f64) = (60.0, 1.2);

/// For who knows how rates are drawn they are so many, 3 % apart: as fine as a thousand packets
/// can tell (a Poisson count's relative error).
const CELLS: u32 = 200;

/// SSH brute force: sources arrive at random, with a mean of `every` seconds
/// between two.
///
/// Durations are heavy-tailed (Park et al., "Heavy-tailed distribution of the SSH
/// brute-force attack duration in a multi-user environment", J. Korean Phys. Soc.
/// 69:253, 2016); the exponent, 1.2 from a minute on, is an assumption. Rates by
/// source follow 1/rank, as in `steady`, which is a Pareto tail of exponent 1; in
/// connections/s they run from one each 10 s (Hansteen, "The Hail Mary Cloud", by
/// whom that is what careful ones keep to) to 30/s, an assumption.
fn brute_force(draft: &mut Draft, rng: &mut Rng, family: Family, every: f64, length: u32) {
    let mut at = exponential(rng, every);
    let mut n = 0;
    let (least, exponent) = LASTS;
    let law = Law {
        lasts: Lasts::Pareto { least, exponent },
        head_start: 0,
        pause: None,
        pace: Pace::Drawn(Arc::new(Rates::pareto(
            SYNS * SLOWEST,
            SYNS * FASTEST,
            CELLS,
        ))),
    };
    while at < f64::from(length) {
        let from = whole(at);
        let duration = whole(pareto(rng, least, exponent).min(f64::from(length)));
        let phase = Phase {
            from,
            until: from.saturating_add(duration),
            rate: SYNS * pareto(rng, SLOWEST, 1.0).min(FASTEST),
        };
        draft.draw(network(family, n), vec![phase], law.clone());
        n += 1;
        at += exponential(rng, every);
    }
}

/// SSH brute force alone.
pub(super) fn ssh(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    brute_force(&mut draft, &mut rng, Family::V4, 10.0, length);
    brute_force(&mut draft, &mut rng, Family::V6, 30.0, length);
    draft.trace("churn", seed, length)
}

/// The median of a flood's duration, in s.
const MEDIAN: f64 = 7.7 * 60.0;

/// The deviation of its logarithm.
const SIGMA: f64 = 1.84;

/// The shortest and the longest flood, in s.
const SHORTEST: f64 = 30.0;
const LONGEST: f64 = 7_200.0;

/// Floods that come in waves.
///
/// A flood's duration has a mean of 42 min and is below 30 min in 77 of 100 cases
/// (NSFOCUS, "2018 `DDoS` Attack Landscape", section 3.3), which a log-normal of
/// median 7.7 min and sigma 1.84 fits. That a wave has 60 sources of around 50
/// packets/s, and comes each 20 min, are assumptions.
pub(super) fn waves(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    for (family, every) in [(Family::V4, 30.0), (Family::V6, 90.0)] {
        brute_force(&mut draft, &mut rng, family, every, length);
        let mut at = exponential(&mut rng, 600.0);
        let mut n = 20_000;
        while at < f64::from(length) {
            let from = whole(at);
            let duration = whole(log_normal(&mut rng, MEDIAN, SIGMA).clamp(SHORTEST, LONGEST));
            for _ in 0..60 {
                let late = rng.u32(0..10);
                let phase = Phase {
                    from: from + late,
                    until: from + duration,
                    rate: log_normal(&mut rng, 50.0, 1.0),
                };
                // All of a flood end at once: who is told of one knows of all.
                let law = Law {
                    lasts: Lasts::LogNormal {
                        median: MEDIAN,
                        sigma: SIGMA,
                        least: SHORTEST,
                        most: LONGEST,
                    },
                    head_start: late,
                    pause: None,
                    pace: Pace::Told,
                };
                draft.draw(network(family, n), vec![phase], law);
                n += 1;
            }
            at += exponential(&mut rng, 1_200.0);
        }
    }
    draft.trace("waves", seed, length)
}
