//! Networks that are never dropped, whatever bans them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use nicban_protocol::AllowOrigin;

use crate::bans::Step;

/// A network that is never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    /// The network, its host bits cleared.
    pub network: IpNet,
    /// Where it comes from.
    pub origin: AllowOrigin,
    /// The first second in which it is no longer allowed, since the Unix epoch;
    /// `None` has no end.
    pub until: Option<i64>,
}

/// All of them. A network may come from several origins, and is allowed as long
/// as one of them says so.
#[derive(Debug, Clone, Default)]
pub struct AllowList(BTreeMap<(IpNet, u8), Allow>);

/// Tells the origins of one network apart.
const fn rank(origin: AllowOrigin) -> u8 {
    match origin {
        AllowOrigin::Host => 0,
        AllowOrigin::Config => 1,
        AllowOrigin::Operator => 2,
        AllowOrigin::SshPeer => 3,
    }
}

impl AllowList {
    /// Adds a network, or replaces the end of the one that the same origin gave.
    /// Tells whether that changed anything.
    pub fn insert(&mut self, allow: Allow) -> bool {
        let allow = Allow {
            network: allow.network.trunc(),
            ..allow
        };
        let key = (allow.network, rank(allow.origin));
        self.0.insert(key, allow) != Some(allow)
    }

    /// What one origin gave.
    pub fn get(&self, network: IpNet, origin: AllowOrigin) -> Option<&Allow> {
        self.0.get(&(network.trunc(), rank(origin)))
    }

    /// Takes away what one origin gave. Tells whether it was there.
    pub fn remove(&mut self, network: IpNet, origin: AllowOrigin) -> bool {
        self.0.remove(&(network.trunc(), rank(origin))).is_some()
    }

    /// What has ended by `now`, in seconds since the Unix epoch.
    pub fn ended(&self, now: i64) -> Vec<Allow> {
        self.iter()
            .filter(|allow| allow.until.is_some_and(|until| until <= now))
            .copied()
            .collect()
    }

    /// Moves the ends with the wall clock.
    pub fn follow(&mut self, step: Step) {
        for allow in self.0.values_mut() {
            allow.until = allow.until.map(|until| step.time(until));
        }
    }

    /// Whether some origin names exactly this network.
    pub fn names(&self, network: IpNet) -> bool {
        self.iter().any(|allow| allow.network == network.trunc())
    }

    /// Whether another origin than this one names exactly this network.
    pub fn names_besides(&self, network: IpNet, origin: AllowOrigin) -> bool {
        self.iter()
            .any(|allow| allow.network == network.trunc() && allow.origin != origin)
    }

    /// The widest entry that covers all of `given` at `now`: banning it would be
    /// without effect, and is refused. A network that merely contains an allowed
    /// address may be banned; the address itself still passes.
    ///
    /// A single IPv6 address is banned by its network, so ask about the address
    /// as it was given.
    pub fn covering(&self, given: IpNet, now: i64) -> Option<&Allow> {
        self.iter()
            .filter(|allow| allow.until.is_none_or(|until| now < until))
            .filter(|allow| allow.network.contains(&given))
            .min_by_key(|allow| allow.network.prefix_len())
    }

    /// All entries, in the order of the networks.
    pub fn iter(&self) -> impl Iterator<Item = &Allow> {
        self.0.values()
    }
}

/// What the list covers, for many questions in a row.
#[derive(Debug)]
pub struct Cover {
    /// First and last address of each run of allowed ones, in order, none overlapping.
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Cover {
    /// The list as it is now.
    pub fn of(list: &AllowList) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = list
            .iter()
            .map(|allow| allow.network)
            .partition(|network| matches!(network, IpNet::V4(_)));
        let [v4, v6] = [v4, v6].map(|networks| {
            let mut runs: Vec<(u128, u128)> = networks.iter().map(span).collect();
            runs.sort_unstable();
            runs.dedup_by(|next, kept| {
                let overlaps = next.0 <= kept.1;
                if overlaps {
                    kept.1 = kept.1.max(next.1);
                }
                overlaps
            });
            runs
        });
        Self { v4, v6 }
    }

