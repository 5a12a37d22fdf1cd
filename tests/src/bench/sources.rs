//! Addresses by the million, the same ones in every run.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

/// Random IPv4 addresses of 10.0.0.0/8, each once.
pub(super) fn ipv4(count: usize) -> Vec<[u8; 4]> {
    distinct(count, |random| {
        let [_, b, c, d] = random.u32(..).to_be_bytes();
        [10, b, c, d]
    })
}

/// Random IPv4 addresses of 172.16.0.0/12, each once: nobody's that [`ipv4`] gives.
pub(super) fn innocent_ipv4(count: usize) -> Vec<[u8; 4]> {
    distinct(count, |random| {
        let [_, b, c, d] = random.u32(..).to_be_bytes();
        [172, 16 | (b & 15), c, d]
    })
}

/// Random IPv6 /64 networks of `fd00::/8`, each once, as the first half of an address.
pub(super) fn ipv6(count: usize) -> Vec<[u8; 8]> {
    distinct(count, |random| {
        let mut half = random.u64(..).to_be_bytes();
        half[0] = 0xfd;
        half
    })
}

/// Bans of [`ipv6`]'s networks or [`ipv4`]'s addresses.
pub(super) fn bans(v6: bool, count: usize) -> Vec<IpNet> {
    if v6 {
        let network = |half: [u8; 8]| {
            let address = Ipv6Addr::from_bits(u128::from(u64::from_be_bytes(half)) << 64);
            IpNet::V6(Ipv6Net::new_assert(address, 64))
        };
        ipv6(count).into_iter().map(network).collect()
    } else {
        let address = |octets: [u8; 4]| IpNet::from(IpAddr::from(octets));
        ipv4(count).into_iter().map(address).collect()
    }
}

fn distinct<T: Copy + Eq + std::hash::Hash>(
    count: usize,
    mut next: impl FnMut(&mut fastrand::Rng) -> T,
) -> Vec<T> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = HashSet::with_capacity(count);
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let one = next(&mut random);
        if seen.insert(one) {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_asked_for_and_each_is_there_once() {
        let all = ipv4(50_000);
        assert_eq!(all.len(), 50_000);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 50_000);
        assert!(all.iter().all(|address| address[0] == 10));
    }

    #[test]
    fn they_are_the_same_ones_each_time_and_more_take_the_fewer_in() {
        assert_eq!(ipv6(100), ipv6(100));
        assert_eq!(ipv4(10), ipv4(100)[..10]);
    }

    #[test]
    fn the_innocent_are_in_another_network() {
        assert!(
            innocent_ipv4(1_000)
                .iter()
                .all(|address| address[0] == 172 && (16..32).contains(&address[1]))
        );
    }
}
