//! The attacks that policies are tried on.
//!
//! Most are generated. Where a distribution or number is published its source stands
//! beside it; the rest are assumptions, and say so. Some are recorded.

mod bots;
mod churn;
mod pulses;
mod recorded;
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
    /// Makes one by a seed, for this many seconds. A recorded one is the same with
    /// each seed, and may be over before.
    pub(super) make: fn(seed: u64, length: u32) -> Trace,
    /// The part of the optimum's packets that nicban stops at the least with its
    /// default settings, or it got worse: a few hundredths below what it stopped in
    /// six hours and in an hour and a half, with the seeds 1 and 2. Above 1 where
    /// one slot takes a network, and the optimum's a source each.
    pub(super) floor: f64,
}

/// All of them.
pub(super) const ALL: [Kind; 10] = [
    Kind {
        name: "steady",
        about: "500 scanners with heavy-tailed rates that send throughout",
        make: steady::heavy_tail,
        floor: 0.96,
    },
    Kind {
        name: "one-loud",
        about: "one flood among 250 quiet scanners",
        make: steady::one_loud,
        floor: 0.97,
    },
    Kind {
        name: "churn",
        about: "SSH brute force: sources come and go, durations and rates heavy-tailed",
        make: churn::ssh,
        floor: 0.89,
    },
    Kind {
        name: "waves",
        about: "floods of 60 sources each, minutes long, over SSH brute force",
        make: churn::waves,
        floor: 0.91,
    },
    Kind {
        name: "botnet-24",
        about: "32 of a /24 (and of a /56) at a time, each address for some minutes",
        make: bots::rotating,
        floor: 1.25,
    },
    Kind {
        name: "pulse-wave",
        about: "two groups of 18 that flood in turns of 100 s",
        make: pulses::in_turn,
        floor: 0.84,
    },
    Kind {
        name: "on-off",
        about: "72 that send for 90 s and are quiet for a slot's first term",
        make: pulses::against_the_term,
        floor: 0.66,
    },
    Kind {
        name: "honeypot",
        about: "recorded: an SSH honeypot, slow bots; fail2ban's default bans",
        make: recorded::honeypot,
        floor: 0.97,
    },
    Kind {
        name: "honeypot-1d",
        about: "recorded: the same, banned for a day from the second failure on",
        make: recorded::honeypot_strict,
        floor: 0.38,
    },
    Kind {
        name: "loghub",
        about: "recorded: an SSH server, few sources, two of them loud; default bans",
        make: recorded::loghub,
        floor: 0.97,
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

    use nicban::nacl::acl::FAMILIES;

    use crate::simulate::trace::Source;

    use super::*;

    #[test]
    fn networks_differ() {
        for family in FAMILIES {
            let all: BTreeSet<IpNet> = (0..20_000).map(|n| network(family, n)).collect();
            assert_eq!(all.len(), 20_000);
        }
    }

    /// What tells a trace from another.
    fn sum(trace: &Trace) -> u64 {
        let all = trace.seconds.iter().flatten();
        all.map(|it| u64::from(it.packets) * u64::from(it.source + 1))
            .sum()
    }

    #[test]
    fn each_generated_trace_repeats_itself_by_its_seed_and_sends_in_both_families() {
        for kind in ALL {
            let one = (kind.make)(7, 1_200);
            if one.seed.is_none() {
                continue;
            }
            assert_eq!((one.name, one.seed), (kind.name, Some(7)));
            assert_eq!(sum(&one), sum(&(kind.make)(7, 1_200)), "{}", kind.name);
            assert_ne!(sum(&one), sum(&(kind.make)(8, 1_200)), "{}", kind.name);
            assert_eq!(families(&one), FAMILIES.into(), "{}", kind.name);
        }
    }

    #[test]
    fn each_recorded_trace_is_the_same_with_each_seed_and_has_ipv4_only() {
        let mut recorded = Vec::new();
        for kind in ALL {
            let one = (kind.make)(7, 21_600);
            if one.seed.is_some() {
                continue;
            }
            recorded.push(kind.name);
            assert_eq!(one.name, kind.name);
            assert!(sum(&one) > 0, "{}", kind.name);
            assert_eq!(sum(&one), sum(&(kind.make)(8, 21_600)), "{}", kind.name);
            assert_eq!(families(&one), [Family::V4].into(), "{}", kind.name);
        }
        assert_eq!(recorded, ["honeypot", "honeypot-1d", "loghub"]);
    }

    fn families(trace: &Trace) -> BTreeSet<Family> {
        trace.sources.iter().map(Source::family).collect()
    }
}