    /// `false` where [`AllowList::covering`] certainly finds nothing.
    pub fn may_cover(&self, network: &IpNet) -> bool {
        let runs = match network {
            IpNet::V4(_) => &self.v4,
            IpNet::V6(_) => &self.v6,
        };
        let (first, last) = span(network);
        let behind = runs.partition_point(|run| run.0 <= first);
        behind.checked_sub(1).is_some_and(|at| runs[at].1 >= last)
    }
}

/// The first and the last address of a network.
fn span(network: &IpNet) -> (u128, u128) {
    match network {
        IpNet::V4(net) => (
            u128::from(u32::from(net.network())),
            u128::from(u32::from(net.broadcast())),
        ),
        IpNet::V6(net) => (u128::from(net.network()), u128::from(net.broadcast())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Ipv6Prefix, Target};

    fn allow(network: &str, origin: AllowOrigin, until: Option<i64>) -> Allow {
        Allow {
            network: network.parse().unwrap(),
            origin,
            until,
        }
    }

    fn covered(list: &AllowList, text: &str, now: i64) -> bool {
        let asked = Target::parse(text, Ipv6Prefix::default()).unwrap();
        list.covering(asked.given, now).is_some()
    }

    #[test]
    fn an_address_within_is_covered_and_a_network_around_is_not() {
        let mut list = AllowList::default();
        list.insert(allow("198.51.100.0/24", AllowOrigin::Config, None));
        list.insert(allow("2001:db8::5/128", AllowOrigin::Host, None));
        assert!(covered(&list, "198.51.100.9", 0));
        assert!(covered(&list, "198.51.100.0/25", 0));
        assert!(covered(&list, "198.51.100.0/24", 0));
        assert!(!covered(&list, "198.51.0.0/16", 0));
        assert!(!covered(&list, "192.0.2.1", 0));
        assert!(covered(&list, "2001:db8::5", 0));
        assert!(!covered(&list, "2001:db8::6", 0));
    }

    #[test]
    fn an_entry_ends() {
        let mut list = AllowList::default();
        list.insert(allow("192.0.2.1/32", AllowOrigin::SshPeer, Some(100)));
        assert!(covered(&list, "192.0.2.1", 99));
        assert!(!covered(&list, "192.0.2.1", 100));
        assert!(list.ended(99).is_empty());
        assert_eq!(list.ended(100).len(), 1);
    }

    #[test]
    fn one_origin_does_not_take_away_what_another_gave() {
        let mut list = AllowList::default();
        let network = "192.0.2.0/24".parse().unwrap();
        assert!(list.insert(allow("192.0.2.0/24", AllowOrigin::Config, None)));
        assert!(list.insert(allow("192.0.2.7/24", AllowOrigin::Operator, None)));
        assert!(!list.insert(allow("192.0.2.0/24", AllowOrigin::Operator, None)));
        assert!(list.names_besides(network, AllowOrigin::Operator));
        assert!(list.remove(network, AllowOrigin::Operator));
        assert!(!list.remove(network, AllowOrigin::Operator));
        assert!(list.get(network, AllowOrigin::Operator).is_none());
        assert!(list.names(network));
        assert!(!list.names_besides(network, AllowOrigin::Config));
        assert!(covered(&list, "192.0.2.9", 0));
    }

    proptest::proptest! {
        #[test]
        fn the_cover_misses_nothing(
            allowed in proptest::collection::vec((0u32..64, 24u8..=32), 0..8),
            asked in (0u32..64, 24u8..=32),
        ) {
            let network = |(bits, length): (u32, u8)| {
                let address = std::net::Ipv4Addr::from(0xc000_0200 | bits);
                IpNet::new_assert(address.into(), length).trunc()
            };
            let mut list = AllowList::default();
            for allowed in allowed {
                list.insert(Allow { network: network(allowed), origin: AllowOrigin::Config, until: None });
            }
            let asked = network(asked);
            let cover = Cover::of(&list);
            if list.covering(asked, 0).is_some() {
                proptest::prop_assert!(cover.may_cover(&asked));
            } else if !list.iter().any(|allow| asked.contains(&allow.network)) {
                proptest::prop_assert!(!cover.may_cover(&asked));
            }
        }
    }
}
