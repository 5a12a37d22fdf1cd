//! Sources that send throughout.

use fastrand::Rng;
use nicban::nacl::acl::Family;

use super::network;
use crate::simulate::trace::{Draft, Phase, Trace};

/// All have begun after so many seconds.
const BEGUN: u32 = 300;

/// Sources whose rates fall with their rank as 1/rank: failed logins on an SSH
/// server by address do (Rasmus, Kokkonen and Hämäläinen, "Distribution of Invalid
/// Users on an SSH Server", `WorldCIST` 2024, doi:10.1007/978-3-031-60227-6_12).
/// `loudest` is the first one's rate in packets/s.
fn zipf(draft: &mut Draft, rng: &mut Rng, family: Family, sources: u32, loudest: f64, length: u32) {
    let mut ranks: Vec<u32> = (1..=sources).collect();
    rng.shuffle(&mut ranks);
    for (n, rank) in (0_u32..).zip(ranks) {
        let phase = Phase {
            from: rng.u32(0..BEGUN),
            until: length,
            rate: loudest / f64::from(rank),
        };
        draft.add(network(family, n), vec![phase]);
    }
}

/// Heavy-tailed rates, in both families. The numbers of sources and the loudest
/// rates are assumptions.
pub(super) fn heavy_tail(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    zipf(&mut draft, &mut rng, Family::V4, 400, 2_000.0, length);
    zipf(&mut draft, &mut rng, Family::V6, 100, 200.0, length);
    draft.trace("steady", seed, length)
}

/// One source that floods, after the slots have filled. Its rate is an assumption.
pub(super) fn one_loud(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    zipf(&mut draft, &mut rng, Family::V4, 200, 5.0, length);
    zipf(&mut draft, &mut rng, Family::V6, 50, 5.0, length);
    let flood = Phase {
        from: BEGUN + rng.u32(0..BEGUN),
        until: length,
        rate: 10_000.0,
    };
    draft.add(network(Family::V4, 10_000), vec![flood]);
    draft.trace("one-loud", seed, length)
}
