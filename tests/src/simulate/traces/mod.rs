//! The attacks that policies are tried on.
//!
//! Where a distribution or number is published its source stands beside it; the
//! rest are assumptions, and say so.

mod bots;
mod churn;
mod pulses;
mod steady;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nicban::nacl::acl::Family;

use super::trace::Trace;

/// A family of attacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is, in a line.
    pub(super) about: &'static str,
    /// Makes one by a seed, for this many seconds.
    pub(super) make: fn(seed: u64, length: u32) -> Trace,
    /// The part of the optimum's packets that nicban stops at the least with its
    /// default settings, or it got worse: a few hundredths below what it stopped in
    /// six hours and in an hour and a half, with the seeds 1 and 2.
    pub(super) floor: f64,
}

/// All of them.
pub(super) const ALL: [Kind; 7] = [
    Kind {
        name: "steady",
        about: "500 scanners with heavy-tailed rates that send throughout",
        make: steady::heavy_tail,
        floor: 0.93,
    },
    Kind {
        name: "one-loud",
        about: "one flood among 250 quiet scanners",
        make: steady::one_loud,
        floor: 0.95,
    },
    Kind {
        name: "churn",
        about: "SSH brute force: sources come and go, durations and rates heavy-tailed",
        make: churn::ssh,
        floor: 0.84,
    },
    Kind {
        name: "waves",
        about: "floods of 60 sources each, minutes long, over SSH brute force",
        make: churn::waves,
        floor: 0.88,
    },
    Kind {
        name: "botnet-24",
        about: "32 of a /24 (and of a /56) at a time, each address for some minutes",
        make: bots::rotating,
        floor: 0.60,
    },
    Kind {
        name: "pulse-wave",
        about: "two groups of 18 that flood in turns of 100 s",
        make: pulses::in_turn,
        floor: 0.59,
    },
    Kind {
        name: "on-off",
        about: "72 that send for 90 s and are quiet for a slot's first term",
        make: pulses::against_the_term,
        floor: 0.42,
    },
];

/// The n-th source of a family, far from its neighbours.
fn network(family: Family, n: u32) -> IpNet {
    match family {
        // 198.18.0.0/15 and 2001:db8::/32 are for tests and examples (RFC 2544, 3849).
        Family::V4 => {
            let address = 0xC612_0000 | (n.wrapping_mul(40_503) & 0x1_FFFF);
            IpNet::V4(Ipv4Net::new_assert(address.into(), 32))
        }
        Family::V6 => {
            let network = 0x2001_0DB8_0000_0000 | u64::from(n.wrapping_mul(2_654_435_761));
            let address = u128::from(network) << 64;
            IpNet::V6(Ipv6Net::new_assert(address.into(), 64))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::simulate::trace::Source;

    use super::*;

    #[test]
    fn networks_differ() {
        for family in nicban::nacl::acl::FAMILIES {
            let all: BTreeSet<IpNet> = (0..20_000).map(|n| network(family, n)).collect();
            assert_eq!(all.len(), 20_000);
        }
    }

    #[test]
    fn each_trace_repeats_itself_and_sends_in_both_families() {
        for kind in ALL {
            let sum = |trace: &Trace| -> u64 {
                let all = trace.seconds.iter().flatten();
                all.map(|it| u64::from(it.packets) * u64::from(it.source + 1))
                    .sum()
            };
            let one = (kind.make)(7, 1_200);
            assert_eq!(one.name, kind.name);
            assert_eq!(sum(&one), sum(&(kind.make)(7, 1_200)), "{}", kind.name);
            assert_ne!(sum(&one), sum(&(kind.make)(8, 1_200)), "{}", kind.name);
            let families: BTreeSet<_> = one.sources.iter().map(Source::family).collect();
            assert_eq!(families.len(), 2, "{}", kind.name);
        }
    }
}
