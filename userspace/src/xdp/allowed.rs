//! The networks on the allow list, for a look-up of what touches one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

/// Networks, all of them cut to their own length.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    networks: BTreeSet<IpNet>,
    /// How many there are of each family and length: of most lengths there is none.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl Allowed {
    /// Puts a network in. `false`: it was there.
    pub(super) fn insert(&mut self, network: IpNet) -> bool {
        let is_new = self.networks.insert(network);
        if is_new {
            *self.lengths.entry(length(&network)).or_default() += 1;
        }
        is_new
    }

    /// Takes a network out; one that is not there is no error.
    pub(super) fn remove(&mut self, network: &IpNet) {
        if self.networks.remove(network)
            && let Some(count) = self.lengths.get_mut(&length(network))
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length(network));
            }
        }
    }

    /// How many there are of IPv4 and of IPv6.
    pub(super) fn counts(&self) -> [usize; 2] {
        let of = |is_v6| {
            self.lengths
                .range((is_v6, 0)..=(is_v6, u8::MAX))
                .map(|(_, count)| count)
                .sum()
        };
        [of(false), of(true)]
    }

    /// Whether an allowed network holds an address of `network`.
    pub(super) fn touches(&self, network: &IpNet) -> bool {
        let is_v6 = matches!(network, IpNet::V6(_));
        let covered = self
            .lengths
            .range((is_v6, 0)..=(is_v6, network.prefix_len()))
            .any(|((_, bits), _)| {
                cut(network.addr(), *bits).is_some_and(|around| self.networks.contains(&around))
            });
        covered
            || self
                .networks
                .range(network..)
                .next()
                .is_some_and(|next| network.contains(next))
    }
}

fn length(network: &IpNet) -> (bool, u8) {
    (matches!(network, IpNet::V6(_)), network.prefix_len())
}

fn cut(address: IpAddr, bits: u8) -> Option<IpNet> {
    IpNet::new(address, bits)
        .ok()
        .map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network() -> impl Strategy<Value = IpNet> {
        let few = || prop_oneof![Just(0_u8), Just(1), Just(0x80)];
        let v4 = (few(), few(), 0..=32_u8)
            .prop_map(|(b, d, bits)| cut(IpAddr::from([10, b, 0, d]), bits).unwrap());
        let v6 = (few(), few(), 0..=128_u8).prop_map(|(a, b, bits)| {
            let mut octets = [0; 16];
            (octets[7], octets[15]) = (a, b);
            cut(IpAddr::from(octets), bits).unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn what_touches_is_found_as_by_looking_at_each(
            networks in proptest::collection::vec(network(), 0..12),
            gone in proptest::collection::vec(network(), 0..4),
            asked in network(),
        ) {
            let mut allowed = Allowed::default();
            for network in &networks {
                allowed.insert(*network);
            }
            for network in &gone {
                allowed.remove(network);
            }
            let left = networks.iter().filter(|network| !gone.contains(network));
            let touches = left.clone().any(|network| network.contains(&asked) || asked.contains(network));
            prop_assert_eq!(allowed.touches(&asked), touches);
            let distinct: BTreeSet<_> = left.collect();
            let [v4, v6] = allowed.counts();
            prop_assert_eq!(v4 + v6, distinct.len());
        }
    }
}
